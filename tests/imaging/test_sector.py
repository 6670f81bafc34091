import numpy as np
import pytest

from data.phantom.dicom import (
    BOX_HEIGHT,
    BOX_LEFT,
    BOX_TOP,
    BOX_WIDTH,
    make_phantom,
    raster_of,
)
from imaging.sector import find_sector


@pytest.mark.parametrize("seed", range(4))
def test_the_fan_is_found_and_the_furniture_is_not(seed):
    phantom = make_phantom((seed,), 6.0)
    frame = phantom.frames[0]
    sector = find_sector(frame)
    box = np.zeros(frame.shape, bool)
    box[BOX_TOP : BOX_TOP + BOX_HEIGHT, BOX_LEFT : BOX_LEFT + BOX_WIDTH] = True
    lit = box & (frame > 40)
    assert (sector & lit).sum() > 0.97 * lit.sum(), "parts of the picture were lost"
    assert not sector[:50].any(), "header text"
    assert not sector[:, :40].any(), "grey bar"
    assert not sector[:, 755:].any(), "ruler"


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_endometrium_is_inside(seed):
    phantom = make_phantom((seed,), 6.0)
    band, sector = phantom.scene.endometrium, find_sector(phantom.frames[0])
    raster = raster_of(phantom.scene.sector)
    along = np.linspace(-0.5, 0.5, 60) * band.length_mm
    for side in (-1, 1):
        for s, half in zip(along, band.half(along), strict=True):
            at = (np.array(band.frame.point(s, side * half)) - raster.origin_mm) / phantom.mm_per_px
            row, column = np.rint(at + np.array([BOX_TOP, BOX_LEFT])).astype(int)
            assert sector[row, column], (s, side)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((300, 400), np.uint8),
        np.full((300, 400), 7, np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((1, 1), np.uint8),
    ],
)
def test_an_empty_screen_has_no_sector(frame):
    assert not find_sector(frame).any()


def test_writing_alone_is_no_sector():
    frame = np.zeros((480, 640), np.uint8)
    frame[20:480:24, 10:600:7] = 220
    frame[21:480:24, 10:600:7] = 220
    assert not find_sector(frame).any()


@pytest.mark.parametrize("level", [0, 24, 48, 90])
def test_a_grey_background_does_not_count_as_picture(level):
    frame = np.full((400, 500), level, np.uint8)
    rng = np.random.default_rng(0)
    frame[60:340, 100:400] = rng.integers(110, 200, (280, 300))
    sector = find_sector(frame)
    assert sector[70:330, 110:390].all()
    assert not sector[:40].any() and not sector[:, :80].any()
