"""Caliper marks are found in grey pictures, and nothing else is taken for one."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from data.phantom.dicom import make_phantom
from imaging.calipers import MOST_MARKS, Mark, find_marks, marks_mask, pair_mm

SHAPE = (240, 320)
EVERYWHERE = np.ones(SHAPE, bool)


def tissue(seed=0, level=70, spread=18):
    """Speckle two pixels wide."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.normal(level, spread * 1.6, (120, 160)).clip(0, 255).astype("u1"))
    return np.asarray(coarse.resize(SHAPE[::-1], Image.Resampling.BICUBIC))


def crosses(luma, centres, *, upright=True, arm=6, width=1, value=235, dotted=False):
    image = Image.fromarray(luma)
    pen = ImageDraw.Draw(image)
    for row, column in centres:
        ways = [(1, 0), (0, 1)] if upright else [(1, 1), (1, -1)]
        for down, right in ways:
            ends = [(column + k * arm * right, row + k * arm * down) for k in (-1, 1)]
            pen.line(ends, fill=value, width=width)
    if dotted:
        (r0, c0), (r1, c1) = centres
        pen.point(
            [(c0 + t * (c1 - c0), r0 + t * (r1 - r0)) for t in np.linspace(0, 1, 24)], fill=value
        )
    return np.asarray(image)


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(30, 200),
    column=st.integers(30, 280),
    upright=st.booleans(),
    arm=st.integers(5, 11),
    width=st.sampled_from([1, 3]),
    value=st.integers(190, 255),
    seed=st.integers(0, 50),
)
def test_a_cross_is_found_where_it_is(row, column, upright, arm, width, value, seed):
    shown = crosses(
        tissue(seed), [(row, column)], upright=upright, arm=arm, width=width, value=value
    )
    (mark,) = find_marks(shown, EVERYWHERE)
    assert mark.upright == upright
    assert np.abs(np.subtract(mark.centre, (row, column))).max() <= 1
    assert abs(mark.arm_px - arm) <= 3


def test_a_cross_survives_jpeg():
    buffer = io.BytesIO()
    shown = crosses(tissue(), [(100, 100), (150, 130)], width=3)
    Image.fromarray(shown).save(buffer, "JPEG", quality=85)
    assert len(find_marks(np.asarray(Image.open(buffer)), EVERYWHERE)) == 2


@pytest.mark.parametrize("number", range(6))
def test_no_phantom_has_one(number):
    luma = make_phantom((55, number), renderer="physical" if number % 2 else "random").frames[0]
    assert find_marks(luma, np.ones(luma.shape, bool)) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spread", [5, 18, 60])
def test_speckle_has_none(seed, spread):
    assert find_marks(tissue(seed, 110, spread), EVERYWHERE) == []


def test_what_is_bright_otherwise_is_no_mark():
    shown = tissue().copy()
    shown[60:64, 40:200] = 235  # a line
    shown[100:140, 100:140] = 240  # a blob
    shown[180, 50] = 255  # a dot
    assert find_marks(shown, EVERYWHERE) == []
    assert find_marks(np.full(SHAPE, 255, np.uint8), EVERYWHERE) == []
    assert find_marks(np.zeros((5, 5), np.uint8), np.ones((5, 5), bool)) == []


def test_marks_beside_the_picture_do_not_count():
    within = EVERYWHERE.copy()
    within[:, 200:] = False
    shown = crosses(tissue(), [(100, 100), (100, 250)])
    assert [mark.centre for mark in find_marks(shown, within)] == [(100.0, 100.0)]


def test_a_grid_is_no_caliper():
    centres = [(r, c) for r in range(30, 220, 40) for c in range(30, 300, 40)]
    assert len(centres) > MOST_MARKS
    assert find_marks(crosses(tissue(), centres), EVERYWHERE) == []


def test_the_mask_covers_strokes_and_dots_and_little_else():
    bare = tissue()
    shown = crosses(bare, [(80, 90), (150, 130)], dotted=True)
    mask = marks_mask(shown, find_marks(shown, EVERYWHERE))
    painted = shown != bare
    assert mask[painted].mean() > 0.95
    assert mask.sum() < 200
    alone = crosses(bare, [(80, 90), (150, 130)])
    assert marks_mask(alone, find_marks(alone, EVERYWHERE)).sum() < 70, "no line where none is"
    assert not marks_mask(bare, []).any()


def test_two_marks_measure_and_others_do_not():
    one, other = Mark((10.0, 20.0), True, 5), Mark((50.0, 50.0), True, 5)
    assert pair_mm([one, other], (0.1, 0.2)) == pytest.approx(np.hypot(4, 6))
    assert pair_mm([one], (0.1, 0.1)) is None
    assert pair_mm([one, other, other], (0.1, 0.1)) is None
    assert pair_mm([one, Mark((50.0, 50.0), False, 5)], (0.1, 0.1)) is None
