import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.grid import GridMapping, GridSpec, fill_graphics, normalise, to_grid

SPEC = GridSpec(96, 0.5)
steps = st.floats(0.02, 20)
origins = st.floats(-2000, 2000)
coordinates = st.floats(-3000, 3000)


def full(rows: int, columns: int) -> np.ndarray:
    return np.ones((rows, columns), bool)


@given(
    origin=st.tuples(origins, origins),
    step=st.tuples(steps, steps),
    point=st.tuples(coordinates, coordinates),
)
def test_a_point_survives_the_round_trip(origin, step, point):
    mapping = GridMapping(origin, step)
    there_and_back = mapping.to_frame(mapping.to_grid(np.array([point])))
    assert np.abs(there_and_back - point).max() < 0.01
    back_and_there = mapping.to_grid(mapping.to_frame(np.array([point])))
    assert np.abs(back_and_there - point).max() < 0.01


@given(
    spacing=st.tuples(st.floats(0.08, 0.6), st.floats(0.08, 0.6)),
    at=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_a_spot_is_found_where_the_mapping_says(spacing, at):
    """The mapping agrees with the pixels: a bright spot of the frame lands where it is told."""
    shape = (round(30 / spacing[0]), round(36 / spacing[1]))
    spot = np.array([at[0] * shape[0], at[1] * shape[1]])
    r, c = np.indices(shape)
    d2 = ((r - spot[0]) * spacing[0]) ** 2 + ((c - spot[1]) * spacing[1]) ** 2
    luma = (20 + 200 * np.exp(-d2 / (2 * 1.5**2))).astype(np.uint8)
    image = to_grid(luma, full(*shape), spacing, SPEC)
    weight = np.where(image.sector, image.pixels - image.pixels[image.sector].min(), 0) ** 2
    grid = np.indices(weight.shape)
    centre = (grid * weight).sum((1, 2)) / weight.sum()
    assert np.abs(centre - image.mapping.to_grid(spot)).max() < 0.15
    assert image.mm_per_px == SPEC.mm_per_px


def test_lengths_in_the_grid_are_millimetres_whatever_the_pixels_are():
    """A bar of 10 mm x 4 mm in a frame with unequal pixels has that size on the grid."""
    luma = np.full((200, 300), 10, np.uint8)
    row_mm, column_mm = 0.25, 0.1
    luma[80:120, 100:200] = 200  # 10 mm x 10 mm in rows and columns
    image = to_grid(luma, full(200, 300), (row_mm, column_mm), SPEC)
    half = (image.pixels.max() + image.pixels[image.sector].min()) / 2
    bright = image.pixels > half
    assert np.ptp(np.flatnonzero(bright.any(1))) * 0.5 == pytest.approx(10, abs=0.6)
    assert np.ptp(np.flatnonzero(bright.any(0))) * 0.5 == pytest.approx(10, abs=0.6)


def test_a_sector_deeper_than_the_grid_keeps_its_upper_part():
    luma = np.zeros((400, 100), np.uint8)
    luma[:20] = 200
    image = to_grid(luma, full(400, 100), (0.5, 0.5), SPEC)
    assert image.mapping.to_frame(np.zeros((1, 2)))[0, 0] == pytest.approx(0, abs=0.5)
    assert image.pixels[:20][image.sector[:20]].min() > image.pixels[60:][image.sector[60:]].max()


def test_an_uncalibrated_frame_is_scaled_to_its_sector_and_has_no_millimetres():
    small = to_grid(np.full((100, 140), 9, np.uint8), full(100, 140), None, SPEC)
    large = to_grid(np.full((400, 560), 9, np.uint8), full(400, 560), None, SPEC)
    assert small.mm_per_px is None and large.mm_per_px is None
    assert large.mapping.step[0] == pytest.approx(4 * small.mapping.step[0])
    assert small.mapping.step[0] == small.mapping.step[1]


def test_nothing_outside_the_sector_reaches_the_network():
    rng = np.random.default_rng(0)
    sector = np.zeros((120, 160), bool)
    sector[30:100, 40:120] = True
    luma = rng.integers(20, 80, sector.shape).astype(np.uint8)
    shouting = np.where(sector, luma, 255).astype(np.uint8)
    quiet = to_grid(luma, sector, (0.4, 0.4), SPEC)
    loud = to_grid(shouting, sector, (0.4, 0.4), SPEC)
    assert np.array_equal(quiet.pixels, loud.pixels)
    assert (quiet.pixels[~quiet.sector] == 0).all()


def test_an_empty_sector_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        to_grid(np.zeros((50, 50), np.uint8), np.zeros((50, 50), bool), (0.1, 0.1), SPEC)


@given(gain=st.floats(0.3, 3), offset=st.floats(-50, 50))
def test_gain_and_offset_do_not_matter(gain, offset):
    rng = np.random.default_rng(3)
    pixels = rng.normal(100, 20, (20, 20))
    same = normalise(pixels * gain + offset, full(20, 20))
    assert np.allclose(same, normalise(pixels, full(20, 20)), atol=1e-4)


def test_a_constant_picture_is_zero():
    assert (normalise(np.full((8, 8), 77, np.uint8), full(8, 8)) == 0).all()


def test_graphics_are_replaced_by_their_surroundings():
    r, c = np.indices((120, 160))
    ramp = (40 + 0.5 * c + 0.2 * r).astype(np.uint8)
    marked, graphics = ramp.copy(), np.zeros(ramp.shape, bool)
    graphics[60, 40:120] = graphics[50:70, 80] = True  # a caliper
    graphics[20:30, 20:40] = True  # and a patch of text
    marked[graphics] = 255
    filled = fill_graphics(marked, graphics, full(120, 160))
    assert np.abs(filled.astype(int) - ramp).max() <= 8
    assert fill_graphics(ramp, np.zeros(ramp.shape, bool), full(120, 160)) is ramp


def test_a_frame_of_nothing_but_colour_stays_as_it_is():
    luma = np.full((60, 80), 50, np.uint8)
    assert np.array_equal(fill_graphics(luma, full(60, 80), full(60, 80)), luma)
