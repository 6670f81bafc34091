import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from data.phantom.stream import sample
from imaging.grid import GridSpec
from inference.thickness import measure_thickness
from models.bundle import BundleError, load_bundle
from models.runtime import DeviceError, OpenVinoRuntime, TorchRuntime, choose_runtime


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def openvino(bundle):
    return OpenVinoRuntime(bundle)


def test_probabilities_of_a_batch_are_those_of_its_pictures(bundle, openvino):
    pictures = np.stack([sample(5, i, bundle.grid).pixels for i in range(3)])
    together = openvino(pictures)
    assert together.shape == (3, len(bundle.labels), bundle.grid.size, bundle.grid.size)
    assert together.dtype == np.float32
    assert np.allclose(together.sum(1), 1, atol=1e-4)
    for i in range(3):
        # Sums in another order: 0.0003 at most was seen, which moves an outline by nothing.
        assert np.allclose(openvino(pictures[i : i + 1])[0], together[i], atol=1e-3)


def test_the_cpu_runtime_repeats_bit_for_bit(bundle, openvino):
    picture = sample(5, 1, bundle.grid).pixels[None]
    assert np.array_equal(openvino(picture), OpenVinoRuntime(bundle)(picture))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_torch_and_openvino_agree_in_millimetres(bundle, openvino, device):
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    reference = TorchRuntime(bundle, device)
    differences = []
    step = (bundle.grid.mm_per_px,) * 2
    for i in range(40):
        drawn = sample(11, i, bundle.grid)
        if drawn.scene.endometrium is None:
            continue
        thickness = []
        for runtime in (reference, openvino):
            bands = runtime(drawn.pixels[None])[0].astype(float).clip(0, 1)
            try:
                found = measure_thickness(bands[1], step, fluid=bands[2])
            except ValueError:
                break
            thickness.append(found.thickness_mm)
        if len(thickness) == 2:
            differences.append(abs(thickness[0] - thickness[1]))
    assert len(differences) >= 15
    assert np.median(differences) <= 0.02
    assert max(differences) <= 0.1


def test_a_card_that_does_not_fit_its_network_is_refused(bundle):
    wrong = replace(bundle, grid=GridSpec(bundle.grid.size + 16, bundle.grid.mm_per_px))
    with pytest.raises(BundleError, match="Export it again"):
        OpenVinoRuntime(wrong)
    with pytest.raises(BundleError, match="Export it again"):
        OpenVinoRuntime(replace(bundle, labels=bundle.labels[:3]))


def test_cuda_without_a_device_is_a_clear_error(bundle):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(DeviceError, match="--device cpu"):
        choose_runtime(bundle, "cuda")
    assert choose_runtime(bundle, "auto").device == "cpu"


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="on one core, and where cores are not told, nothing could be seen",
)
def test_a_network_of_one_thread_is_bound_to_no_core():
    """Bound to the first core, all workers of an archive would take turns on it."""
    program = (
        "import os, numpy as np\n"
        "from pathlib import Path\n"
        "from threading import Thread\n"
        "from models.bundle import load_bundle\n"
        "from models.runtime import OpenVinoRuntime\n"
        "bundle = load_bundle()\n"
        "size = bundle.grid.size\n"
        "network = OpenVinoRuntime(bundle, threads=1)\n"
        "busy = Thread(target=network, args=(np.zeros((8, 1, size, size), np.float32),))\n"
        "busy.start()\n"
        "while busy.is_alive():\n"
        "    for task in Path('/proc/self/task').iterdir():\n"
        "        try:\n"
        "            print(len(os.sched_getaffinity(int(task.name))))\n"
        "        except ProcessLookupError:\n"
        "            pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(map(int, done.stdout.split())) == {len(os.sched_getaffinity(0))}
