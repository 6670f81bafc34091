"""`endometer ship`: whole ways from a run to a bundle with a card."""

import json
import shutil

import numpy as np
import pytest
from annotated import annotated
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("torch")

from safetensors.torch import load_file

from app.cli import app
from data.cases import CasesError, read_cases
from data.phantom.collection import write_phantoms
from models.bundle import WEIGHTS, load_bundle
from models.check import MODEL_CARD, card_of, check_bundle
from training import shipping
from training.config import Config
from training.export import UNCALIBRATED
from training.recalibrate import write_calibrated
from training.shipping import Evidence, Origin, held_out, ship

TEXTS = {"name": "own", "licence": "Apache-2.0", "training_data": "x", "known_failures": "Much."}
# So many that enough of them are measured.
CALIBRATING, JUDGING = 36, 8


def trained(folder, spacing):
    """Train two steps on images of patients p0 to p5; returns the run."""
    annotated(folder / "images", spacing=spacing)
    config = folder / "recipe.toml"
    config.write_text(
        'steps = 2\nbatch = 2\n[data]\ndatasets = ["images"]\nphantoms = false\nvalidation = 0.34\n'
        "[network]\ngrid_size = 32\nmm_per_px = 2.4\nchannels = [4, 8]\n[run]\nworkers = 0\n"
    )
    done = call("train", config, folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


def call(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def kept_aside(folder, **options):
    return annotated(folder, 5, patients=[f"q{i}" for i in range(5)], seed=7, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("scaled"), (0.4, 0.5))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The shipped weights, fitted on phantoms as if they were patients, and judged on others."""
    folder = tmp_path_factory.mktemp("own")
    write_phantoms(folder / "fit", n=CALIBRATING, seed=77)
    write_phantoms(folder / "judge", n=JUDGING, seed=78, empty=0.3)
    bundle, said = load_bundle(), list[str]()
    weights = {n: v.float() for n, v in load_file(bundle.path / WEIGHTS).items()}
    config = Config(steps=1)
    evidence = Evidence(folder / "judge", folder / "fit", n=0, gallery=3)
    ship(weights, config, Origin(TEXTS), folder / "out", evidence, (0.0, 0.05), said.append)
    return folder / "out", said


@pytest.mark.slow
def test_intervals_are_fitted_on_patients_and_the_card_says_so(own):
    out, said = own
    bundle, card = load_bundle(out), card_of(out)
    assert bundle.intervals != UNCALIBRATED
    assert "patients, in 1 bins of thickness" in card["fitted"]["intervals"]
    assert card["fitted"]["millimetres_trusted"] is True and "why" not in card["fitted"]
    assert any(line.startswith("intervals: fitted on") for line in said)
    assert bundle.sha256 == load_bundle().sha256  # the same weights


@pytest.mark.slow
def test_the_shift_is_fitted_on_patients_where_there_are_enough(own, monkeypatch):
    seen, cases = [], read_cases(own[0].parent / "fit")
    monkeypatch.setattr(shipping, "fit_shift", lambda cases, *_: seen.append(cases) or 0.25)
    stated = [case for case in cases if case.true_mm is not None]
    by, words = shipping._shift(Config(steps=1), load_bundle(), 0, cases)
    assert by == 0.25 and seen == [stated]
    assert words == f"0.25, fitted on {len(stated)} images of the data set for calibration"
    by, words = shipping._shift(Config(steps=1), load_bundle(), 0, stated[:28])
    assert by == 0 and words.startswith("0, not fitted") and seen == [stated]


@pytest.mark.slow
def test_the_judged_set_has_numbers_with_intervals_and_a_gallery(own):
    out, said = own
    card = card_of(out)
    (name,) = card["metrics"]
    found = card["metrics"][name]
    assert name == "judge, kept aside" and found["n"] == JUDGING
    low, high = found["intervals_95"]["located_share"]
    assert low <= found["located_share"] <= high
    assert 0 < found["label_dice"]["endometrium"]["value"] <= 1
    assert card["judged_on"]["patients"] == JUDGING
    assert f"judged on {JUDGING} cases of {JUDGING} patients." in said
    assert 1 <= len(card["gallery"]) <= 3
    for exhibit in card["gallery"]:
        with Image.open(out / exhibit["file"]) as picture:
            assert max(picture.size) <= 600
        assert exhibit["file"] in card["sha256"]
        assert "phantom-" not in json.dumps(exhibit)
    assert sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) < 16 * 2**20


@pytest.mark.slow
def test_what_was_shipped_is_whole_and_its_page_is_complete(own):
    out, _ = own
    assert all(check.held is not False for check in check_bundle(out))
    page = (out / MODEL_CARD).read_text()
    assert "Much." in page and "![Case" in page and "judge, kept aside" in page


@pytest.mark.slow
def test_a_bundle_calibrated_again_keeps_its_gallery_and_gets_a_page_of_its_own(own, tmp_path):
    out, _ = own
    bundle = load_bundle(out)
    about = {"cases": 40, "patients": 30}
    write_calibrated(bundle, bundle.intervals, tmp_path / "again", "again", about)
    assert all(check.held is not False for check in check_bundle(tmp_path / "again"))
    page = (tmp_path / "again" / MODEL_CARD).read_text()
    assert "# Model card: again" in page and "40 cases of 30 patients; the model is own" in page


def test_a_run_without_millimetres_is_shipped_for_its_outlines_only(tmp_path):
    run = trained(tmp_path, None)
    judge = kept_aside(tmp_path / "judge", spacing=None)
    about = tmp_path / "about.toml"
    about.write_text('eligibility = "All women of 2020."\nknown_failures = "Everything."\n')
    done = call("ship", run, tmp_path / "out", "--name", "x", "--judge", judge, "--about", about)
    assert done.exit_code == 0, done.output
    assert "no number in millimetres can be trusted" in done.stderr
    card, page = card_of(tmp_path / "out"), (tmp_path / "out" / MODEL_CARD).read_text()
    assert load_bundle(tmp_path / "out").intervals == UNCALIBRATED
    assert card["fitted"]["millimetres_trusted"] is False
    assert "**No number in millimetres can be trusted.** It learned from images without" in page
    with Image.open(tmp_path / "out" / card["gallery"][0]["file"]) as picture:
        assert max(picture.size) <= 600
        shown = np.asarray(picture.convert("RGB")).astype(int)
    # The true outline is still green, and the tissue grey.
    assert 20 < (shown[..., 1] - shown[..., 0] > 40).sum() < 0.05 * shown[..., 0].size
    assert "phantom" not in "".join(card["metrics"])  # they say nothing about such a model
    assert "Dice of endometrium" in page and "All women of 2020." in page and "Everything." in page
    assert card["runs"][0]["data"]["training"]["patients"] == 4
    assert "p0" not in json.dumps(card["runs"]) and str(tmp_path) not in json.dumps(card)


def test_patients_that_the_model_saw_cannot_judge_it(run, tmp_path):
    for option in ("--judge", "--calibrate"):
        done = call("ship", run, tmp_path / "out", "--name", "x", option, run.parent / "images")
        assert done.exit_code == 2
        assert f"{option}: the model has learned from 6 of its 6 patients" in done.stderr
    assert not (tmp_path / "out").exists()


def test_patients_and_images_that_fit_cannot_judge(tmp_path):
    one = kept_aside(tmp_path / "one")
    named = shutil.copytree(one, tmp_path / "named")
    table = json.loads((named / "dataset.json").read_text())
    for item in table["items"]:
        item["patient"] += " under another name"
    (named / "dataset.json").write_text(json.dumps(table))
    with pytest.raises(CasesError, match="share 5 patients and 5 images"):
        held_out(Origin(TEXTS), Evidence(one, one))
    with pytest.raises(CasesError, match="share 0 patients and 5 images"):
        held_out(Origin(TEXTS), Evidence(one, named))


def test_cases_that_name_no_patient_are_said_to_be_unchecked(tmp_path):
    one = kept_aside(tmp_path / "one")
    assert "name no patient" not in held_out(Origin(TEXTS), Evidence(one)).words
    table = json.loads((one / "dataset.json").read_text())
    for item in table["items"]:
        del item["patient"]
    (one / "dataset.json").write_text(json.dumps(table))
    assert "5 of its 5 cases name no patient" in held_out(Origin(TEXTS), Evidence(one)).words


def test_the_command_explains_what_is_wrong(run, tmp_path):
    for words, says in (
        ((tmp_path / "nowhere",), "run.json is not there"),
        ((run, "--about", tmp_path / "no.toml"), "no.toml cannot be read"),
        ((run, "--known-failures", tmp_path / "no.txt"), "no.txt"),
        ((run, "--judge", tmp_path), "here is none of them"),
        ((run, "--blend", "default", "2"), "a number from 0 to 1"),
    ):
        first, *rest = words
        done = call("ship", first, tmp_path / "out", "--name", "x", *rest)
        assert done.exit_code in (1, 2) and says in done.stderr, done.output
        assert not (tmp_path / "out").exists()
    done = call("ship", run, load_bundle().path, "--name", "x")
    assert done.exit_code == 2 and "holds a bundle already" in done.stderr


def test_the_template_is_printed(run):
    done = call("ship", "--about-template")
    assert done.exit_code == 0 and '# eligibility = ""' in done.stdout


def test_a_gallery_can_be_left_out(run, tmp_path):
    judge = kept_aside(tmp_path / "judge")
    done = call(
        "ship", run, tmp_path / "out", "--name", "x", "--judge", judge, "--n", 0, "--gallery", 0
    )
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out" / "gallery").exists()
    assert "## Failures" not in (tmp_path / "out" / MODEL_CARD).read_text()
    self_test = np.array(card_of(tmp_path / "out")["self_test"])
    assert self_test.sum(0) == pytest.approx(1, abs=1e-4)


def test_a_bundle_is_judged_again_on_others_and_nothing_else_changes(own, tmp_path):
    out = tmp_path / "again"
    there, _ = own
    shutil.copytree(there, out)
    others = kept_aside(tmp_path / "others")
    done = call("bundle", "judge", out, "--judge", others, "--n", 0, "--gallery", 2)
    assert done.exit_code == 0, done.output
    before, after = card_of(there), card_of(out)
    assert list(after["metrics"]) == ["others, kept aside"] != list(before["metrics"])
    (found,) = after["metrics"].values()
    assert found["n"] == 5 and len(after["gallery"]) == 2
    assert "nobody can check" in after["judged_on"]["disjoint"]
    same = ("intervals", "min_quality", "training_data", "exported_from_sha256", "fitted")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert all(check.held is not False for check in check_bundle(out))
    nothing = call("bundle", "judge", out, "--n", 0)
    assert nothing.exit_code == 2 and "nothing to judge on" in nothing.output
