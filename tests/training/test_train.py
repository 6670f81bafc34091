import json
import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from annotated import annotated
from runs import KilledError, config_of, killed_after, real_config, rows, same, state_of

import training.checkpoint
import training.train
from data.cases import CasesError
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime, TorchRuntime
from training.batches import Pictures, batches
from training.checkpoint import RunError
from training.config import ConfigError, read_config
from training.config_tables import Data
from training.export import export
from training.ship import Chosen, main, weights_of
from training.split import read_items
from training.train import averaged_weights, learning_rate, train

ABOUT = dict.fromkeys(("name", "training_data", "known_failures", "licence"), "test")
LABELS = ("background", "endometrium", "fluid", "uterus")


@pytest.mark.parametrize("kill", [1, 4, 5])
def test_a_killed_run_ends_like_an_unbroken_one_bit_for_bit(tmp_path, kill):
    config = real_config(tmp_path, 6)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(config, whole)
    with pytest.raises(KilledError):
        train(config, broken, watch=killed_after(kill))
    assert state_of(broken)["step"] == kill // 3 * 3
    # Folders may move and workers may change in between, their content may not.
    (tmp_path / "images").rename(tmp_path / "moved")
    recipe = tmp_path / "recipe.toml"
    text = recipe.read_text().replace('"images"', '"moved"')
    recipe.write_text(text.replace("workers = 0", "workers = 2"))
    train(read_config(recipe), broken)
    assert same(state_of(whole), state_of(broken))
    assert rows(whole, "validation.csv") == rows(broken, "validation.csv")
    without_seconds = [
        [row[:2] + row[3:] for row in rows(run, "log.csv")] for run in (whole, broken)
    ]
    assert without_seconds[0] == without_seconds[1]
    assert [row[0] for row in rows(whole, "validation.csv")] == ["step", "2", "4", "6"]


def test_a_finished_run_is_not_run_again(tmp_path):
    config = config_of(tmp_path, 2)
    checkpoint = train(config, tmp_path / "run")
    before = checkpoint.stat().st_mtime_ns
    moments = []
    assert train(config, tmp_path / "run", watch=moments.append) == checkpoint
    assert not moments
    assert checkpoint.stat().st_mtime_ns == before


def test_another_configuration_or_other_data_are_refused(tmp_path):
    run = tmp_path / "run"
    config = real_config(tmp_path, 2)
    train(config, run)
    with pytest.raises(
        RunError, match=r"another configuration: seed was 1 and is now 2\. .*--start"
    ):
        train(real_config(tmp_path, 2, top="seed = 2"), run)
    annotated(tmp_path / "images", seed=5)
    with pytest.raises(RunError, match=r"other data .*training images instead"):
        train(config, run)


def test_a_folder_of_an_older_version_is_refused_but_can_be_started_from(tmp_path):
    config = config_of(tmp_path, 2)
    old = tmp_path / "old"
    train(config, old)
    state = state_of(old)
    names = ("network", "average", "optimizer", "step")
    torch.save({name: state[name] for name in names}, old / "checkpoint.pt")
    (old / "run.json").unlink()
    with pytest.raises(RunError, match=r"no run\.json .* add --start"):
        train(config, old)
    train(config, tmp_path / "new", old)
    with pytest.raises(RunError, match=r"network.channels = \[4, 8\] builds|another network"):
        train(config_of(tmp_path, 2, channels=[4, 4]), tmp_path / "other", old)


def test_a_run_can_start_from_the_weights_of_another(tmp_path):
    first = train(config_of(tmp_path), tmp_path / "first")
    config = config_of(tmp_path, top="seed = 2", rate=1e-12)
    second = train(config, tmp_path / "second", first.parent)
    one, other = (averaged_weights(path) for path in (first, second))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    # Going on needs the start no more, and another one is no way to go on.
    first.unlink()
    train(config, tmp_path / "second")
    third = train(config_of(tmp_path, top="seed = 3"), tmp_path / "third")
    with pytest.raises(RunError, match="began with other weights"):
        train(config, tmp_path / "second", third.parent)


