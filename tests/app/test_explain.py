"""`endometer explain`: what is said agrees with what was measured, whatever became of the clip."""

import json
import math
import re

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from app.cli import app
from data.phantom.dicom import make_phantom, write_dicom
from inference.focal import WIDER
from models.bundle import load_bundle


def explain(*words):
    return CliRunner().invoke(app, ["explain", *map(str, words)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def cine(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "cine.dcm"
    write_dicom(make_phantom((8,), 8.0, 3), path)
    return path


def test_a_number_is_explained(cine):
    facts = json.loads(explain(cine, "--json").stdout)
    assert facts["status"] == "measured"
    assert math.prod(part["score"] for part in facts["parts"]) == pytest.approx(facts["quality"])
    assert facts["quality"] >= facts["least_quality"] == load_bundle().min_quality
    below, above = load_bundle().intervals.reach(facts["thickness_mm"], facts["spread_mm"])
    wider = WIDER if facts["signs"] or facts["fluid"] else 1.0
    assert facts["lower_mm"] == pytest.approx(facts["thickness_mm"] - wider * below)
    assert facts["upper_mm"] == pytest.approx(facts["thickness_mm"] + wider * above)
    assert (facts["message"] or "") == " ".join(sign["words"] for sign in facts["signs"])
    said = explain(cine)
    assert said.exit_code == 0
    for words in (
        f"cine.dcm frame {facts['frame']}/3: {facts['thickness_mm']:.1f} mm",
        "mm per pixel (row, column), from ultrasound_region",
        f"Quality {facts['quality']:.2f}",
        f"Interval: {facts['lower_mm']:.1f} to {facts['upper_mm']:.1f} mm",
        f"Frames: {facts['frames_measured']} of 3 measured",
    ):
        assert words in said.stdout
    for part in facts["parts"]:
        words = rf"{part['name']} +{part['score']:.2f}  {re.escape(part['meaning'])}"
        assert re.search(words, said.stdout)


@pytest.fixture
def bare(tmp_path, cine):
    """A clip without a scale."""
    data = dcmread(cine)
    del data.SequenceOfUltrasoundRegions
    data.save_as(tmp_path / "bare.dcm")
    return tmp_path / "bare.dcm"


def test_a_refusal_is_explained_without_numbers_that_are_not_there(bare):
    facts = json.loads(explain(bare, "--json").stdout)
    assert (facts["status"], facts["reason"]) == ("not_measurable", "no_calibration")
    assert facts["thickness_mm"] is facts["lower_mm"] is None
    said = explain(bare)
    assert said.exit_code == 0
    assert "no safe scale in the file" in said.stdout
    assert "Interval" not in said.stdout and "Frames" not in said.stdout


def test_the_users_spacing_serves_here_too(bare):
    facts = json.loads(explain(bare, "--json", "--spacing", "0.3,0.3").stdout)
    assert facts["reason"] != "no_calibration"


def test_what_cannot_be_explained_says_so(tmp_path):
    text = tmp_path / "text.dcm"
    text.write_text("no image")
    said = explain(text)
    assert said.exit_code == 1
    assert "could not be read" in said.stdout
    assert explain(tmp_path).exit_code == 2
    assert "is no file" in explain(tmp_path / "nowhere.dcm").stderr
    assert explain(text, "--bundle", tmp_path).exit_code == 2


def test_why_an_interval_is_wider_is_explained(tmp_path):
    path = tmp_path / "fluid.dcm"
    write_dicom(make_phantom((9, 20), 10.0), path)
    facts = json.loads(explain(path, "--json").stdout)
    assert facts["fluid"] and not facts["signs"]
    assert "1.5 times as far, because of the fluid." in " ".join(explain(path).stdout.split())
