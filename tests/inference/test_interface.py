"""Contrast across the basal interface, on pictures whose contrast is known."""

import numpy as np
import pytest

from inference.interface import interface_contrasts
from inference.thickness import measure_thickness

MM, SIZE = 0.3, 160
ROWS, COLUMNS = np.indices((SIZE, SIZE)) * MM
INSIDE = (np.abs(ROWS - 24) < 3) & (np.abs(COLUMNS - 24) < 15)
EVERYWHERE = np.ones((SIZE, SIZE), bool)


@pytest.fixture(scope="module")
def band():
    """A level band 6 mm thick and 30 mm long."""
    return measure_thickness(INSIDE.astype(float), (MM, MM))


def picture(upper, lower, seed=0):
    """Speckle of spread 1 whose mean inside is so much above that above and that below the band."""
    speckle = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE))
    beyond = np.where(ROWS < 24, -upper, -lower)
    return (speckle + np.where(INSIDE, 0, beyond)).astype(np.float32)


def test_the_contrast_of_either_side_is_that_of_the_picture(band):
    found = interface_contrasts(picture(3.0, 1.0), EVERYWHERE, band, MM)
    assert sorted(np.median(found, axis=0)) == pytest.approx([1.0, 3.0], abs=0.25)
    dark = interface_contrasts(picture(-3.0, -1.0), EVERYWHERE, band, MM)
    assert sorted(np.median(dark, axis=0)) == pytest.approx([1.0, 3.0], abs=0.25), "either sign"


def test_the_sides_are_kept_apart_along_the_whole_band(band):
    found = interface_contrasts(picture(3.0, 0.0), EVERYWHERE, band, MM)
    assert len(found) == pytest.approx(30 / 2, abs=2)
    strong = found.max(axis=1) == found[:, np.median(found, axis=0).argmax()]
    assert strong.all()


def test_gain_changes_nothing_and_an_interface_without_picture_has_no_contrast(band):
    seen = picture(3.0, 1.0)
    once = interface_contrasts(seen, EVERYWHERE, band, MM)
    assert interface_contrasts(2 * seen + 1, EVERYWHERE, band, MM) == pytest.approx(once, abs=1e-5)
    half = interface_contrasts(seen, ROWS < 27.0, band, MM)
    assert half.min(axis=1).max() == 0 and np.median(half.max(axis=1)) > 2
    assert not interface_contrasts(np.zeros_like(seen), EVERYWHERE, band, MM).any()


def test_a_steep_band_at_the_edge_of_the_grid_is_looked_at_as_well():
    upright = np.zeros((SIZE, SIZE), bool)
    upright[10:, 2:14] = True  # reaches the lower edge
    measured = measure_thickness(upright.astype(float), (MM, MM))
    grey = np.where(upright, 2.0, 0.0) + np.random.default_rng(1).normal(0, 1, (SIZE, SIZE))
    found = interface_contrasts(grey.astype(np.float32), EVERYWHERE, measured, MM)
    assert len(found) > 5
    assert np.median(found, axis=0).max() == pytest.approx(2.0, abs=0.4)
