"""Every reason for not measuring, each with clips of its own, by header and by pixels."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.phantom.dicom import Panel, make_phantom, write_dicom
from data.phantom.unmeasurable import Situation, make_flow_aside, make_unmeasurable
from imaging.calibration import user_calibration
from imaging.reasons import Reason, Refusal
from inference.clip import Settings, measure_clip
from inference.flow import flow_mask, unless_hidden
from inference.frame import Finding
from inference.quality import POLICIES, Part, Quality
from inference.records import Status
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

SHAPE = (300, 400)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def runtime(bundle):
    return OpenVinoRuntime(bundle)


@pytest.fixture
def measured(tmp_path, bundle, runtime):
    def measure(phantom):
        path = tmp_path / "clip.dcm"
        write_dicom(phantom, path)
        return measure_clip(path, bundle, runtime)

    return measure


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "situation",
    [
        Situation.M_MODE,
        Situation.SPECTRAL_DOPPLER,
        Situation.RENDERING,
        Situation.REPORT_PAGE,
        Situation.BLANK,
        Situation.COLOUR,
    ],
)
def test_what_is_no_b_mode_image_is_refused_by_its_pixels(measured, situation, seed):
    best = measured(make_unmeasurable((3, seed), situation)).record.best
    assert (best.status, best.reason) == (Status.NOT_MEASURABLE, Reason.NOT_BMODE)
    assert best.thickness_mm is None and best.message


def test_a_png_with_a_scale_by_hand_is_refused_as_well(tmp_path, bundle, runtime):
    phantom = make_unmeasurable((3, 0), Situation.SPECTRAL_DOPPLER)
    Image.fromarray(phantom.frames[0]).save(tmp_path / "strip.png")
    settings = Settings(user=user_calibration(0.1, 0.1))
    best = measure_clip(tmp_path / "strip.png", bundle, runtime, settings).record.best
    assert best.reason is Reason.NOT_BMODE and "spectrum" in best.message


@pytest.mark.parametrize("spatial_format", [2, 3, 4, 5])
def test_regions_that_are_no_2d_image_are_refused_by_the_header(measured, spatial_format):
    phantom = make_phantom((2,), 7.0)
    panel = Panel((60, 70, 569, 709), spatial_format, 1, in_cm=False)
    assert measured(phantom).record.best.status is Status.MEASURED
    best = measured(replace(phantom, regions=(panel,))).record.best
    assert best.reason is Reason.NOT_BMODE and "none is 2D" in best.message


def test_of_a_stated_duplex_display_only_the_fan_is_looked_at(measured):
    """Its strip is another region; what it holds cannot be outlined."""
    drawn = (make_unmeasurable((5, i), Situation.M_MODE, stated=True) for i in range(9))
    phantom = next(phantom for phantom in drawn if len(phantom.regions) == 2)
    clip = measured(phantom)
    row_0, column_0, row_1, column_1 = phantom.regions[0].box
    outside = clip.sector.copy()
    outside[row_0 : row_1 + 1, column_0 : column_1 + 1] = False
    assert clip.sector.any() and not outside.any()


@pytest.mark.parametrize(
    "situation",
    [Situation.NO_ENDOMETRIUM, Situation.CUT_OFF, Situation.POOR, Situation.ROUND],
)
def test_a_b_mode_image_without_a_safe_thickness_gets_none(measured, situation):
    best = measured(make_unmeasurable((4, 0), situation)).record.best
    assert best.status is Status.NOT_MEASURABLE and best.thickness_mm is None
    assert best.reason in (
        Reason.NO_ENDOMETRIUM,
        Reason.CUT_OFF,
        Reason.LOW_QUALITY,
        Reason.IMPLAUSIBLE_GEOMETRY,
    )


def test_flow_beside_the_endometrium_does_no_harm(measured):
    clip = measured(make_flow_aside((3,)))
    assert clip.record.best.reason is not Reason.NOT_BMODE


def finding(half=10.0):
    """A level band across the middle of the frame, 200 px long."""
    columns = np.linspace(100, 300, 201)
    top, bottom = (np.stack([np.full(201, 150 + h), columns], 1) for h in (-half, half))
    outline = np.concatenate([top, bottom[::-1], top[:1]])
    calipers = np.array([[150 - half, 200.0], [150 + half, 200.0]])
    quality = Quality(tuple(Part(policy, 1.0) for policy in POLICIES))
    return Finding(2 * half / 10, 2 * half, calipers, (outline,), False, quality, 0.5)


def blob(row, column, radius):
    r, c = np.indices(SHAPE)
    return np.hypot(r - row, c - column) <= radius


@pytest.mark.parametrize(
    ("at", "hidden"),
    [
        ((150, 200, 25), True),  # on it
        ((150, 200, 8), True),  # within: flow in the cavity
        ((130, 160, 20), True),  # on one interface
        ((60, 200, 30), False),
        ((150, 360, 30), False),
    ],
)
def test_an_outline_under_flow_is_a_guess(at, hidden):
    found = unless_hidden(finding(), flow_mask(blob(*at)), np.ones(SHAPE, bool))
    assert isinstance(found, Refusal) == hidden
    if hidden:
        assert found.reason is Reason.NOT_BMODE and "without colour" in found.message


def test_coloured_calipers_and_letters_are_no_flow():
    strokes = np.zeros(SHAPE, bool)
    strokes[140:161, 199:202] = strokes[149:152, 190:211] = True  # a cross on the interface
    strokes[20:60:8, 20:120] = True  # lines of writing
    assert not flow_mask(strokes).any()
    assert isinstance(unless_hidden(finding(), flow_mask(strokes), np.ones(SHAPE, bool)), Finding)


def test_nothing_seen_beside_much_flow_is_blamed_on_the_flow():
    none = Refusal(Reason.NO_ENDOMETRIUM, "Nothing.")
    sector = np.ones(SHAPE, bool)
    assert unless_hidden(none, flow_mask(blob(150, 200, 40)), sector).reason is Reason.NOT_BMODE
    assert unless_hidden(none, flow_mask(blob(150, 200, 8)), sector) is none
    cut = Refusal(Reason.CUT_OFF, "Cut.")
    assert unless_hidden(cut, flow_mask(blob(150, 200, 40)), sector) is cut