def test_a_run_can_start_from_a_bundle_if_the_networks_agree(tmp_path):
    bundle = load_bundle()
    channels = bundle.architecture["channels"]
    size = 2 ** max(5, len(channels))  # an instance norm needs more than one pixel
    config = config_of(tmp_path, 1, channels=channels, grid_size=size, rate=1e-12)
    found = averaged_weights(train(config, tmp_path / "run", "default"))
    wanted = TorchRuntime(bundle, "cpu")._network.state_dict()
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)
    with pytest.raises(RunError) as caught:
        train(config_of(tmp_path, 1), tmp_path / "other", "default")
    assert f"set network.channels = {channels}" in str(caught.value)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "neither the checkpoint.pt of a run nor the card.json of a bundle"),
        (lambda folder: (folder / "checkpoint.pt").write_text("x"), "is no checkpoint"),
        (lambda folder: (folder / "card.json").write_text("{}"), "the card has no field"),
    ],
)
def test_a_start_that_cannot_be_used_says_why(tmp_path, make, says):
    folder = tmp_path / "start"
    folder.mkdir()
    make(folder)
    with pytest.raises(RunError, match=says):
        train(config_of(tmp_path, 1), tmp_path / "run", folder)


def test_training_on_annotated_images_lowers_the_loss(tmp_path):
    annotated(tmp_path / "images")
    config = config_of(
        tmp_path,
        100,
        data='datasets = ["images"]\nphantoms = false\nvalidation = 0.34',
        run="validate_every = 50",
        rate=0.01,
        channels=[8, 16],
        grid_size=64,
        mm_per_px=1.2,
    )
    run = train(config, tmp_path / "run").parent
    losses = [float(row[1]) for row in rows(run, "log.csv")]
    assert len(losses) == 2
    assert losses[-1] < 0.7 * losses[0]
    head, *table = rows(run, "validation.csv")
    assert head[:3] == ["step", "dice", "mae_mm"]
    assert float(table[-1][1]) > 0.7
    assert list((run / "tensorboard").iterdir())
    about = json.loads((run / "run.json").read_text())
    assert about["data"]["training"]["images"] + about["data"]["validation"]["images"] == 6


@pytest.mark.parametrize(
    ("owner", "name"), [(training.checkpoint.Progress, "save"), (training.train, "write_about")]
)
def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path, monkeypatch, owner, name):
    """Neither of the two files that it writes first may be there without being of use."""
    config = config_of(tmp_path, 2)

    def killed(*arguments):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KilledError):
            train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    train(config, tmp_path / "unbroken")
    assert same(state_of(tmp_path / "run"), state_of(tmp_path / "unbroken"))


def test_going_on_with_other_versions_is_told(tmp_path, caplog):
    config = config_of(tmp_path, 2)
    run = train(config, tmp_path / "run").parent
    train(config, run)
    assert "version" not in caplog.text and "was" not in caplog.text
    about = json.loads((run / "run.json").read_text())
    about["versions"]["torch"] = "1.0"
    (run / "run.json").write_text(json.dumps(about))
    train(config, run)
    assert "torch was 1.0 when the run began and is now" in caplog.text


def test_the_best_weights_are_kept_if_asked_for(tmp_path):
    run = train(real_config(tmp_path, 6), tmp_path / "run").parent
    state, scores = state_of(run), [row[-2] for row in rows(run, "validation.csv")[1:]]
    assert state["best_cost"] == pytest.approx(min(map(float, scores)), abs=1e-3)
    chosen = averaged_weights(run / "checkpoint.pt")
    assert all(torch.equal(chosen[name], state["best"][name]) for name in chosen)


