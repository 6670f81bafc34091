"""Standardised differences of baseline properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trial.analysis.balance import balance

ARMS = {"control": ["a", "b", "c", "d"], "treated": ["e", "f", "g", "h"]}


def of(values, name="age"):
    (found,) = balance(ARMS, {name: dict(zip("abcdefgh", values, strict=True))})
    return found


def test_means_over_the_root_of_the_mean_variance():
    """Means 3 and 5, variances 4 and 16 (Austin 2009, section 2.1): 2 / sqrt(10)."""
    found = of([1, 3, 5, 3, 1, 5, 9, 5])
    spread = math.sqrt((8 / 3 + 32 / 3) / 2)
    assert found.difference.value == pytest.approx(2 / spread)
    assert [side.mean for side in found.sides] == [3, 5]


def test_a_yes_or_no_has_the_variance_of_a_share():
    """Shares 0.25 and 0.5: 0.25 / sqrt((0.1875 + 0.25) / 2)."""
    found = of([True, False, False, False, True, True, False, False])
    assert found.difference.value == pytest.approx(0.25 / math.sqrt(0.21875))
    assert found.sides[0].sd is None


def test_the_interval_of_hedges_and_olkin():
    found = of([1, 3, 5, 3, 1, 5, 9, 5]).difference
    error = math.sqrt(8 / 16 + found.value**2 / 16)
    assert found.high - found.value == pytest.approx(1.959964 * error, abs=1e-6)
    assert found.value - found.low == pytest.approx(1.959964 * error, abs=1e-6)


def test_unknown_values_are_counted_and_nothing_is_said_where_nothing_varies():
    found = of([1, None, 5, 3, 1, 5, None, None])
    assert [(side.known, side.n) for side in found.sides] == [(3, 4), (2, 4)]
    assert of([2] * 8).difference is None
    assert of([None] * 4 + [1, 2, 3, 4]).difference is None
    assert of([True] * 8).difference is None
    assert balance(ARMS, {"age": {}})[0].sides[0].known == 0


def test_balance_needs_two_arms():
    with pytest.raises(ValueError, match="two arms"):
        balance({"all": ["a"]}, {})


numbers = st.integers(-1000, 1000).map(float)


@given(
    st.lists(numbers, min_size=8, max_size=8),
    st.sampled_from([2.0, 0.5, -1.0]),
    st.integers(-50, 50),
)
def test_units_do_not_matter_and_exchanged_arms_turn_it_round(values, factor, shift):
    one, moved = of(values).difference, of([factor * v + shift for v in values]).difference
    back = of(values[4:] + values[:4]).difference
    assert (one is None) is (moved is None) is (back is None)
    if one is not None:
        assert moved.value == pytest.approx(math.copysign(1, factor) * one.value)
        assert (back.value, back.low) == pytest.approx((-one.value, -one.high))
