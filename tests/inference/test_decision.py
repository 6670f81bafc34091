from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decision import decide
from inference.records import Call
from models.bundle import IntervalTable

TABLE = IntervalTable(0.9, 0.5, (4.0, 8.0, inf), (0.4, 0.6, 1.0), (0.4, 0.6, 1.0))
SPREAD = 0.5  # with the base 1 mm: the factors are mm


@pytest.mark.parametrize(
    ("thickness", "call"),
    [
        (5.0, Call.THIN),
        (5.39, Call.THIN),
        (5.4, Call.INDETERMINATE),  # upper is 6.0: not below
        (6.0, Call.INDETERMINATE),
        (6.6, Call.NOT_THIN),  # lower is 6.0: at the threshold is not thin
        (6.59, Call.INDETERMINATE),
        (12.0, Call.NOT_THIN),
    ],
)
def test_the_call_follows_the_interval(thickness, call):
    assert decide(thickness, SPREAD, TABLE, 6.0).call is call


@given(thickness=st.floats(0.1, 40), threshold=st.floats(1, 20))
def test_the_interval_holds_the_thickness_and_decides_alone(thickness, threshold):
    found = decide(thickness, SPREAD, TABLE, threshold)
    assert 0 <= found.lower_mm <= thickness <= found.upper_mm
    assert (found.call is Call.THIN) == (found.upper_mm < threshold)
    assert (found.call is Call.NOT_THIN) == (found.lower_mm >= threshold)


def test_an_uncertain_scale_widens_the_interval_on_both_sides():
    sure, unsure = decide(5.0, SPREAD, TABLE, 6.0), decide(5.0, SPREAD, TABLE, 6.0, 0.05)
    assert unsure.lower_mm == pytest.approx(sure.lower_mm - 0.5)
    assert unsure.upper_mm == pytest.approx(sure.upper_mm + 0.5)
    assert (sure.call, unsure.call) == (Call.THIN, Call.INDETERMINATE)


def test_what_is_drawn_softly_is_known_less_well():
    sharp, soft = decide(5.0, 0.1, TABLE, 6.0), decide(5.0, 1.5, TABLE, 6.0)
    assert sharp.upper_mm - 5.0 == pytest.approx(0.36)
    assert soft.upper_mm - 5.0 == pytest.approx(1.2)
    assert (sharp.call, soft.call) == (Call.THIN, Call.INDETERMINATE)


def test_the_two_sides_have_factors_of_their_own():
    table = IntervalTable(0.9, 0.5, (4.0, inf), (1.5, 0.2), (0.1, 0.9))
    thin, thick = decide(3.0, SPREAD, table, 6.0), decide(4.0, SPREAD, table, 6.0)
    assert (thin.lower_mm, thin.upper_mm) == pytest.approx((1.5, 3.1))
    assert (thick.lower_mm, thick.upper_mm) == pytest.approx((3.8, 4.9))
