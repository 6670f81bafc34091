"""Repeated scans of one visit."""

import math

import numpy as np
import pytest
from hypothesis import given
from observed import visit, visits
from published import PEFR

from trial.agreement.estimate import chi2_quantiles
from trial.analysis.repeat import repeats


def again(patient, *mm, cycle=1):
    return visit(patient, cycle, mm[0], repeats_mm=mm)


def test_the_peak_flow_meters_of_bland_and_altman():
    """Lancet 1986, repeatability: two readings of the large meter differ with a standard deviation
    of 21.6 l/min about zero, and twice that, 43.2, is the coefficient."""
    rows = [again(f"p{n}", float(a), float(b)) for n, (a, b) in enumerate(PEFR[:, :2])]
    found = repeats(rows)
    assert found.women == 17
    assert round(math.sqrt(2) * found.overall.sd.value, 1) == 21.6


def test_the_interval_is_that_of_chi_squared():
    rows = [again(f"p{n}", 5.0, 5.0 + gap) for n, gap in enumerate((0.1, 0.4, 0.2, 0.6))]
    sd = repeats(rows).overall.sd
    few, many = chi2_quantiles(4)
    assert sd.low == pytest.approx(sd.value * math.sqrt(4 / many))
    assert sd.high == pytest.approx(sd.value * math.sqrt(4 / few))


def test_bins_go_by_the_mean_and_hold_their_lower_end():
    rows = [again("p", 3.9, 4.1), again("q", 5.9, 5.9), again("r", 8.0, 8.0), again("s", 3.0, 3.2)]
    found = repeats(rows)
    counts = [each.repeatability.cases if each.repeatability else 0 for each in found.bins]
    assert counts == [1, 2, 0, 1]
    assert [(each.low_mm, each.high_mm) for each in found.bins] == [
        (0, 4),
        (4, 6),
        (6, 8),
        (8, None),
    ]


def test_visits_with_one_scan_say_nothing():
    found = repeats([visit("p", 1, 5.0, repeats_mm=(5.0,)), visit("q", 1, 5.0)])
    assert (found.women, found.overall) == (0, None)


def test_several_visits_of_a_woman_are_not_independent():
    rng = np.random.default_rng(3)
    rows = [again(f"p{n % 10}", *(5 + rng.normal(0, 0.3, 2)), cycle=n) for n in range(30)]
    found = repeats(rows)
    few, _ = chi2_quantiles(30)
    assert found.overall.cases == 30
    assert found.overall.sd.high != pytest.approx(found.overall.sd.value * math.sqrt(30 / few))


@given(visits())
def test_every_visit_with_repeats_is_in_one_bin(rows):
    found = repeats(rows)
    total = sum(each.repeatability.cases for each in found.bins if each.repeatability)
    assert total == (found.overall.cases if found.overall else 0)
    assert total == sum(len(each.repeats_mm) > 1 for each in rows)
