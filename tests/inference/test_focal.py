"""Signs of something focal: said, and the interval is wider."""

from types import SimpleNamespace

import numpy as np
import pytest

from inference.decision import decide
from inference.focal import SIGNS, WIDER, Shown, signs_of, usual_mm
from inference.thickness import measure_thickness
from models.bundle import load_bundle

MM, SIZE = 0.3, 192
ROWS, COLUMNS = np.indices((SIZE, SIZE)) * MM
SPECKLE = np.random.default_rng(2).normal(0, 0.3, (SIZE, SIZE))
EVERYWHERE = np.ones((SIZE, SIZE), bool)


def band(half_mm):
    """A level band 30 mm long whose half thickness (mm) is a function of its length (mm)."""
    along = COLUMNS - 28
    inside = half_mm(along) - np.abs(ROWS - 28)
    return np.clip(0.5 + inside / MM, 0, 1) * (np.abs(along) < 15)


def bump(along, high_mm):
    return 2.5 + high_mm * np.exp(-((along / 4) ** 2))


def names(shape, pixels=SPECKLE):
    measured = measure_thickness(shape, (MM, MM))
    return [s.name for s in signs_of(Shown(pixels, EVERYWHERE, measured, MM))]


@pytest.mark.parametrize(("high_mm", "found"), [(0.0, []), (0.4, []), (1.8, ["focal_thickening"])])
def test_a_bulge_is_a_focal_thickening(high_mm, found):
    assert names(band(lambda along: bump(along, high_mm))) == found


def test_a_band_that_tapers_evenly_has_none():
    assert names(band(lambda along: np.clip(3.0 - 0.1 * np.abs(along - 5), 1.0, 3.0))) == []


def test_the_usual_thickness_is_that_beside_the_bulge():
    measured = measure_thickness(band(lambda along: bump(along, 1.8)), (MM, MM))
    assert measured.thickness_mm == pytest.approx(8.6, abs=0.3)
    assert usual_mm(measured) == pytest.approx(5.1, abs=0.5)


def picture(line=0.0, shadow=0.0):
    """Speckle with a line in the cavity so bright, and what lies beyond the band so much darker."""
    inside = np.abs(COLUMNS - 28) < 15
    lit = np.where((np.abs(ROWS - 28) < 1.0) & inside, line, 0.0)
    return (SPECKLE + lit - shadow * ((ROWS > 28.5) & inside)).astype(np.float32)


@pytest.mark.parametrize(
    ("line", "shadow", "found"),
    [(2.5, 1.0, ["device"]), (2.5, 0.0, []), (0.0, 1.0, []), (2.5, -1.0, [])],
)
def test_a_device_is_bright_and_throws_a_shadow(line, shadow, found):
    even = band(lambda along: np.full_like(along, 3.0))
    assert names(even, picture(line, shadow)) == found


def test_a_band_at_the_lower_edge_of_the_picture_throws_none():
    measured = SimpleNamespace(
        component=ROWS > 40,
        midline=np.stack([np.full(60, 160.0), np.arange(60.0)], axis=1),
        profile_mm=np.full(60, 6.0),
        thickness_mm=6.0,
    )
    assert signs_of(Shown(SPECKLE + 3, EVERYWHERE, measured, MM)) == ()


def test_a_sign_says_what_it_looks_at_and_what_to_do():
    assert len({sign.name for sign in SIGNS}) == len(SIGNS)
    for sign in SIGNS:
        assert sign.meaning and sign.words.endswith("a person should look.")


def test_the_interval_of_a_sign_is_wider():
    table = load_bundle().intervals
    plain, flagged = (decide(8.0, 0.5, table, 6.0, wider=w) for w in (1.0, WIDER))
    below, above = table.reach(8.0, 0.5)
    assert flagged.lower_mm == pytest.approx(plain.lower_mm - (WIDER - 1) * below)
    assert flagged.upper_mm == pytest.approx(plain.upper_mm + (WIDER - 1) * above)
