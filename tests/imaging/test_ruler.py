"""The depth ruler: read to a fraction of a per cent where it is certain, else not read."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from data.phantom.dicom import make_phantom
from imaging.fan import fit_fan
from imaging.ruler import Ruler, find_ruler
from imaging.sector import find_sector

ROWS, COLUMNS, TOP = 600, 800, 60


def fan(depth_mm=70.0, radius_mm=11.0, half_degrees=60.0, seed=0, gap_mm=0.0):
    """Return a screen with a fan (uint8), mm per pixel and the row of the probe's face.

    `gap_mm` below the probe is black.
    """
    half = math.radians(half_degrees)
    lift = radius_mm * (1 - math.cos(half))
    mm = max((depth_mm + lift) / 500, 2 * (radius_mm + depth_mm) * math.sin(half) / 620)
    face = TOP + lift / mm
    r, c = np.mgrid[:ROWS, :COLUMNS]
    down, across = (r - face) * mm + radius_mm, (c - 380) * mm
    far = np.hypot(down, across)
    inside = (far >= radius_mm + gap_mm) & (far <= radius_mm + depth_mm)
    inside &= np.abs(np.arctan2(across, down)) <= half
    noise = np.random.default_rng(seed).rayleigh(45, (ROWS, COLUMNS)) + 25
    return np.where(inside, noise.clip(0, 255), 0).astype(np.uint8), mm, face


def ticked(
    picture,
    mm,
    face,
    *,
    tick_mm=5.0,
    long_every=2,
    column=760,
    side=-1,
    lengths=(6, 12),
    level=200,
    thick=1,
    skip=(),
    middle=None,
):
    """Draw ticks whose centres are exact: grey levels share what a row takes part in."""
    picture = picture.copy()
    last = min(int((ROWS - 10 - face) * mm / tick_mm), 200)
    for tick in range(last + 1):
        if tick in skip:
            continue
        length = lengths[1] if tick % long_every == 0 else lengths[0]
        if middle and tick % long_every == long_every // 2:
            length = middle
        centre = face + tick * tick_mm / mm
        for row in range(int(centre) - 3, int(centre) + 5):
            share = min(row + 0.5, centre + thick / 2) - max(row - 0.5, centre - thick / 2)
            span = sorted((column, column + side * length))
            part = picture[row, span[0] : span[1]]
            np.maximum(part, np.uint8(level * max(0.0, min(1.0, share))), out=part)
    return picture


def read(picture):
    return find_ruler(picture, find_sector(picture))


def exact(found, mm, tick_mm=5.0):
    assert isinstance(found, Ruler), found
    assert found.tick_mm == tick_mm
    assert found.row_mm == pytest.approx(mm, rel=0.003)
    assert 0 < found.uncertainty < 0.005


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"column": 40, "side": 1},
        {"column": 40, "side": -1},
        {"thick": 2},
        {"thick": 3, "lengths": (3, 6)},  # dots, small and large
        {"level": 60},
        {"skip": (3, 4, 9)},
    ],
)
def test_styles(style):
    picture, mm, face = fan()
    found = read(ticked(picture, mm, face, **style))
    exact(found, mm, style.get("tick_mm", 5.0))
    assert found.square
    assert found.side == ("left" if style.get("column") == 40 else "right")
    assert found.ticks.shape[1] == 2
    steps = np.diff(found.ticks[:, 0]) * mm / found.tick_mm
    assert np.abs(steps - np.rint(steps)).max() < 0.1


@pytest.mark.parametrize("tick_mm", [2.5, 5.0])
def test_one_long_tick_in_four_is_not_believed(tick_mm):
    picture, mm, face = fan()
    assert isinstance(read(ticked(picture, mm, face, tick_mm=tick_mm, long_every=4)), str)


def test_ticks_of_one_millimetre():
    picture, mm, face = fan(depth_mm=45)
    exact(read(ticked(picture, mm, face, tick_mm=1.0, long_every=5)), mm, 1.0)
    three = ticked(picture, mm, face, tick_mm=1.0, long_every=10, lengths=(4, 14), middle=8)
    found = read(three)
    assert isinstance(found, Ruler)
    assert found.row_mm == pytest.approx(mm, rel=0.003)


@given(
    depth=st.floats(45, 90),
    radius=st.floats(9, 12.5),
    half=st.floats(45, 70),
    level=st.integers(50, 250),
    column=st.sampled_from([30, 725, 780]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_what_is_found_is_right(depth, radius, half, level, column, seed):
    picture, mm, face = fan(depth, radius, half, seed)
    found = read(ticked(picture, mm, face, level=level, column=column))
    if isinstance(found, Ruler):
        exact(found, mm)


# What scanners draw: ticks per long tick, and mm of a long tick.
DRAWN = [(2, 10), (4, 10), (4, 20), (5, 5), (10, 10)]


@given(
    radius=st.floats(8.5, 13),
    tick_mm=st.sampled_from([1.0, 2.0, 2.5, 5.0, 10.0]),
    long_every=st.sampled_from([1, 2, 3, 4, 5, 10]),
    gap=st.floats(0, 12),
)
@settings(max_examples=60)
def test_no_order_and_no_black_near_field_gives_a_wrong_scale(radius, tick_mm, long_every, gap):
    picture, mm, face = fan(80, radius, gap_mm=gap)
    found = read(ticked(picture, mm, face, tick_mm=tick_mm, long_every=long_every))
    assert isinstance(found, str) or found.row_mm == pytest.approx(mm, rel=0.01)


@given(radius=st.floats(31, 69), drawn=st.sampled_from(DRAWN), depth=st.floats(80, 200))
@settings(max_examples=30)
def test_nor_does_a_convex_probe(radius, drawn, depth):
    picture, mm, face = fan(depth, radius, half_degrees=35)
    found = read(ticked(picture, mm, face, tick_mm=drawn[1] / drawn[0], long_every=drawn[0]))
    assert isinstance(found, str) or found.row_mm == pytest.approx(mm, rel=0.01)


def test_clutter_beside_it():
    picture, mm, face = fan()
    screen = Image.fromarray(ticked(picture, mm, face))
    draw = ImageDraw.Draw(screen)
    for i in range(128):
        draw.line([(20, 340 - i), (34, 340 - i)], fill=2 * i)
    for row in range(20, 560, 40):
        draw.text((766, row), f"{row / 7:.2f}", fill=200)
        draw.text((10, row), "Gn 40", fill=200)
    exact(read(np.asarray(screen)), mm)


def test_half_of_it_covered():
    picture, mm, face = fan()
    covered = ticked(picture, mm, face)
    covered[250:330, 730:] = 0
    covered[400:440, 735:] = 255
    found = read(covered)
    if isinstance(found, Ruler):
        exact(found, mm)


def test_an_axis_through_the_ticks():
    picture, mm, face = fan()
    drawn = ticked(picture, mm, face)
    drawn[60:580, 760] = 180
    exact(read(drawn), mm)


def test_no_ruler():
    assert isinstance(read(fan()[0]), str)


def test_ticks_of_one_length_mean_nothing():
    picture, mm, face = fan()
    assert isinstance(read(ticked(picture, mm, face, lengths=(8, 8))), str)


def test_digits_alone():
    picture, mm, face = fan()
    screen = Image.fromarray(picture)
    for tick in range(7):
        ImageDraw.Draw(screen).text((760, face + tick * 10 / mm), str(tick), fill=200)
    assert isinstance(read(np.asarray(screen)), str)


def test_a_ruler_that_does_not_begin_at_the_probe():
    picture, mm, face = fan()
    assert isinstance(read(ticked(picture, mm, face + 4 / mm)), str)


def test_ticks_beside_no_fan():
    picture, mm, face = fan()
    box = np.zeros_like(picture)
    box[80:560, 150:600] = np.random.default_rng(0).integers(30, 200, (480, 450))
    assert isinstance(read(ticked(box, mm, face)), str)


@given(seed=st.integers(0, 10_000), count=st.integers(5, 80))
@settings(max_examples=30)
def test_random_lines(seed, count):
    rng = np.random.default_rng(seed)
    picture, _, _ = fan()
    for row in rng.integers(5, ROWS - 5, count):
        length = rng.choice([6, 12])
        picture[row, 760 - length : 760] = 200
    assert isinstance(read(picture), str)


@pytest.mark.parametrize("renderer", ["random", "physical"])
def test_phantoms(renderer):
    found = []
    for number in range(6):
        phantom = make_phantom((41, number), renderer=renderer)
        ruler = read(phantom.frames[0])
        if isinstance(ruler, Ruler):
            assert ruler.row_mm == pytest.approx(phantom.mm_per_px, rel=0.01)
            found.append(ruler)
    assert len(found) >= 3


@pytest.mark.parametrize("width", [530, 640, 740, 860, 1100])
def test_a_squeezed_picture_is_noticed(width):
    picture, mm, face = fan()
    drawn = Image.fromarray(ticked(picture, mm, face, lengths=(12, 24)))
    squeezed = np.asarray(drawn.resize((width, ROWS), Image.Resampling.BILINEAR))
    found = read(squeezed)
    if isinstance(found, Ruler):
        assert not found.square
        assert found.row_mm == pytest.approx(mm, rel=0.003)
    shape = fit_fan(squeezed, find_sector(squeezed))
    if shape:
        assert shape.stretch == pytest.approx(COLUMNS / width, rel=0.03)


def test_a_picture_that_is_empty_or_tiny():
    for shape in ((600, 800), (20, 30), (1, 1)):
        blank = np.zeros(shape, np.uint8)
        assert isinstance(read(blank), str)


@pytest.mark.parametrize("rows", range(8, 72, 4))
def test_marks_in_a_picture_lower_than_any_ruler(rows):
    """Ticks of a picture that was shrunk, or noise in one: no ruler, and no fault."""
    picture = np.zeros((rows, 40), np.uint8)
    picture[1::3, 35] = 255
    picture[:, 10:25] = 90
    sector = np.zeros((rows, 40), bool)
    sector[:, 10:25] = True
    assert not isinstance(find_ruler(picture, sector), Ruler)
