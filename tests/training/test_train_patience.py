"""Runs that end early, that select by Dice, and that are never worse than their start."""

import json

import pytest

pytest.importorskip("torch")

import torch
from annotated import annotated
from runs import KilledError, config_of, killed_after, real_config, rows, same, state_of

import training.train
from data.cases import CasesError
from training.checkpoint import RunError, averaged_weights, steps_done
from training.config import Config, ConfigError, read_config
from training.ship import Chosen, about
from training.train import train
from training.validation import Judged, Validation, summed

# A checkpoint after step 10 holds a count of one.
PATIENT = 'selection = "thickness"\npatience = 2\nvalidate_every = 2\ncheckpoint_every = 5\n'


def validations(monkeypatch, scores):
    """Let the validation after step 2 n find the n-th of the scores (mm); the last one for ever.

    A start is validated as well: it has the first score.
    """

    def validate(network, *others):
        step = int(network.steps_for_test)
        score = scores[min(step // 2, len(scores) - 1)]
        return Validation(0.5, score, 0.0, 0.0, score, 0.5)

    real = training.train._Job.validate

    def told(job):
        job.progress.average.module.steps_for_test = job.progress.step
        return real(job)

    monkeypatch.setattr(training.train, "validate", validate)
    monkeypatch.setattr(training.train._Job, "validate", told)


def test_a_run_ends_when_validation_has_not_got_better_for_long_enough(tmp_path, monkeypatch):
    validations(monkeypatch, [9, 3, 2, 2, 1, 1.5, 1.2, 0.1])
    config = real_config(tmp_path, 30, run=PATIENT)
    moments = []
    run = train(config, tmp_path / "run", watch=moments.append).parent
    # The best is that after step 8; those after 10 and 12 are no better.
    assert [moment.step for moment in moments if moment.last] == [12]
    assert steps_done(run / "checkpoint.pt", config) == (12, True)
    assert state_of(run)["best_cost"] == 1
    assert [row[0] for row in rows(run, "log.csv")] == ["12"]
    # It is at its end: nothing is done any more, and it can be shipped.
    assert train(config, run, watch=moments.append) == run / "checkpoint.pt"
    assert moments[-1].step == 12
    texts = about([config], [run], "mine", "none", Chosen())
    assert texts["training_data"].startswith("24 pictures")
    before = Config.model_validate({"steps": 10, "batch": 4, "data": {"showings": 2}})
    texts = about([before, config], [run], "mine", "none", Chosen())
    assert texts["training_data"].startswith("44 pictures")
    assert "seen once to 2 times each" in texts["training_data"]
    patient = config.model_copy(update={"run": config.run.model_copy(update={"patience": 3})})
    with pytest.raises(ValueError, match="is at step 12 of 30"):
        about([patient], [run], "mine", "none", Chosen())


@pytest.mark.parametrize("kill", [1, 5, 9, 10, 11])
def test_a_killed_run_ends_early_at_the_same_step_bit_for_bit(tmp_path, monkeypatch, kill):
    validations(monkeypatch, [9, 3, 2, 2, 1, 1.5, 1.2, 0.1])
    config = real_config(tmp_path, 30, run=PATIENT)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(config, whole)
    with pytest.raises(KilledError):
        train(config, broken, watch=killed_after(kill))
    train(config, broken)
    assert state_of(broken)["step"] == 12
    assert same(state_of(whole), state_of(broken))
    assert rows(whole, "validation.csv") == rows(broken, "validation.csv")


def test_a_killed_balanced_run_ends_like_an_unbroken_one_bit_for_bit(tmp_path):
    real_config(tmp_path, 6)
    recipe = tmp_path / "recipe.toml"
    plain = read_config(recipe)
    recipe.write_text(recipe.read_text().replace("phantoms = 0.5", "phantoms = 0\nbalance = true"))
    config = read_config(recipe)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(config, whole)
    with pytest.raises(KilledError):
        train(config, broken, watch=killed_after(4))
    with pytest.raises(RunError, match=r"data\.balance was True and is now False"):
        train(plain, broken)
    train(config, broken)
    assert same(state_of(whole), state_of(broken))


def test_patience_needs_to_know_what_is_better(tmp_path):
    with pytest.raises(ConfigError, match="patience = 3 needs to know what is better"):
        config_of(tmp_path, run="patience = 3")


def test_without_patience_a_run_makes_all_its_steps(tmp_path, monkeypatch):
    validations(monkeypatch, [1])
    config = real_config(tmp_path, 8)
    assert state_of(train(config, tmp_path / "run").parent)["step"] == 8


def test_dice_selects_where_no_image_has_a_scale(tmp_path):
    run = 'selection = "dice"\nvalidate_every = 2\n'
    config = real_config(tmp_path, 6, run=run)
    annotated(tmp_path / "images", spacing=None)
    out = train(config, tmp_path / "run").parent
    head, *table = rows(out, "validation.csv")
    assert head[-1] == "score_dice"
    scores = [float(row[-1]) for row in table]
    assert all(row[2] == "" for row in table)  # no millimetres
    assert state_of(out)["best_cost"] == pytest.approx(1 - max(scores), abs=1e-3)


def test_dice_cannot_select_where_nothing_was_drawn(tmp_path):
    config = real_config(tmp_path, 2, run='selection = "dice"\n')
    content = json.loads((tmp_path / "images/dataset.json").read_text())
    for item in content["items"]:
        item["labels"] = ["fluid"]
    (tmp_path / "images/dataset.json").write_text(json.dumps(content))
    with pytest.raises(CasesError, match="no validation image has a drawn endometrium"):
        from PIL import Image

        for path in (tmp_path / "images").glob("*-label.png"):
            Image.new("L", (160, 150)).save(path)
        train(config, tmp_path / "run")


def test_scores_count_what_was_refused_and_invented():
    judged = [
        Judged(dice=0.8, measured=True, error_mm=0.5),
        Judged(dice=0.2, measured=False),
        Judged(dice=0.6),  # no scale
        Judged(invented=True),
        Judged(invented=False),
    ]
    found = summed(judged, refused_mm=1.5)
    assert found.dice == pytest.approx((0.8 + 0.2 + 0.6) / 3)
    assert found.mae_mm == 0.5
    assert found.refused == found.invented == 0.5
    assert found.score_mm == pytest.approx((0.5 + 1.5 + 1.5 + 0) / 4)
    assert found.score_dice == pytest.approx((0.8 + 0.2 + 0.6 + 0 + 1) / 5)
    assert summed(judged[::-1], refused_mm=1.5) == found
    assert found.cost("thickness") == found.score_mm
    assert found.cost("dice") == pytest.approx(1 - found.score_dice)
    assert found.cost("last") is None


def test_a_run_is_for_its_start_where_that_is_the_best(tmp_path, monkeypatch):
    start = train(config_of(tmp_path, 2, top="seed = 9"), tmp_path / "start")
    validations(monkeypatch, [0.5, 3, 2])
    config = real_config(tmp_path, 4)
    run = train(config, tmp_path / "run", start.parent).parent
    assert [row[0] for row in rows(run, "validation.csv")] == ["step", "0", "2", "4"]
    chosen, began = averaged_weights(run / "checkpoint.pt"), averaged_weights(start)
    assert all(torch.equal(chosen[name], began[name]) for name in began)
    validations(monkeypatch, [9, 3, 2])
    other = averaged_weights(train(config, tmp_path / "other", start.parent))
    assert not all(torch.equal(other[name], began[name]) for name in began)


def test_a_start_is_judged_once_though_the_run_is_killed(tmp_path):
    start = train(config_of(tmp_path, 2, top="seed = 9"), tmp_path / "start").parent
    config = real_config(tmp_path, 6)
    train(config, tmp_path / "whole", start)
    with pytest.raises(KilledError):
        train(config, tmp_path / "broken", start, killed_after(1))
    train(config, tmp_path / "broken")
    assert same(state_of(tmp_path / "whole"), state_of(tmp_path / "broken"))
    table = rows(tmp_path / "broken", "validation.csv")
    assert table == rows(tmp_path / "whole", "validation.csv")
    assert [row[0] for row in table] == ["step", "0", "2", "4", "6"]


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its run.json lacks the fields that came since, and its checkpoint the count of patience."""
    config = real_config(tmp_path, 6)
    whole, old = tmp_path / "whole", tmp_path / "old"
    train(config, whole)
    with pytest.raises(KilledError):
        train(config, old, watch=killed_after(4))
    state = state_of(old)
    state["best_mm"] = state.pop("best_cost")
    del state["stale"]
    torch.save(state, old / "checkpoint.pt")
    about_run = json.loads((old / "run.json").read_text())
    for table, field in (("data", "folds"), ("data", "balance"), ("loss", "fluid_weight")):
        del about_run["config"][table][field]
    (old / "run.json").write_text(json.dumps(about_run))
    train(config, old)
    for run in (whole, old):
        best = averaged_weights(run / "checkpoint.pt")
    assert same(averaged_weights(whole / "checkpoint.pt"), best)
    assert same(state_of(whole)["network"], state_of(old)["network"])
    # But not with another value than the one it had without knowing.
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[loss]", "[loss]\nfluid_weight = 2.0"))
    with pytest.raises(RunError, match="fluid_weight was 1"):
        train(read_config(recipe), old)