def test_thickness_cannot_select_without_a_scale(tmp_path):
    config = real_config(tmp_path)
    annotated(tmp_path / "images", spacing=None)
    with pytest.raises(CasesError, match="no validation image has a scale"):
        train(config, tmp_path / "run")


def test_bfloat16_trains_where_it_is_asked_for(tmp_path):
    losses, weights = [], []
    for precision in ("float32", "bfloat16"):
        config = config_of(tmp_path, 2, run=f'precision = "{precision}"')
        run = train(config, tmp_path / precision).parent
        losses.append(float(rows(run, "log.csv")[-1][1]))
        weights.append(averaged_weights(run / "checkpoint.pt"))
    assert not same(*weights)  # the log's four decimals may agree by chance
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_pictures_are_the_same_in_any_order(tmp_path):
    config = real_config(tmp_path)
    items = read_items(config).training
    whole, late = Pictures(config, items, range(8)), Pictures(config, items, range(5, 8))
    for number in (2, 0, 1):
        pairs = zip(whole[5 + number], late[number], strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    kinds = [bool(whole[number].known.all()) for number in range(8)]
    assert kinds == [True, False] * 4


def test_every_picture_is_shown_so_often_and_mirrored_every_second_time(tmp_path, monkeypatch):
    monkeypatch.setattr("training.batches.AGAIN_AFTER", 2)
    config = config_of(tmp_path, 7).model_copy(update={"batch": 6, "data": Data(showings=3)})
    shown = list(batches(config, [], 0, torch.device("cpu")))
    assert [len(batch.pixels) for batch in shown] == [6] * 7
    for step, batch in enumerate(shown[4:], 4):
        for later, mirror in ((2, True), (4, False)):
            first = shown[step - later]
            for one, other in ((first.pixels, batch.pixels), (first.labels, batch.labels)):
                again = other[later : later + 2]
                assert torch.equal(one[:2].flip(-1) if mirror else one[:2], again)
    # What is new in a batch is in no other one's new part.
    new = torch.cat([batch.pixels[:2] for batch in shown])
    assert len(torch.unique(new.flatten(1), dim=0)) == 14


def test_a_run_that_shows_pictures_again_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr("training.batches.AGAIN_AFTER", 2)
    config = config_of(tmp_path, 6, data="showings = 2")
    train(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(config, tmp_path / "broken", watch=killed_after(4))
    train(config, tmp_path / "broken")
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "broken"))


def test_showings_take_equal_parts_of_a_batch(tmp_path):
    with pytest.raises(ConfigError, match=r"batch = 2 is no multiple of data\.showings = 3"):
        config_of(tmp_path, data="showings = 3")


