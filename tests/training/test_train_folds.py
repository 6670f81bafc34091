"""A network for each fold, and the ensemble that they become."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import torch
from annotated import annotated
from runs import KilledError, config_of, killed_after, real_config, rows, same, state_of

from app.cli import app
from data.cases import CasesError
from data.phantom.render import LABELS
from models.bundle import CARD, BundleError, load_bundle
from models.runtime import OpenVinoRuntime, TorchRuntime
from training.checkpoint import RunError, averaged_weights
from training.config import ConfigError, read_config
from training.ensemble import folds_of, runs_in, train_all
from training.export import export
from training.facts import patients_of
from training.ship import Chosen, about, main

ABOUT = dict.fromkeys(("name", "training_data", "known_failures", "licence"), "test")
PICTURE = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)


def test_every_image_is_validated_on_by_the_one_network_that_did_not_see_it(tmp_path):
    config = real_config(tmp_path, 2)
    moments = []
    checkpoints = train_all(config, tmp_path / "out", watch=moments.append, folds=3)
    assert [path.parent.name for path in checkpoints] == ["fold-1", "fold-2", "fold-3"]
    assert [(m.fold, m.folds, m.step) for m in moments] == [
        (fold, 3, step) for fold in (1, 2, 3) for step in (1, 2)
    ]
    data = [json.loads((path.parent / "run.json").read_text())["data"] for path in checkpoints]
    aside = [set(each["validation"]["patients"]) for each in data]
    assert sorted(name for names in aside for name in names) == [f"p{n}" for n in range(6)]
    for each, names in zip(data, aside, strict=True):
        assert not set(each["training"]["patients"]) & names
    # Each has first weights and pictures of its own.
    states = [state_of(path.parent)["network"] for path in checkpoints]
    assert not same(states[0], states[1]) and not same(states[1], states[2])


@pytest.mark.parametrize("kill", [2, 4, 7])
def test_killed_folds_go_on_and_end_like_unbroken_ones_bit_for_bit(tmp_path, kill):
    config = real_config(tmp_path, 4, run='selection = "thickness"\ncheckpoint_every = 3\n')
    train_all(config, tmp_path / "whole", folds=2)
    seen = []

    def watch(moment):
        seen.append(moment)
        if len(seen) == kill:
            raise KilledError

    with pytest.raises(KilledError):
        train_all(config, tmp_path / "broken", watch=watch, folds=2)
    train_all(config, tmp_path / "broken", folds=2)
    for fold in ("fold-1", "fold-2"):
        whole, broken = (tmp_path / name / fold for name in ("whole", "broken"))
        assert same(state_of(whole), state_of(broken))
        assert rows(whole, "validation.csv") == rows(broken, "validation.csv")
    moments = []
    train_all(config, tmp_path / "broken", watch=moments.append, folds=2)
    assert not moments


def test_folds_come_from_the_command_or_the_configuration(tmp_path):
    plain = real_config(tmp_path)
    assert folds_of(plain) == 0
    assert folds_of(plain, 5) == 5
    both = plain.model_copy(update={"data": plain.data.model_copy(update={"folds": 3})})
    assert folds_of(both) == folds_of(both, 3) == 3
    with pytest.raises(ConfigError, match=r"--folds 5, but data\.folds = 3"):
        folds_of(both, 5)
    one = plain.of_fold(2, 3)
    assert folds_of(one) == 0
    with pytest.raises(ConfigError, match=r"but data\.fold = 2"):
        folds_of(one, 3)


def test_what_the_last_fold_lacks_is_told_before_the_first_is_trained(tmp_path):
    config = real_config(tmp_path, 2)
    with pytest.raises(CasesError, match="kept aside in fold"):
        train_all(config, tmp_path / "out", folds=6)  # one of them has the empty image alone
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run_takes_no_folds(tmp_path):
    config = real_config(tmp_path, 1)
    train_all(config, tmp_path / "run")
    with pytest.raises(RunError, match="holds a run without folds"):
        train_all(config, tmp_path / "run", folds=2)
    assert runs_in(tmp_path / "run") == [tmp_path / "run"]


def test_an_ensemble_needs_all_its_folds(tmp_path):
    config = real_config(tmp_path, 2)
    with pytest.raises(KilledError):
        train_all(config, tmp_path / "out", watch=killed_after(2), folds=3)
    with pytest.raises(RunError, match="lacks fold-2, fold-3 of 3 folds"):
        runs_in(tmp_path / "out")
    train_all(config, tmp_path / "out", folds=3)
    assert [run.name for run in runs_in(tmp_path / "out")] == ["fold-1", "fold-2", "fold-3"]


@pytest.fixture
def members(tmp_path):
    """Weights of three networks that differ, and their configuration."""
    config = config_of(tmp_path, 1, grid_size=64, rate=0.05)
    networks = []
    for seed in (1, 2, 3):
        run = tmp_path / f"run-{seed}"
        train_all(config.model_copy(update={"seed": seed}), run)
        networks.append(averaged_weights(run / "checkpoint.pt"))
    return networks, config


def test_an_ensemble_gives_the_mean_of_its_members_in_both_runtimes(tmp_path, members):
    networks, config = members
    alone = []
    for number, weights in enumerate(networks):
        export(weights, config, LABELS, ABOUT, tmp_path / f"bundle-{number}")
        alone.append(OpenVinoRuntime(load_bundle(tmp_path / f"bundle-{number}"))(PICTURE))
    assert "members" not in load_bundle(tmp_path / "bundle-0").architecture
    export(networks, config, LABELS, ABOUT, tmp_path / "ensemble")
    bundle = load_bundle(tmp_path / "ensemble")
    assert bundle.architecture["members"] == 3
    mean = np.mean(alone, axis=0)
    assert np.abs(alone[0] - mean).max() > 0.01  # they differ
    for runtime in (OpenVinoRuntime(bundle), TorchRuntime(bundle, "cpu")):
        found = runtime(PICTURE)
        assert np.allclose(found, mean, atol=1e-4)
        assert np.allclose(found.sum(1), 1, atol=1e-5)


def test_a_shift_holds_for_every_member(tmp_path, members):
    networks, config = members
    export(networks, config, LABELS, ABOUT, tmp_path / "shifted", shift=3.0)
    shifted = TorchRuntime(load_bundle(tmp_path / "shifted"), "cpu")(PICTURE)
    wanted = np.zeros_like(shifted)
    for i, network in enumerate(networks):
        export(network, config, LABELS, ABOUT, tmp_path / f"{i}")
        odds = TorchRuntime(load_bundle(tmp_path / f"{i}"), "cpu")(PICTURE)
        odds[:, 1] *= np.exp(-3.0)
        wanted += odds / odds.sum(1, keepdims=True) / len(networks)
    assert np.abs(shifted - wanted).max() < 0.003  # weights and bias are kept in half precision


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "3", None])
def test_a_card_with_a_wrong_number_of_members_is_refused(tmp_path, members, wrong):
    networks, config = members
    export(networks, config, LABELS, ABOUT, tmp_path / "ensemble")
    card = json.loads((tmp_path / "ensemble" / CARD).read_text())
    card["architecture"]["members"] = wrong
    (tmp_path / "ensemble" / CARD).write_text(json.dumps(card))
    with pytest.raises(BundleError, match=r"architecture\.members is .*, not a whole number"):
        load_bundle(tmp_path / "ensemble")


def test_training_does_not_go_on_from_an_ensemble(tmp_path, members):
    networks, config = members
    export(networks, config, LABELS, ABOUT, tmp_path / "ensemble")
    with pytest.raises(RunError, match="an ensemble of 3 networks, and training goes on with one"):
        train_all(config, tmp_path / "run", tmp_path / "ensemble")


def test_several_runs_are_shipped_as_one_bundle(tmp_path, monkeypatch):
    """Fitting on hundreds of phantoms is tested elsewhere: here it is only seen that it is asked
    of the ensemble."""
    import training.ship

    config = real_config(tmp_path, 2, grid_size=64)
    train_all(config, tmp_path / "out", folds=2)
    failures = tmp_path / "failures.txt"
    failures.write_text("All.")
    asked = []

    def shipped(weights, config, origin, out, *_):
        asked.append((weights, origin))
        export(weights, config, LABELS, origin.texts, out)

    monkeypatch.setattr(training.ship, "ship", shipped)
    words = ["--recipe", str(tmp_path / "recipe.toml"), "--name", "x"]
    words += ["--known-failures", str(failures)]
    main([str(tmp_path / "out"), str(tmp_path / "one"), *words])
    folds = [tmp_path / "out" / name for name in ("fold-1", "fold-2")]
    main([*map(str, folds), str(tmp_path / "two"), *words])
    assert [(len(weights), len(origin.runs)) for weights, origin in asked] == [(2, 2), (2, 2)]
    assert asked[0][1].patients == patients_of(folds[0]) | patients_of(folds[1])
    text = asked[0][1].texts["training_data"]
    assert text.startswith("8 pictures") and "An ensemble of 2 networks." in text
    found = [load_bundle(tmp_path / name) for name in ("one", "two")]
    assert found[0].sha256 == found[1].sha256
    assert found[0].architecture["members"] == 2
    assert "ensemble" not in about([config], folds[:1], "x", "none", Chosen())["training_data"]


def test_the_command_trains_folds(tmp_path):
    annotated(tmp_path / "images")
    real_config(tmp_path, 1, run="")
    recipe, out = str(tmp_path / "recipe.toml"), tmp_path / "out"
    done = CliRunner().invoke(app, ["train", recipe, str(out), "--folds", "2"])
    assert done.exit_code == 0, done.output
    assert [line.split("/")[-2] for line in done.stdout.splitlines()] == ["fold-1", "fold-2"]
    assert "fold 2 of 2, step 1 of 1, loss" in done.stderr
    read_config(tmp_path / "recipe.toml")
    wrong = CliRunner().invoke(app, ["train", recipe, str(out), "--folds", "30"])
    assert wrong.exit_code == 2


def test_members_are_torch_networks_of_the_same_shape(members):
    from models.network import Architecture, build_network, ensemble_weights

    networks, config = members
    architecture = Architecture(config.network.channels, (2,), members=3)
    ensemble = build_network(architecture, 4)
    ensemble.load_state_dict(ensemble_weights(networks))
    shares = ensemble(torch.from_numpy(PICTURE)).softmax(1)
    assert torch.isfinite(shares).all()
    assert Architecture.from_card({"channels": [4, 8], "strides": [2], "num_res_units": 2}) == (
        Architecture((4, 8), (2,))
    )
