"""Clips from which nobody should take a thickness: files, headers and what is said of them."""

import numpy as np
import pytest
from pydicom import dcmread

from data.cases import read_cases
from data.phantom import collection
from data.phantom.collection import truth_row, write_phantoms
from data.phantom.colour import with_flow
from data.phantom.dicom import write_dicom
from data.phantom.unmeasurable import Situation, make_unmeasurable
from imaging.calibration import Calibration, calibrate
from imaging.clip import Clip
from imaging.modality import bmode_refusal
from imaging.regions import regions

CHEAP = [Situation.BLANK, Situation.REPORT_PAGE]  # nothing is insonified


def test_the_same_key_gives_the_same_pixels():
    one, again, other = (make_unmeasurable((1, i), Situation.REPORT_PAGE) for i in (0, 0, 1))
    assert np.array_equal(one.frames, again.frames)
    assert not np.array_equal(one.frames, other.frames)


@pytest.mark.parametrize("situation", CHEAP)
def test_a_header_that_says_nothing_leaves_it_to_the_pixels(tmp_path, situation):
    phantom = make_unmeasurable((2, 1), situation)
    write_dicom(phantom, tmp_path / "clip.dcm")
    header = dcmread(tmp_path / "clip.dcm", stop_before_pixels=True)
    assert bmode_refusal(header) is None and regions(header) == ()
    assert isinstance(calibrate(header, (600, 800)), Calibration)  # the scale is no way out
    with Clip.open(tmp_path / "clip.dcm") as clip:
        red, green, blue = np.moveaxis(phantom.frames[0].astype(float), -1, 0)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        assert np.abs(clip.frame(1).luma - luma).max() <= 1.5


def test_a_header_that_states_it_is_refused_by_itself(tmp_path):
    write_dicom(make_unmeasurable((2, 1), CHEAP[0], stated=True), tmp_path / "clip.dcm")
    header = dcmread(tmp_path / "clip.dcm", stop_before_pixels=True)
    assert "graphics" in bmode_refusal(header).message


def test_the_truth_names_the_situation_and_no_thickness():
    row = truth_row("a.dcm", make_unmeasurable((1, 0), Situation.BLANK))
    assert (row["subject"], row["thickness_mm"], row["label"]) == ("blank_screen", "", "")
    scene = make_unmeasurable((1, 3), Situation.NO_ENDOMETRIUM)
    assert truth_row("b.dcm", scene)["subject"] in (
        "hidden",
        "ovary",
        "cervix",
        "bladder",
        "poor_contact",
        "noise",
    )


def test_a_folder_has_every_situation_in_turn(tmp_path, monkeypatch):
    drawn = []

    def cheap(key, situation, renderer):
        drawn.append(situation)
        return make_unmeasurable(key, Situation.BLANK)

    monkeypatch.setattr(collection, "make_unmeasurable", cheap)
    write_phantoms(tmp_path, n=2 * len(Situation), seed=3, unmeasurable=1.0)
    assert drawn == 2 * list(Situation)
    cases = read_cases(tmp_path)
    assert len(cases) == len(drawn) and not any(case.visible for case in cases)
    assert {case.families["view"] for case in cases} == {"blank_screen"}


@pytest.mark.parametrize("covered", [0.0, 0.3, 0.8])
def test_flow_covers_as_much_as_it_should(covered):
    target = np.zeros((300, 400), bool)
    target[140:160, 100:300] = True
    rng = np.random.default_rng(8)
    picture, flow = with_flow(rng, np.full(target.shape, 90, np.uint8), target, covered)
    assert flow.any() and flow[target].mean() == pytest.approx(covered, abs=0.02)
    grey = (picture == picture[..., :1]).all(-1)
    assert not grey[flow].any() and grey[:80].all()
