import json

import numpy as np
import pytest

pytest.importorskip("torch")

from data.phantom.stream import sample
from models.bundle import BundleError, load_bundle
from models.check import test_picture
from models.runtime import OpenVinoRuntime, import_openvino
from training.onnx_export import write_onnx

# Between OpenVINO and onnxruntime 0.0003 was seen; the same numbers in OpenVINO itself give 0.
APART = 0.002


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def file(bundle, tmp_path_factory):
    return write_onnx(bundle, tmp_path_factory.mktemp("onnx") / "network.onnx")


@pytest.fixture(scope="module")
def batch(bundle):
    picture = test_picture(bundle.grid.size)
    drawn = np.stack([picture, picture[:, ::-1], picture[::-1] * 0.5])[:, None]
    return np.concatenate([drawn, sample(5, 4, bundle.grid).pixels[None]]).astype(np.float32)


def test_the_file_is_sound_and_says_what_it_takes_and_gives(bundle, file):
    import onnx

    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    said = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(said["labels"]) == list(bundle.labels)
    assert said["weights_sha256"] == bundle.sha256
    assert float(said["mm_per_px"]) == bundle.grid.mm_per_px
    assert said["grid_size"] == str(bundle.grid.size)
    assert said["normalisation"] == "sector_zscore"
    (pixels,), (probabilities,) = model.graph.input, model.graph.output
    shape = pixels.type.tensor_type.shape.dim
    assert (pixels.name, probabilities.name) == ("pixels", "probabilities")
    assert shape[0].dim_param == "n" and [d.dim_value for d in shape[1:]] == [1, 256, 256]


def test_openvino_reads_it_and_gives_what_the_bundle_gives(bundle, file, batch):
    ours = OpenVinoRuntime(bundle)(batch)
    core = import_openvino().Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    theirs = core.compile_model(str(file), "CPU", settings)([batch])[0]
    assert np.abs(ours - theirs).max() < APART
    assert ours[:, bundle.channel("endometrium")].max() > 0.9


def test_onnxruntime_gives_what_the_bundle_gives_for_any_number_of_pictures(bundle, file, batch):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for pictures in (batch, batch[:1]):
        (theirs,) = session.run(["probabilities"], {"pixels": pictures})
        assert np.abs(OpenVinoRuntime(bundle)(pictures) - theirs).max() < APART
        assert np.abs(theirs.sum(1) - 1).max() < 1e-4


def test_a_folder_gets_a_file_named_like_the_bundle(bundle, tmp_path):
    path = write_onnx(bundle, tmp_path / "new")
    assert path == tmp_path / "new" / "default.onnx" and path.stat().st_size > 1e6
    assert [p.name for p in path.parent.iterdir()] == ["default.onnx"]
    with pytest.raises(BundleError, match="there already"):
        write_onnx(bundle, tmp_path / "new")
