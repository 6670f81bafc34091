"""From probabilities to findings and rows, with a network that sees what the test tells it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from dicom_factory import header, region, write

from imaging.calibration import Box
from imaging.grid import GridImage, GridMapping, GridSpec
from imaging.reasons import Reason, Refusal
from inference.clip import measure_clip
from inference.focal import WIDER
from inference.frame import Finding, View, find, segment, too_poor
from inference.quality import (
    FULL_CONTRAST,
    POLICIES,
    SHARP_MM,
    Quality,
    Seen,
    assess,
    confidence,
    extent,
    length_score,
    span,
)
from inference.records import Call, Measurement, Status
from inference.words import in_words
from models.bundle import load_bundle

MM = 0.3
SPEC = GridSpec(192, MM)


@pytest.fixture(scope="module")
def bundle():
    return replace(load_bundle(), grid=SPEC)


def labels(endometrium, fluid=None, uterus=0.9):
    """Probabilities (4, n, n) in the order of the shipped labels."""
    fluid = np.zeros_like(endometrium) if fluid is None else fluid
    rest = np.clip(1 - endometrium - fluid, 0, 1)
    return np.stack([rest * (1 - uterus), endometrium, fluid, rest * uterus]).astype(np.float32)


def band(half_mm, centre=(30.0, 28.0), length=34.0):
    """Coverage of a level band whose half thickness (mm) is a function of its length (mm)."""
    r, c = np.indices((SPEC.size, SPEC.size)) * MM
    along = c - centre[1]
    inside = half_mm(along) - np.abs(r - centre[0])
    return np.clip(0.5 + inside / MM, 0, 1) * (np.abs(along) < length / 2)


def look(endometrium, sector=None, bundle=None, spacing=(MM, MM), **options):
    """Run `find` on a grid that is the frame itself."""
    sector = np.ones((SPEC.size, SPEC.size), bool) if sector is None else sector
    view = View(Box(0, 0, SPEC.size - 1, SPEC.size - 1), sector, spacing)
    itself = GridMapping((0.0, 0.0), (1.0, 1.0))
    grid = GridImage((endometrium > 0.5).astype(np.float32), sector, itself, MM)
    return find(grid, labels(endometrium, **options)[None], view, bundle)


def even(mm):
    return lambda along: np.full_like(along, mm / 2)


def test_a_band_is_found_with_its_thickness(bundle):
    found = look(band(even(6.0)), bundle=bundle)
    assert isinstance(found, Finding)
    assert found.thickness_mm == pytest.approx(6.0, abs=0.05)
    assert found.thickness_px == pytest.approx(20.0, abs=0.2)
    assert found.quality.value > 0.8 and not found.signs and too_poor(found.quality, 0.5) is None


def test_fluid_is_taken_off_the_pixels_as_well(bundle):
    fluid = band(even(2.0))
    found = look(band(even(8.0)) - fluid, fluid=fluid, bundle=bundle)
    assert found.fluid
    assert found.thickness_mm == pytest.approx(6.0, abs=0.15)
    assert found.thickness_px * MM == pytest.approx(found.thickness_mm)


def test_the_fluid_is_outlined_within_the_outline(bundle):
    fluid = band(even(2.0), length=30.0)
    found = look(band(even(8.0)) - fluid, fluid=fluid, bundle=bundle)
    (contour,) = found.fluid_outline
    tall, wide = (contour.max(0) - contour.min(0)) * MM
    assert (tall, wide) == (pytest.approx(2.0, abs=0.05), pytest.approx(30.0, abs=2 * MM))
    assert contour.mean(0)[0] * MM == pytest.approx(30.0, abs=0.2)
    assert (contour[0] == contour[-1]).all()
    # Fluid elsewhere, a bladder, is none of it.
    beside = band(even(4.0), centre=(50.0, 28.0), length=20.0)
    found = look(band(even(8.0)) - fluid, fluid=fluid + beside, bundle=bundle)
    assert len(found.fluid_outline) == 1
    assert look(band(even(8.0)), bundle=bundle).fluid_outline == ()


def tapers(along):
    """Half thickness: 3 mm from 23 mm left of the middle, falling to a thin tail on the right."""
    return np.where(along > -23, np.clip(3.0 - 0.12 * (along + 12), 0.7, 3.0), 0.0)


@pytest.mark.parametrize("tilt", [0.0, 0.6])
@pytest.mark.parametrize("slope", [0.05, 0.1])
def test_a_band_that_widens_where_the_fan_cuts_it_is_refused(bundle, tilt, slope):
    """What lies beyond the edge of the fan may be thicker than all that is seen."""
    r, c = np.indices((SPEC.size, SPEC.size)) * MM
    sector = c < 40 + tilt * (r - 30)
    wedge = band(lambda along: 2.0 + slope * (along + 15), length=80)
    found = look(wedge * sector, sector, bundle)
    assert isinstance(found, Refusal) and found.reason is Reason.CUT_OFF


def test_a_tail_that_leaves_the_fan_does_no_harm(bundle):
    _, c = np.indices((SPEC.size, SPEC.size)) * MM
    tapering = band(tapers, length=60)
    whole = look(tapering, bundle=bundle)
    cut = look(tapering * (c < 45), c < 45, bundle)
    assert isinstance(cut, Finding)
    assert cut.thickness_mm == pytest.approx(whole.thickness_mm, abs=0.05)


def test_a_band_cut_along_its_length_is_refused(bundle):
    r, _ = np.indices((SPEC.size, SPEC.size)) * MM
    found = look(band(even(6.0)) * (r < 31), r < 31, bundle)
    assert isinstance(found, Refusal) and found.reason is Reason.CUT_OFF


def test_what_is_too_thick_is_implausible(bundle):
    found = look(band(even(40.0), length=56), bundle=bundle)
    assert isinstance(found, Refusal) and found.reason is Reason.IMPLAUSIBLE_GEOMETRY


def measured(mask, chord_mm, circle_mm, length_mm=20.0):
    """What a measurement of `mask` says, along its middle row."""
    rows, columns = np.nonzero(mask)
    midline = np.array([[rows.mean(), column] for column in np.unique(columns)])
    return SimpleNamespace(
        component=mask,
        outer_mm=chord_mm,
        inscribed_circle_mm=circle_mm,
        midline=midline,
        length_mm=length_mm,
    )


CLEAR = np.ones((5, 2))


def seen(p, uterus, thickness, frame_mm=0.1, spread=0.5, contrasts=CLEAR, looks=None):
    """What the policies look at: sharp and clear, and stable unless `looks` differ."""
    looks = np.stack([p, p]) if looks is None else looks
    return Seen(p, uterus, thickness, MM, frame_mm, spread, contrasts, looks)


def test_a_thin_line_that_is_sure_along_its_middle_is_sure():
    mask = np.zeros((60, 60), bool)
    mask[29:32, 10:50] = True
    p = np.zeros((60, 60), np.float32)
    p[30, 10:50], p[29, 10:50], p[31, 10:50] = 0.95, 0.55, 0.55
    uterus = np.full((60, 60), 0.9, np.float32)
    assert confidence(seen(p, uterus, measured(mask, 1.0, 1.0))) > 0.85


def test_each_doubt_lowers_the_quality():
    mask = np.zeros((60, 60), bool)
    mask[25:35, 10:50] = True
    sure, uterus = np.where(mask, 0.95, 0.0).astype(np.float32), np.full((60, 60), 0.9, np.float32)

    def quality(p=sure, u=uterus, chord=3.0, circle=3.0, px=0.1, length=20.0, **other):
        return assess(seen(p, u, measured(mask, chord, circle, length), px, **other)).value

    good = quality()
    assert good > 0.85
    assert quality(p=np.where(mask, 0.6, 0.0).astype(np.float32)) < 0.5 * good
    assert quality(u=np.zeros_like(uterus)) == 0
    assert quality(circle=2.0) < 0.5 * good
    assert quality(px=0.7) == pytest.approx(0.5 * good)
    assert quality(chord=3.2) == good, "what a circle may differ"
    assert quality(spread=SHARP_MM) == good and quality(spread=4 * SHARP_MM) == good / 4
    faint = CLEAR * [1, FULL_CONTRAST / 2]
    assert quality(contrasts=faint) == pytest.approx(0.75 * good), "the fainter side counts"
    broken = CLEAR.copy()
    broken[:2, 1] = 0.1
    assert quality(contrasts=broken) == pytest.approx(0.8 * good), "two pieces of five"
    assert quality(contrasts=np.empty((0, 2))) == good / 4
    one_sided = np.stack([sure, sure * (np.arange(60) < 30)])
    assert quality(looks=one_sided) == pytest.approx(good * 2 / 3)
    assert quality(looks=np.stack([sure, 0 * sure])) == 0
    assert quality(looks=sure[None]) == pytest.approx(good), "one look alone disagrees with none"


def drawn(*pieces, between=0.0, shape=(60, 60)):
    """A level line of pieces (first and last column), and how likely the rest of its row is."""
    p = np.zeros(shape, np.float32)
    p[30] = between
    for first, last in pieces:
        p[30, first : last + 1] = 0.9
    return p


def test_a_short_outline_is_a_piece_of_an_endometrium_or_none():
    mask = np.zeros((60, 60), bool)
    mask[30, 10:12] = True

    def score(length_mm):
        return extent(seen(drawn((10, 11)), None, measured(mask, 1.0, 1.0, length_mm)))

    assert score(12.0) == 1, "as short as a whole one can be"
    assert score(9.0) == pytest.approx(0.5)
    assert score(6.0) == score(2.0) == 0


def test_pieces_of_a_line_that_the_network_half_sees_count_together():
    piece = np.zeros((60, 60), bool)
    piece[30, 10:21] = True
    pieces = (10, 20), (30, 34), (45, 50)
    assert span(drawn(*pieces, between=0.3), piece) == 40
    assert span(drawn(*pieces, between=0.1), piece) == 10, "nothing says that they belong together"
    assert span(drawn((10, 20), between=0.3), piece) == 10, "what is not drawn does not count"
    score = extent(seen(drawn(*pieces, between=0.3), None, measured(piece, 1.0, 1.0, 10 * MM)))
    assert score == length_score(40 * MM) > length_score(10 * MM)
    steep = drawn(*pieces, between=0.3).T
    assert span(steep, piece.T) == 40


WEAKNESSES = {
    "context": "not surrounded",
    "confidence": "unsure",
    "agreement": "disagree",
    "extent": "too short",
    "resolution": "coarse",
    "sharpness": "where the interfaces lie",
    "stability": "mirror image",
    "contrast": "hardly shows",
    "boundary": "a part of the length",
}


def test_every_policy_is_looked_at_here():
    assert {policy.name for policy in POLICIES} == WEAKNESSES.keys()


@pytest.mark.parametrize(("weak", "words"), WEAKNESSES.items())
def test_a_poor_finding_names_its_weakest_part(weak, words):
    mask = np.ones((4, 4), bool)
    sure = assess(seen(np.ones((4, 4), np.float32), None, measured(mask, 3, 3)))
    doubted = tuple(replace(p, score=0.1) if p.policy.name == weak else p for p in sure.parts)
    refusal = too_poor(Quality(doubted), 0.5)
    assert refusal.reason is Reason.LOW_QUALITY and words in refusal.message


class Told:
    """A runtime that sees an even band in every frame, and its mirror image in the frame's."""

    device = "cpu"

    def __init__(self, thickness_mm=6.0, length=34.0):
        self.answer = labels(band(even(thickness_mm), length=length))

    def __call__(self, batch):
        return np.stack([self.answer, self.answer[..., ::-1]])


