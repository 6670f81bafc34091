"""Two processes do what one does: `torchrun`, over gloo on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from runs import real_config, rows, same, state_of

from models.network import Architecture, build_network
from training.checkpoint import RunError
from training.config import read_config
from training.team import ALONE, Team
from training.train import train

ROOT = Path(__file__).parents[2]
# What a process of its own runs: training.train with a step at which it is killed.
KILLED = """
import os, sys
import training.train as module
real = module.Moment
def moment(step, *others):
    if step == {step}:
        os._exit(9)
    return real(step, *others)
module.Moment = moment
sys.argv[0] = "training.train"
module.main()
"""


def together(tmp_path, out, *, processes=2, kill=0, words=()):
    """Train with several processes; returns what `torchrun` returned."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED.format(step=kill))
    what = [str(script)] if kill else ["-m", "training.train"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(processes), *what),
            *(str(tmp_path / "recipe.toml"), str(out), *words),
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def recipe(tmp_path, steps=6):
    run = 'selection = "thickness"\nvalidate_every = 2\ncheckpoint_every = 3\npatience = 9\n'
    # With this seed no outline is at a fork of the geometry, where rounding decides.
    real_config(tmp_path, steps, run=run, rate=1e-4, top="seed = 2")
    # Gradients so small that they are not clipped, which would hide a wrong scale.
    path = tmp_path / "recipe.toml"
    weights = "dice_weight = 0.01\ncross_entropy_weight = 0.02\nboundary_weight = 0.01"
    path.write_text(path.read_text().replace("boundary_weight = 1.0", weights))
    return read_config(path)


def farthest(one, other):
    """The largest difference of two networks' weights, but for those that change nothing: an
    instance norm takes away what a bias right before it adds, so that its gradient is rounding,
    and Adam makes whole steps of that."""
    idle = {
        name
        for name in one
        if name.endswith("conv.bias") and name.replace("conv.bias", "adn.A.weight") in one
    }
    assert 0 < len(idle) < len(one) / 3
    return max(float((one[name] - other[name]).abs().max()) for name in one.keys() - idle)


def seen_by(state):
    """What a network says of a picture."""
    network = build_network(Architecture.halving((4, 8)), 4).eval()
    network.load_state_dict(state)
    picture = torch.linspace(-2, 2, 32 * 32).sin().view(1, 1, 32, 32)
    with torch.inference_mode():
        return network(picture)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun gives each of its processes
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration, the run of one process in `one` and that of two in `two`."""
    folder = tmp_path_factory.mktemp("team")
    train(recipe(folder), folder / "one")
    done = together(folder, folder / "two")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_torchrun_hands_the_first_weights_on(folder):
    done = together(folder, folder / "next", words=("--from", str(folder / "two")))
    assert done.returncode == 0, done.stderr
    digest = json.loads((folder / "next" / "run.json").read_text())["start"]
    assert digest is not None


@pytest.mark.slow
def test_two_processes_end_where_one_does(folder):
    one, two = state_of(folder / "one"), state_of(folder / "two")
    assert two["step"] == 6
    began = build_first(folder)
    assert farthest(one["network"], began) > 3e-4  # they went somewhere
    assert farthest(one["network"], two["network"]) < 1e-6
    assert torch.allclose(seen_by(one["network"]), seen_by(two["network"]), atol=1e-5)
    assert not torch.allclose(seen_by(one["network"]), seen_by(began), atol=1e-4)
    assert one["best_cost"] == pytest.approx(two["best_cost"], abs=1e-3)
    for name in ("log.csv", "validation.csv"):
        table, other = rows(folder / "one", name), rows(folder / "two", name)
        assert [row[0] for row in table] == [row[0] for row in other]  # one process writes
    # Adam forgives a wrong scale of gradients; their averages do not.
    moments = zip(*(each["optimizer"]["state"].values() for each in (one, two)), strict=True)
    for alone, shared in moments:
        assert torch.allclose(alone["exp_avg"], shared["exp_avg"], rtol=1e-3, atol=1e-8)
    # The loss is that of the whole batch, not of a share.
    parts = [
        [float(value) for value in rows(folder / name, "log.csv")[-1][3:6]]
        for name in ("one", "two")
    ]
    assert parts[0] == pytest.approx(parts[1], rel=1e-4)


def build_first(folder):
    config = read_config(folder / "recipe.toml")
    torch.manual_seed(config.seed)
    return build_network(Architecture.halving(config.network.channels), 4).state_dict()


@pytest.mark.slow
def test_a_killed_team_goes_on_with_the_same_or_another_number(folder):
    assert together(folder, folder / "broken", kill=5).returncode != 0
    assert state_of(folder / "broken")["step"] == 3
    (folder / "alone").mkdir()
    for name in ("log.csv", "validation.csv", "checkpoint.pt", "run.json"):
        (folder / "alone" / name).write_bytes((folder / "broken" / name).read_bytes())
    assert together(folder, folder / "broken").returncode == 0
    assert same(state_of(folder / "two"), state_of(folder / "broken"))  # bit for bit
    train(read_config(folder / "recipe.toml"), folder / "alone")
    two, alone = state_of(folder / "two"), state_of(folder / "alone")
    assert alone["step"] == 6
    assert farthest(two["network"], alone["network"]) < 1e-6
    assert torch.allclose(seen_by(two["network"]), seen_by(alone["network"]), atol=1e-5)


@pytest.mark.slow
def test_what_is_wrong_ends_all_processes_with_a_word(tmp_path):
    recipe(tmp_path)
    done = together(tmp_path, tmp_path / "run", processes=3)
    assert done.returncode != 0
    assert "batch = 2 cannot be shared evenly among 3 processes" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_batch_is_shared_evenly_or_not_at_all():
    assert ALONE.share(8) == range(8)
    assert [list(Team(rank, 4).share(8)) for rank in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(RunError, match="batch = 8 cannot be shared evenly among 3"):
        Team(0, 3).share(8)


def test_a_process_alone_pays_nothing():
    network = torch.nn.Linear(1, 1)
    tensor = torch.ones(2)
    values = [1, 2]
    assert ALONE.shared(network) is network
    assert ALONE.whole(tensor) is tensor
    assert ALONE.everyones(values) is values
    assert list(ALONE.mine(values)) == values


def test_every_part_of_a_list_is_somebodys():
    values = list(range(10))
    parts = [list(Team(rank, 3).mine(values)) for rank in range(3)]
    assert sorted(value for part in parts for value in part) == values


def test_without_torchrun_nobody_is_joined(monkeypatch):
    from training.team import joined

    monkeypatch.setenv("WORLD_SIZE", "4")  # other launchers set it, too
    with joined() as team:
        assert team == ALONE
