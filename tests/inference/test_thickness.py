"""The measurement against shapes whose thickness is known from how they are built."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.shapes import (
    Picture,
    Shape,
    anatomy,
    bump,
    constant,
    draw,
    ellipse,
    pear,
    ragged,
    with_fluid,
    with_spur,
)
from imaging.reasons import Reason
from inference.thickness import NotMeasurable, Thickness, measure_thickness

few = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PX = (0.25, 0.25)


def measure(drawn: Picture) -> Thickness:
    return measure_thickness(drawn.probability, drawn.spacing_mm, drawn.fluid)


def refused(drawn: Picture) -> Reason:
    with pytest.raises(NotMeasurable) as caught:
        measure(drawn)
    assert caught.value.message
    return caught.value.reason


def caliper_mm(found: Thickness, spacing: tuple[float, float]) -> float:
    a, b = np.array(found.calipers)
    return float(np.hypot(*((a - b) * spacing)))


SHAPES = {
    "straight": constant(6, 30),
    "bent_90": constant(6, 30, np.pi / 2),
    "elbow": constant(6, 36, 1.4, kind="elbow"),
    "s": constant(5, 36, 1.4, kind="s"),
    "square_ends": constant(7, 25, 0.5, ends=("square", "square")),
    "short": constant(8, 16, ends=("square", "square")),
    "thin": constant(1, 25, 1.0),
    "thick": constant(20, 50, 0.8),
    "ellipse": ellipse(8, 2),
    "disc": ellipse(10, 1),
    "bump_near_end": bump(10, 40, 1.0, 0.15, 0.5),
    "anatomy": anatomy(11, 45, 1.4),
    "pear": pear(10, 40, 0.7, 0.4),
    "spur": with_spur(constant(6, 30, 0.5), 0.4, 0.6, 2.0),
    "hole": Shape(((30.0, 0.6),), lambda s: np.full_like(s, 4.0), 8.0, holes=((12.0, 1.0, 1.2),)),
    "lens": with_fluid(constant(6, 35, 0.4), 3, 0.3, 0.7, True),
    "fluid_inside": with_fluid(constant(8, 35), 3, 0.3, 0.7, False),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    ("spacing", "angle", "kind"),
    [((0.25, 0.25), 0.4, "coverage"), ((0.2, 0.32), 2.0, "blur"), ((0.15, 0.12), 4.0, "sigmoid")],
)
def test_thickness_is_the_true_one(
    name: str, spacing: tuple[float, float], angle: float, kind: str
) -> None:
    if name == "thin" and kind == "blur":
        kind = "coverage"  # a band of four pixels does not survive the blur
    drawn = draw(SHAPES[name], spacing, angle, (0.3, 0.6), kind)
    found = measure(drawn)
    assert found.thickness_mm == pytest.approx(drawn.truth_mm, abs=0.1)
    assert max(found.profile_mm) == found.thickness_mm
    assert found.step_mm <= 0.1 + 1e-9
    assert len(found.midline) == len(found.profile_mm)
    assert caliper_mm(found, spacing) == pytest.approx(found.outer_mm, abs=1e-6)
    assert found.outer_mm == pytest.approx(found.thickness_mm + found.fluid_mm, abs=1e-9)
    assert found.fluid == (drawn.fluid is not None)
    limit = np.array(drawn.probability.shape) - 1
    assert (np.array(found.calipers) >= 0).all() and (np.array(found.calipers) <= limit).all()


@pytest.mark.parametrize("thickness", [1.0, 2.0, 6.0, 12.0])
def test_thin_and_coarse(thickness: float) -> None:
    drawn = draw(constant(thickness, 30, 0.7), (0.35, 0.35), 0.3)
    assert measure(drawn).thickness_mm == pytest.approx(thickness, abs=0.1)


@pytest.mark.parametrize("level", [0.9, 0.75, 0.6])
def test_an_unsure_plateau_keeps_its_edge(level: float) -> None:
    drawn = draw(constant(6, 30, 0.5), PX, 0.4, kind="blur")
    found = measure_thickness(drawn.probability * level, PX)
    assert found.thickness_mm == pytest.approx(6, abs=0.05)


def test_binary_masks_are_good_to_a_pixel() -> None:
    drawn = draw(anatomy(9, 40, 1.0), PX, 0.7, kind="binary")
    assert measure(drawn).thickness_mm == pytest.approx(9, abs=PX[0])


def test_boundary_noise_does_not_become_thickness() -> None:
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        drawn = draw(ragged(constant(6, 35, 0.5), 0.12, 0.3, rng), PX, float(seed))
        found = measure(drawn)
        errors.append(found.thickness_mm - 6)
    assert abs(np.mean(errors)) < 0.1
    assert np.max(np.abs(errors)) < 0.3


def test_the_circle_agrees() -> None:
    found = measure(draw(constant(6, 30, 1.0), PX, 0.3))
    assert found.inscribed_circle_mm == pytest.approx(6, abs=0.05)


def test_length_and_outline() -> None:
    drawn = draw(constant(6, 30, 1.0), PX, 0.3)
    found = measure(drawn)
    assert found.length_mm == pytest.approx(36, abs=0.6)
    (line,) = found.outline
    np.testing.assert_allclose(line[0], line[-1])
    y, x = (line * PX).T
    area = 0.5 * abs(float(np.dot(y[:-1], x[1:]) - np.dot(x[:-1], y[1:])))
    assert area == pytest.approx(6 * 30 + np.pi * 9, rel=0.01)


@few
@given(st.floats(2, 12), st.floats(-1.4, 1.4), st.floats(0, 6.2), st.integers(0, 7))
def test_turned_and_mirrored_arrays_measure_the_same(
    thickness: float, turn: float, angle: float, symmetry: int
) -> None:
    drawn = draw(anatomy(thickness, 30, turn), (0.3, 0.22), angle)
    image, spacing = drawn.probability, drawn.spacing_mm
    if symmetry & 1:
        image = image[::-1]
    if symmetry & 2:
        image = image[:, ::-1]
    if symmetry & 4:
        image, spacing = image.T, (spacing[1], spacing[0])
    assert measure_thickness(image, spacing).thickness_mm == pytest.approx(
        measure(drawn).thickness_mm, abs=0.03
    )


@few
@given(st.floats(0.5, 2.0), st.floats(0, 6.2))
def test_length_scales_with_spacing(factor: float, angle: float) -> None:
    drawn = draw(bump(6, 30, 0.8, 0.3, 0.5), PX, angle)
    scaled = measure_thickness(drawn.probability, (PX[0] * factor, PX[1] * factor))
    assert scaled.thickness_mm == pytest.approx(factor * measure(drawn).thickness_mm, rel=0.005)


@few
@given(st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_the_place_and_a_far_blob_do_not_matter(row: int, column: int, blob: bool) -> None:
    drawn = draw(constant(5, 25, 0.8), PX, 0.5)
    image = np.pad(drawn.probability, ((row + 4, 90 - row), (column + 4, 60 - column)))
    if blob:
        image[-12:-4, -20:-5] = 1.0
    expected, found = measure(drawn), measure_thickness(image, PX)
    assert found.thickness_mm == pytest.approx(expected.thickness_mm, abs=1e-6)
    moved = np.array(found.calipers) - (row + 4, column + 4)
    np.testing.assert_allclose(moved, expected.calipers, atol=1e-6)


@few
@given(st.floats(2, 10), st.floats(0.1, 1.0), st.floats(0, 6.2))
def test_a_thicker_band_measures_thicker(thickness: float, more: float, angle: float) -> None:
    thin = draw(constant(thickness, 30, 0.6), PX, angle)
    thick = draw(constant(thickness + more, 30, 0.6), PX, angle)
    assert measure(thick).thickness_mm > measure(thin).thickness_mm


def test_fluid_may_be_covered_by_the_probability() -> None:
    drawn = draw(with_fluid(constant(6, 35, 0.4), 3, 0.3, 0.7, True), PX, 0.3)
    assert drawn.fluid is not None
    found = measure_thickness(drawn.probability + drawn.fluid, PX, drawn.fluid)
    assert found.thickness_mm == pytest.approx(6, abs=0.1)
    assert found.fluid
    empty = measure_thickness(drawn.probability + drawn.fluid, PX, np.zeros_like(drawn.fluid))
    assert not empty.fluid and empty.fluid_mm == 0


def test_one_layer_around_much_fluid_is_not_measured_along_itself() -> None:
    rows, columns = np.mgrid[:120, :120] - 60.0
    distance = np.hypot(rows, columns) * 0.25
    fluid = np.clip((10 - distance) / 0.25 + 0.5, 0, 1)
    union = np.clip((12 - distance) / 0.25 + 0.5, 0, 1)
    found = measure_thickness(union - fluid, PX, fluid)
    assert found.thickness_mm == pytest.approx(4, abs=0.15)


CUT = constant(6, 40)


@pytest.mark.parametrize("angle", [0.0, 0.4, 0.9])
def test_a_band_that_runs_out_is_measured(angle: float) -> None:
    found = measure(draw(CUT, PX, angle, window=(10 * np.cos(angle), -15, 48, 50)))
    assert found.touches_border
    assert found.thickness_mm == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        (CUT, (-8.0, -1.0, 48.0, 20.0)),  # half of it along its length
        (CUT, (-8.0, -2.9, 48.0, 20.0)),  # a sliver along its length
        (CUT, (10.0, -10.0, 13.0, 10.0)),  # too little is left
        (bump(12, 60, 0, 0.9, 0.6), (-8.0, -10.0, 40.0, 10.0)),  # still rising
        (bump(12, 60, 0, 0.5, 0.6), (-8.0, -10.0, 24.0, 10.0)),
    ],
)
def test_a_hidden_thickest_place_is_refused(
    shape: Shape, window: tuple[float, float, float, float]
) -> None:
    assert refused(draw(shape, PX, window=window)) == Reason.CUT_OFF


def test_the_thickest_place_before_the_cut_is_enough() -> None:
    drawn = draw(bump(12, 60, 0, 0.5, 0.6), PX, window=(-8, -10, 36, 10))
    assert measure(drawn).thickness_mm == pytest.approx(12, abs=0.1)


def test_nothing_to_measure() -> None:
    rows, columns = np.mgrid[:80, :80] - 40
    cross = ((abs(rows) < 8) | (abs(columns) < 8)) & (np.maximum(abs(rows), abs(columns)) < 35)
    fluid = (np.hypot(rows, columns) < 20).astype(float)
    speck = np.zeros((80, 80))
    speck[3:5, 3:5] = 1
    for image, water, reason in (
        (np.zeros((80, 80)), None, Reason.NO_ENDOMETRIUM),
        (np.full((80, 80), 0.5), None, Reason.NO_ENDOMETRIUM),
        (np.zeros((80, 80)), fluid, Reason.NO_ENDOMETRIUM),
        (speck, None, Reason.NO_ENDOMETRIUM),
        (np.ones((80, 80)), None, Reason.CUT_OFF),
        (cross.astype(float), None, Reason.IMPLAUSIBLE_GEOMETRY),
    ):
        with pytest.raises(NotMeasurable) as caught:
            measure_thickness(image, PX, water)
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("image", "spacing", "fluid", "words"),
    [
        (np.zeros(5), PX, None, "rows, columns"),
        (np.zeros((0, 0)), PX, None, "rows, columns"),
        (np.full((9, 9), np.nan), PX, None, "within"),
        (np.full((9, 9), 1.1), PX, None, "within"),
        (np.full((9, 9), -0.1), PX, None, "within"),
        (np.zeros((9, 9), complex), PX, None, "dtype"),
        (np.zeros((9, 9)), PX, np.zeros((9, 8)), "same frame"),
        (np.zeros((9, 9)), (0.0, 0.2), None, "spacing_mm"),
        (np.zeros((9, 9)), (np.inf, 0.2), None, "spacing_mm"),
        (np.zeros((9, 9)), (0.2,), None, "spacing_mm"),
        (np.zeros((9, 9)), "mm", None, "spacing_mm"),
    ],
)
def test_broken_input_says_what_is_wrong(
    image: np.ndarray, spacing: tuple[float, float], fluid: np.ndarray | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        measure_thickness(image, spacing, fluid)
    assert not isinstance(caught.value, NotMeasurable)


@few
@given(st.integers(0, 10**6), st.floats(0.5, 4))
def test_any_map_gives_a_number_or_a_reason(seed: int, grain: float) -> None:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(90, 110)), grain)
    image = 1 / (1 + np.exp(-6 * noise / noise.std()))
    try:
        found = measure_thickness(image, (0.3, 0.25))
    except NotMeasurable as refusal:
        assert refusal.reason in Reason
    else:
        assert 0 < found.thickness_mm < 40