class Lopsided:
    """A runtime that sees a band on the left of whatever it is shown, where that is bright."""

    device = "cpu"

    def __call__(self, batch):
        left = band(even(6.0), length=60) * (np.arange(SPEC.size) < SPEC.size / 2)
        bright = batch[:, 0] > 0
        return np.stack([labels(np.where(at, left, 0)) for at in bright])


def test_a_frame_and_its_mirror_image_get_the_same_answer(bundle):
    """What is seen in one of the two only counts half, on whichever side it lies."""
    sector = np.ones((SPEC.size, SPEC.size), bool)
    view = View(Box(0, 0, SPEC.size - 1, SPEC.size - 1), sector, (MM, MM))
    luma, none = texture(1)[0], np.zeros_like(sector)
    _, looks = segment(luma, none, view, bundle, Lopsided())
    _, others = segment(luma[:, ::-1], none, view, bundle, Lopsided())
    assert np.allclose(looks, others[::-1, ..., ::-1], atol=1e-6)
    both = looks.mean(0)
    assert both[1].max() == pytest.approx(0.5)
    assert (both[1, :, : SPEC.size // 2] > 0.4).any() and (both[1, :, SPEC.size // 2 :] > 0.4).any()


def texture(frames):
    rng = np.random.default_rng(0)
    return rng.integers(60, 140, (frames, SPEC.size, SPEC.size)).astype(np.uint8)


def clip_of(tmp_path, *items, frames=1, name="clip.dcm"):
    """A picture that fills its 192 x 192 pixels, so that the grid is the frame."""
    picture = texture(frames)
    data = header(SPEC.size, SPEC.size, SequenceOfUltrasoundRegions=list(items) or None)
    if frames > 1:
        data.NumberOfFrames = frames
    return write(tmp_path / name, data, picture.tobytes())


def test_an_outline_up_to_the_edge_of_its_region_belongs_to_it(bundle, tmp_path):
    """A tail reaches the region's edge; its contour lies half a grid step beyond."""
    item = region(box=(0, 0, 191, 191), delta=(MM / 10, MM / 10))
    runtime = Told()
    tapering = band(tapers, length=60)
    runtime.answer = labels(tapering)
    best = measure_clip(clip_of(tmp_path, item), bundle, runtime).record.best
    assert best.status is Status.MEASURED, best.message
    assert best.thickness_mm == pytest.approx(6.0, abs=0.4)


def test_a_bulge_is_said_and_widens_the_interval(bundle, tmp_path):
    item = region(box=(0, 0, 191, 191), delta=(MM / 10, MM / 10))
    path, runtime = clip_of(tmp_path, item), Told()
    even = measure_clip(path, bundle, runtime)
    runtime.answer = labels(band(lambda along: 2.5 + 2.0 * np.exp(-((along / 4) ** 2))))
    bulging = measure_clip(path, bundle, runtime)
    assert even.record.best.message is None
    assert "focal thickening" in bulging.record.best.message
    for clip, wider in ((even, 1.0), (bulging, WIDER)):
        best = clip.record.best
        _, above = bundle.intervals.reach(best.thickness_mm, clip.findings[1].spread_mm)
        assert best.upper_mm == pytest.approx(best.thickness_mm + wider * above)


def test_fluid_widens_the_interval(bundle, tmp_path):
    item = region(box=(0, 0, 191, 191), delta=(MM / 10, MM / 10))
    runtime, fluid = Told(), band(even(2.0))
    runtime.answer = labels(band(even(8.0)) - fluid, fluid)
    clip = measure_clip(clip_of(tmp_path, item), bundle, runtime)
    best = clip.record.best
    assert best.fluid and not clip.findings[1].signs
    below, above = bundle.intervals.reach(best.thickness_mm, clip.findings[1].spread_mm)
    assert best.lower_mm == pytest.approx(best.thickness_mm - WIDER * below)
    assert best.upper_mm == pytest.approx(best.thickness_mm + WIDER * above)


@pytest.mark.parametrize("thickness", [6.0, 40.0])
def test_no_millimetres_are_spoken_of_without_a_scale(bundle, tmp_path, thickness):
    """Without a scale the size on the grid is a guess: it must decide and say nothing."""
    two = [region(box=(0, 0, 191, 191), delta=(d, d)) for d in (0.03, 0.05)]
    for items, reason in (([], Reason.NO_CALIBRATION), (two, Reason.AMBIGUOUS_CALIBRATION)):
        path = clip_of(tmp_path, *items)
        best = measure_clip(path, bundle, Told(thickness, 56.0)).record.best
        assert best.reason is reason
        assert best.thickness_mm is best.lower_mm is best.call is None
        assert "35 mm" not in best.message


def test_every_frame_has_a_row_also_where_the_clip_is_refused(bundle, tmp_path):
    item = region(box=(0, 0, 191, 191), delta=(0.03, 0.03), RegionSpatialFormat=3)
    clip = measure_clip(clip_of(tmp_path, item, frames=3), bundle, Told())
    assert clip.record.best.reason is Reason.NOT_BMODE
    assert [row.frame for row in clip.frames] == [1, 2, 3]
    assert {row.reason for row in clip.frames} == {Reason.NOT_BMODE}


def test_a_cine_that_fades_in_is_not_taken_for_an_empty_screen(bundle, tmp_path):
    picture = texture(9)
    picture[[0, 4, 8]] = 0  # first, middle and last are black
    item = region(box=(0, 0, 191, 191), delta=(MM / 10, MM / 10))
    data = header(SPEC.size, SPEC.size, SequenceOfUltrasoundRegions=[item], NumberOfFrames=9)
    path = write(tmp_path / "fade.dcm", data, picture.tobytes())
    assert measure_clip(path, bundle, Told()).record.best.status is Status.MEASURED


def row(thickness, half, call, **values):
    return Measurement(
        1,
        Status.MEASURED,
        thickness_mm=thickness,
        lower_mm=thickness - half,
        upper_mm=thickness + half,
        call=call,
        threshold_mm=6.0,
        **values,
    )


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (row(5.0, 0.5, Call.THIN), "5.0 mm (4.5–5.5), thin: below 6 mm"),
        (row(5.0, 0.96, Call.THIN), "5.0 mm (4.04–5.96), thin: below 6 mm"),
        (row(6.9, 0.94, Call.INDETERMINATE), "6.9 mm (5.96–7.84), indeterminate at 6 mm"),
        (row(6.9, 0.5, Call.NOT_THIN, fluid=True), "not thin: 6 mm or more, fluid in the cavity"),
        (row(5.0, 0.5, Call.THIN, calibration="pixel_spacing"), "scale unverified"),
    ],
)
def test_words_never_belie_the_call(measured, words):
    assert words in in_words(measured)
