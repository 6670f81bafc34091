"""`endometer dataset` as people and scripts call it: words, exit statuses, JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest
from drawings import scan, truth
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from data.importers.formats import FORMATS

pytest.importorskip("imagehash")
MAPPED = ["--map", "1=endometrium", "--map", "2=fluid"]


def call(*arguments):
    return CliRunner().invoke(app, ["dataset", *map(str, arguments)])


@pytest.fixture
def source(tmp_path):
    """Eight images with masks, and a ninth without."""
    folder = tmp_path / "in"
    for n in range(8):
        scan(folder / f"images/p{n}_x.png", seed=n)
        (folder / "masks").mkdir(exist_ok=True)
        mask = np.roll(truth(), n, 0)
        Image.fromarray(mask).save(folder / f"masks/p{n}_x.png")
    scan(folder / "images/p9_x.png", seed=9)
    return folder


@pytest.fixture
def imported(source, tmp_path):
    done = call("import", source, tmp_path / "out", *MAPPED, "--spacing", "0.2,0.2",
                "--patient", r"(p\d)_")  # fmt: skip
    assert done.exit_code == 0, done.output
    return tmp_path / "out"


def test_an_import_says_what_it_took_and_what_it_left(source, tmp_path):
    done = call("import", source, tmp_path / "out", *MAPPED, "--map", "7=ignore")
    assert done.exit_code == 0
    assert done.stdout == f"8 items of masks are in {tmp_path / 'out'}.\n"
    for words in ("1 images have nothing drawn", "no label is called '7'", "8 items have no scale",
                  "of 8 items nobody knows the patient"):  # fmt: skip
        assert words in done.stderr
    again = call("import", source, tmp_path / "out2", *MAPPED, "--json", "--empty")
    facts = json.loads(again.stdout)
    assert (facts["items"], facts["empty"], facts["names"]) == (9, 1, {"1": 8, "2": 8})


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["IN", "OUT"], 1, "--map 1=MEANING --map 2=MEANING"),
        (["IN", "OUT", "--map", "1=uterus"], 2, "is not NAME=MEANING"),
        (["IN", "OUT", *MAPPED, "--format", "dicom"], 2, "is none of auto, masks, coco"),
        (["IN", "OUT", *MAPPED, "--format", "coco"], 2, "none of the 17 files"),
        (["IN", "OUT", *MAPPED, "--labels", "endometrium"], 2, "leaves out fluid"),
        (["IN", "OUT", *MAPPED, "--spacing", "5,5"], 2, "0.01 to 1.0"),
        (["IN", "OUT", *MAPPED, "--patient", "("], 2, "no regular expression"),
        (["IN", "OUT", *MAPPED, "--patient", "dicom"], 1, "carries no PatientID"),
        (["IN", "OUT", *MAPPED, "--append"], 1, "no dataset.json to append to"),
        (["IN", "OUT", *MAPPED, "--images", "GONE"], 2, "--images GONE is not there"),
        (["GONE", "OUT", *MAPPED], 2, "SOURCE GONE is not there"),
        (["IN", "OUT", *MAPPED, "--plain-patients", "--pseudonymise", "k"], 2, "exclude"),
    ],
)
def test_what_is_wrong_with_an_import_is_told(source, tmp_path, arguments, status, says):
    places = {"IN": source, "OUT": tmp_path / "out"}
    done = call("import", *(places.get(word, word) for word in arguments))
    assert (done.exit_code, says in done.stderr) == (status, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_check_prints_findings_and_thicknesses_and_draws(imported, tmp_path):
    done = call("check", imported, "--contact-sheet", tmp_path / "sheet.png")
    assert done.exit_code == 0, done.output
    assert "8 items, 0 errors" in done.stdout
    assert done.stdout.splitlines()[-2].split()[1:8] == ["8", "8", "0", "0", "4.0", "4.0", "4.0"]
    assert Image.open(tmp_path / "sheet.png").size[0] > 1000
    facts = json.loads(call("check", imported, "--json").stdout)
    assert facts["errors"] == 0
    assert facts["all"]["median_mm"] == pytest.approx(4.0, abs=0.1)  # 20 rows of 0.2 mm


def test_errors_of_a_check_are_exit_status_1_and_a_wrong_folder_is_2(imported, tmp_path):
    next((imported / "images").iterdir()).unlink()
    done = call("check", imported)
    assert done.exit_code == 1
    assert "error: unreadable (1)" in done.stdout
    assert call("check", tmp_path / "gone").exit_code == 2
    (tmp_path / "bare").mkdir()
    assert call("check", tmp_path / "bare").exit_code == 2


def test_a_split_prints_its_parts(imported, tmp_path):
    done = call("split", imported, tmp_path / "s", "--test", "0.25", "--validation", "0.25")
    assert done.exit_code == 0, done.output
    assert f"3 parts of 8 groups are in {tmp_path / 's'}." in done.stdout
    assert call("check", tmp_path / "s").exit_code == 0
    facts = json.loads(call("split", imported, tmp_path / "f", "--folds", 3, "--json").stdout)
    assert len(facts["parts"]) == 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--folds", 3, "--validation", "0.2"], "leave out --validation"),
        (["--test", "0.6", "--validation", "0.5"], "too little to train on"),
        (["--test", "0", "--validation", "0"], "splits nothing"),
        (["--folds", 20], "groups of images that belong together) for 20 parts"),
    ],
)
def test_what_is_wrong_with_a_split_is_told(imported, tmp_path, options, says):
    done = call("split", imported, tmp_path / "s", *options)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "s").exists()


def test_a_missing_package_is_told_with_its_extra(source, tmp_path, monkeypatch):
    monkeypatch.setattr("data.importers.needs.find_spec", lambda _: None)
    (tmp_path / "coco").mkdir()
    empty = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "coco/a.json").write_text(json.dumps(empty))
    done = call("import", tmp_path / "coco", tmp_path / "out")
    assert (done.exit_code, "pip install 'endometer[annotate]'" in done.stderr) == (2, True)
    monkeypatch.undo()
    assert call("import", source, tmp_path / "out", *MAPPED).exit_code == 0
    monkeypatch.setattr("data.importers.needs.find_spec", lambda _: None)
    done = call("check", tmp_path / "out")
    assert (done.exit_code, "imagehash" in done.stderr) == (2, True)


def test_help_names_every_format_and_waits_for_nothing_heavy():
    shown = call("import", "--help").stdout
    assert all(one.name in shown for one in FORMATS)
    code = (
        "import sys, app.cli; print([m for m in ('numpy', 'pydicom', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