def test_the_learning_rate_warms_up_stays_and_falls(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("steps = 1000\n[optimiser]\nlearning_rate = 0.01\ndecay = 0.5\n")
    rates = [learning_rate(read_config(path), step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01 / 20)
    assert rates[19] == rates[500] == 0.01
    assert rates[750] == pytest.approx(0.005)
    assert rates[-1] < 1e-6
    assert rates[250:] == sorted(rates[250:], reverse=True)
    path.write_text("steps = 1000\n[optimiser]\ndecay = 0.0\n")
    assert learning_rate(read_config(path), 999) == 0.002
    assert math.isfinite(learning_rate(read_config(path), 0))


def test_a_run_is_exported_as_a_bundle(tmp_path):
    config = config_of(tmp_path, 2, grid_size=64)
    checkpoint = train(config, tmp_path / "run")
    export(averaged_weights(checkpoint), config, LABELS, ABOUT, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    picture = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
    assert np.allclose(
        OpenVinoRuntime(bundle)(picture), TorchRuntime(bundle, "cpu")(picture), atol=1e-4
    )


def test_weights_of_another_run_are_averaged_in(tmp_path):
    config = config_of(tmp_path, 2, grid_size=64)
    ends = []
    for name, seed in (("one", 1), ("two", 2)):
        run = tmp_path / name
        train(config.model_copy(update={"seed": seed}), run)
        ends.append(averaged_weights(run / "checkpoint.pt"))
    chosen = Chosen(blend=(str(tmp_path / "two"), 0.25))
    found = weights_of(tmp_path / "one", config, chosen)
    for name, value in found.items():
        assert torch.allclose(value, 0.75 * ends[0][name] + 0.25 * ends[1][name])
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in found)
    alone = weights_of(tmp_path / "one", config, Chosen())
    assert all(torch.equal(alone[name], ends[0][name]) for name in found)
    other = config_of(tmp_path, 2, grid_size=64, channels=[4, 6])
    with pytest.raises(RunError, match=r"another network"):
        weights_of(tmp_path / "one", other, chosen)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--blend", "default", "half"], "--blend default half: the share is a number from 0 to 1"),
        (["--blend", "default", "1.5"], "--blend default 1.5: the share"),
        (["--blend", "nowhere", "0.5"], "--start nowhere: there is neither"),
        (["--recipe", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_shipping_explains_what_is_wrong(tmp_path, capsys, words, says):
    config_of(tmp_path, 1, grid_size=64)
    recipe, run = str(tmp_path / "recipe.toml"), str(tmp_path / "run")
    train(read_config(tmp_path / "recipe.toml"), tmp_path / "run")
    failures = tmp_path / "failures.txt"
    failures.write_text("All.")
    always = [run, str(tmp_path / "out"), "--name", "x", "--known-failures", str(failures)]
    with pytest.raises(SystemExit) as end:
        main([*always, "--recipe", recipe, *words])
    assert end.value.code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_trains_goes_on_and_explains(tmp_path):
    from typer.testing import CliRunner

    from app.cli import app

    real_config(tmp_path, 2)
    recipe, run = tmp_path / "recipe.toml", tmp_path / "run"
    done = CliRunner().invoke(app, ["train", str(recipe), str(run)])
    assert done.exit_code == 0, done.output
    assert "checkpoint.pt has the trained weights" in done.stdout
    assert "step 2 of 2, loss" in done.stderr
    assert "validation: Dice" in done.stderr
    again = CliRunner().invoke(app, ["train", str(recipe), str(run)])
    assert again.exit_code == 0
    assert "step" not in again.stderr
    recipe.write_text(recipe.read_text() + "\nspeed = 3\n")
    wrong = CliRunner().invoke(app, ["train", str(recipe), str(run)])
    assert wrong.exit_code == 2
    assert "run.speed is unknown" in wrong.stderr


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_kept(tmp_path, monkeypatch):
    config = config_of(tmp_path, 4, run="checkpoint_every = 1")
    real = training.train.SegmentationLoss.__call__
    calls = []

    def diverging(self, *arguments):
        calls.append(1)
        return real(self, *arguments) * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(training.train.SegmentationLoss, "__call__", diverging)
    with pytest.raises(RunError, match=r"after 2 steps; .*learning_rate"):
        train(config, tmp_path / "run")
    assert state_of(tmp_path / "run")["step"] == 2


def full_disk(state, path):
    raise RuntimeError("PytorchStreamWriter failed writing file")


def interrupt(*arguments, **named):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "instead", "status", "says"),
    [
        ("torch.save", full_disk, 1, "checkpoint.part cannot be written: PytorchStreamWriter"),
        (
            "training.ensemble.train_all",
            interrupt,
            130,
            "interrupted. The same command goes on with",
        ),
    ],
)
def test_a_run_that_ends_early_says_so(tmp_path, monkeypatch, name, instead, status, says):
    from typer.testing import CliRunner

    from app.cli import app

    config_of(tmp_path, 1)
    monkeypatch.setattr(name, instead)
    done = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.toml"), str(tmp_path / "run")])
    assert done.exit_code == status
    assert says in " ".join(done.stderr.split())
