"""The fast ways of renderer 1 give what the plain ones give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from data.phantom.anatomy import ArcFrame, Sector
from data.phantom.texture import (
    Canvas,
    _convolved,
    _echoes,
    _from_beams,
    _gaussian,
    along,
    blurred,
    smooth_field,
    speckle,
)


def everywhere(shape):
    return Canvas(shape, np.arange(shape[0] * shape[1]))


def test_a_canvas_gives_back_what_was_laid_on_it():
    canvas = Canvas((4, 5), np.array([0, 7, 19]))
    picture = canvas.lay(np.array([1.0, 2.0, 3.0]))
    assert picture.shape == (4, 5) and picture.sum() == 6 and picture[1, 2] == 2
    assert canvas.pick(picture).tolist() == [1, 2, 3]


@given(
    low=st.floats(-5, 0),
    width=st.floats(1, 60),
    values=st.lists(st.floats(-3, 3), min_size=2, max_size=30),
)
def test_a_line_over_even_knots_is_an_interpolation(low, width, values):
    at = np.linspace(low - 3, low + width + 3, 500)
    knots = np.linspace(low, low + width, len(values))
    found = along(at.astype(np.float32), low, low + width, np.array(values))
    assert found.dtype == np.float32
    steepest = np.abs(np.diff(values)).max() * len(values) / width
    assert found == pytest.approx(np.interp(at, knots, values), abs=2e-5 * (1 + steepest))


@pytest.mark.parametrize("spread", [(0.8, 1.4), (1.3, 0.6), (0.05, 2.0)])
def test_the_convolution_is_that_of_scipy(spread):
    field = np.random.default_rng(1).random((60, 70)).astype(np.float32)
    down, across = (_gaussian(each, 3.0) for each in spread)
    inner = np.s_[len(down) // 2 : 60 - len(down) // 2, len(across) // 2 : 70 - len(across) // 2]
    wanted = ndimage.gaussian_filter(field, spread, truncate=3.0)[inner]
    assert _convolved(field, down, across) == pytest.approx(wanted, abs=1e-5)


def test_a_blurred_picture_is_that_of_scipy_on_black():
    picture = np.random.default_rng(2).random((40, 50)).astype(np.float32)
    wanted = ndimage.gaussian_filter(picture, (1.5, 0.7), truncate=4.0, mode="constant")
    found = blurred(picture.ravel(), everywhere(picture.shape), (1.5, 0.7), 4.0)
    assert found.reshape(picture.shape) == pytest.approx(wanted, abs=1e-5)


def test_echoes_are_white_and_normal():
    real, imaginary = _echoes(np.random.default_rng(3), (600, 600))
    for part in (real, imaginary):
        moments = [np.mean(part.astype(float) ** k) for k in (1, 2, 3, 4)]
        assert moments == pytest.approx([0, 1, 0, 3], abs=0.03)
        assert np.abs(np.mean(part[:, 1:] * part[:, :-1])) < 0.01
    assert abs(np.mean(real * imaginary)) < 0.01
    assert np.mean(real**2 * imaginary**2) == pytest.approx(1, abs=0.02)


def test_beams_are_brought_to_pixels_linearly():
    sector = Sector(11, 1.0, 60)
    rng = np.random.default_rng(4)
    field = rng.random((120, 90)).astype(np.float32)
    distance, angle = rng.uniform(-2, 62, 900), rng.uniform(-1.05, 1.05, 900)
    where = [distance * 119 / 60, (angle + 1) * 89 / 2]
    wanted = ndimage.map_coordinates(field, where, order=1, mode="nearest")
    found = _from_beams(field, distance.astype(np.float32), angle.astype(np.float32), sector)
    assert found == pytest.approx(wanted, abs=2e-3)  # the last sample is left out by 0.001 of one


def test_fields_have_zero_mean_and_about_unit_spread():
    rng = np.random.default_rng(5)
    canvas = everywhere((64, 96))
    swells = np.stack([smooth_field(rng, canvas, 7) for _ in range(200)])
    assert swells.dtype == np.float32 and abs(swells.mean()) < 0.05
    assert swells.std() == pytest.approx(1, abs=0.15)
    sector = Sector(11, 1.0, 60)
    distance, angle = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 60), np.linspace(-1, 1)))
    grains = np.stack([speckle(rng, distance, angle, sector) for _ in range(20)])
    # Between samples a linear value spreads less.
    assert abs(grains.mean()) < 0.05 and 0.8 < grains.std() < 1


@given(z=st.floats(-30, 90), x=st.floats(-60, 60))
def test_beam_angles_are_those_of_arctan2(z, x):
    sector = Sector(11, 1.0, 60)
    distance, angle = sector.polar(np.array(z), np.array(x))
    if abs(x) > 1e-3 or z > -11:
        assert angle == pytest.approx(np.arctan2(x, z + 11), abs=1e-6)
    assert distance == pytest.approx(np.hypot(x, z + 11) - 11, abs=1e-9)


def test_single_precision_is_kept():
    """Doubles would cost a picture twice its time without anybody noticing."""
    rows = np.linspace(0, 60, 50, dtype=np.float32)
    for frame in (ArcFrame((30.0, 0.0), 0.2, 0.02), ArcFrame((30.0, 0.0), 0.2, 0.0)):
        assert {part.dtype for part in frame.local(rows, rows)} == {np.dtype(np.float32)}


def test_a_margin_is_a_distance_from_the_fan():
    sector = Sector(11, 0.9, 60, left_mm=-20)
    depth, lateral = np.meshgrid(np.arange(-10, 70, 0.25), np.arange(-70, 70, 0.25), indexing="ij")
    inside = sector.contains(depth, lateral)
    away = 0.25 * ndimage.distance_transform_edt(~inside)
    grown = sector.holds(*sector.polar(depth, lateral), lateral, 2.0)
    assert grown[inside].all()
    assert grown[away <= 1.7].all()
    assert not grown[away > 4].any()  # corners reach somewhat further
