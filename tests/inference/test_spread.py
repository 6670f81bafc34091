"""How softly an interface is drawn, against edges of known softness."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from inference.spread import INNER, OUTER, edge_spread

MM = 0.3
SIZE = 192


def band(half_mm, softness_mm, angle=0.0):
    """A band through the middle whose probability falls as a logistic of the distance."""
    r, c = (np.indices((SIZE, SIZE)) - SIZE / 2) * MM
    across = r * math.cos(angle) - c * math.sin(angle)
    return special.expit((half_mm - np.abs(across)) / softness_mm).astype(np.float32)


def calipers(half_mm, angle=0.0):
    normal = np.array([math.cos(angle), -math.sin(angle)])
    return SIZE / 2 + np.array([[-1.0], [1.0]]) * normal * half_mm / MM


@given(softness=st.floats(0.25, 1.2), half=st.floats(3.5, 8.0), angle=st.floats(0, math.pi))
def test_the_spread_is_that_of_both_edges(softness, half, angle):
    """Odds of e to either side of a logistic lie one softness away; there are two ends.

    Between pixels of 0.3 mm a sharp edge is bent, which adds up to half a pixel.
    """
    found = edge_spread(band(half, softness, angle), calipers(half, angle), MM)
    assert found == pytest.approx(4 * softness, rel=0.1, abs=0.2)


def test_odds_are_those_of_e():
    assert math.log(INNER / (1 - INNER)) == pytest.approx(1, abs=0.01)
    assert math.log(OUTER / (1 - OUTER)) == pytest.approx(-1, abs=0.01)


def test_a_sharp_mask_has_hardly_any():
    mask = (band(3.0, 1e-3) > 0.5).astype(np.float32)
    assert edge_spread(mask, calipers(3.0), MM) < 4 * MM


def test_a_band_that_is_nowhere_sure_spreads_over_its_whole_half():
    faint = 0.6 * (band(3.0, 1e-3) > 0.5).astype(np.float32)
    assert edge_spread(faint, calipers(3.0), MM) > 5.5


def test_what_does_not_end_within_the_picture_is_bounded():
    found = edge_spread(np.full((SIZE, SIZE), 0.6, np.float32), calipers(3.0), MM)
    assert 10 < found < 40
