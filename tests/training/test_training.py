from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime, TorchRuntime
from training.config import read_config
from training.export import export
from training.train import averaged_weights, train

RECIPE = Path(__file__).parents[2] / "training/first.toml"
ABOUT = dict.fromkeys(("name", "training_data", "known_failures", "licence"), "test")
SMALL = {
    "seed = ": "seed = 1",
    "steps": "steps = 4",
    "batch": "batch = 2",
    "grid_size": "grid_size = 64",
    "mm_per_px": "mm_per_px = 1.2",
    "channels": "channels = [4, 4, 8, 8, 16]",
    "workers": "workers = 0",
    "checkpoint_every": "checkpoint_every = 2",
}


@pytest.fixture
def small(tmp_path):
    lines = RECIPE.read_text().splitlines()
    for start, line in SMALL.items():
        lines = [line if old.startswith(start) else old for old in lines]
    path = tmp_path / "small.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps = 4", "steps = 4.5"), "steps"),
        (("steps = 4", "stepz = 4"), "stepz"),
        (("batch = 2", ""), "batch"),
        (("seed = 1", "seed = true"), "seed"),
    ],
)
def test_a_wrong_configuration_names_the_key(small, change, says):
    small.write_text(small.read_text().replace(*change))
    with pytest.raises(ValueError, match=says):
        read_config(small)


def test_a_run_can_start_from_the_weights_of_another(small, tmp_path):
    import torch

    config = read_config(small)
    first = train(config, tmp_path / "first")
    second = train(replace(config, seed=2, learning_rate=0.0), tmp_path / "second", first.parent)
    one, other = (averaged_weights(path) for path in (first, second))
    assert all(torch.allclose(one[name], other[name]) for name in one)


def test_a_continued_run_ends_like_an_unbroken_one_and_exports(small, tmp_path):
    import torch

    whole = train(read_config(small), tmp_path / "whole")
    small.write_text(small.read_text().replace("checkpoint_every = 2", "checkpoint_every = 3"))
    config = read_config(small)

    # Stop after the checkpoint of step 3, as a kill would.
    class KilledError(Exception):
        pass

    real, saved = torch.save, []

    def save(state, path):
        real(state, path)
        saved.append(state["step"])

    def die(state, path):
        save(state, path)
        Path(path).replace(tmp_path / "broken/checkpoint.pt")
        raise KilledError

    torch.save = die
    try:
        with pytest.raises(KilledError):
            train(config, tmp_path / "broken")
    finally:
        torch.save = real
    assert saved == [3]
    broken = train(config, tmp_path / "broken")
    one, other = (torch.load(p, weights_only=True)["average"] for p in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)

    export(broken, config, ("background", "endometrium", "fluid", "uterus"), ABOUT, tmp_path / "b")
    import json

    card = json.loads((tmp_path / "b/card.json").read_text())
    card["metrics"] = {"none": True}
    (tmp_path / "b/card.json").write_text(json.dumps(card))
    bundle = load_bundle(tmp_path / "b")
    picture = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
    assert np.allclose(
        OpenVinoRuntime(bundle)(picture), TorchRuntime(bundle, "cpu")(picture), atol=1e-4
    )
