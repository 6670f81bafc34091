"""Conformal intervals: ranks against the closed form, and coverage by simulation."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

pytest.importorskip("monai")

from inference.records import Call, Status
from models.bundle import IntervalTable
from training.calibrate import (
    BASE_MM,
    BIN_EDGES_MM,
    CONFIDENCE,
    FEWEST_PATIENTS,
    NOMINAL,
    ONE_BIN,
    fit_intervals,
    spared,
    widest,
)
from training.summary import Result

SPREAD_MM = 0.8  # with the base 1 mm: factors are mm
RESULT = Result("a", "p", {}, True, 5.0, Status.MEASURED, measured_mm=7.0, call=Call.NOT_THIN)


def results(errors, measured_mm=20.0, spread_mm=SPREAD_MM):
    """One patient for each error (measured minus true)."""
    return [
        replace(
            RESULT,
            true_mm=measured_mm - error,
            measured_mm=measured_mm,
            patient=f"{measured_mm} {i}",
            spread_mm=spread_mm,
        )
        for i, error in enumerate(errors)
    ]


@pytest.mark.parametrize("n", [29, 60, 100, 301])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_rank_is_the_largest_that_is_safe(n, confidence):
    """The share inside is at least q exactly if at most n - m of n uniform numbers are below q."""
    m = spared(n, confidence=confidence)
    safe = [k for k in range(1, n) if binom.cdf(n - k, n, NOMINAL) >= confidence]
    assert m == (max(safe, default=0) if max(safe, default=0) >= 2 else 0)
    assert all(a <= b for a, b in pairwise(spared(k) for k in range(20, 120)))


def test_the_fewest_patients_are_those_of_wilks():
    """1 - q^n - n (1 - q) q^(n-1) is the confidence of the range of n, two-sided."""
    n, q = FEWEST_PATIENTS, NOMINAL
    held = [1 - q**k - k * (1 - q) * q ** (k - 1) for k in (n - 1, n)]
    assert held[0] < CONFIDENCE <= held[1]
    assert spared(n - 1) == 0 and spared(n) == 2


def test_the_nominal_share_is_held_with_confidence():
    """Normal errors with a bias: what an interval truly holds is known in closed form."""
    rng, n, bias, sd = np.random.default_rng(5), 60, 0.8, 0.5
    held = []
    for _ in range(200):
        table = fit_intervals(results(rng.normal(bias, sd, n)), ONE_BIN)
        below, above = table.reach(20.0, SPREAD_MM)
        held.append(norm.cdf(below, bias, sd) - norm.cdf(-above, bias, sd))
    m = spared(n)
    wanted = beta.sf(NOMINAL, n + 1 - m, m)
    assert wanted >= CONFIDENCE
    assert np.mean(np.array(held) >= NOMINAL) >= wanted - 0.13  # the narrowest is chosen
    assert np.mean(held) == pytest.approx((n + 1 - m) / (n + 1), abs=0.02)


def test_a_bias_moves_the_interval_and_does_not_widen_it():
    errors = norm.ppf((np.arange(99) + 0.5) / 99) * 0.3
    errors[-1] = 0.9  # what is one of a kind on its side is left out there
    plain = fit_intervals(results(errors), ONE_BIN).reach(20.0, SPREAD_MM)
    assert plain[0] < 0.8
    thick = fit_intervals(results(errors + 0.2), ONE_BIN).reach(20.0, SPREAD_MM)
    assert thick[0] == pytest.approx(plain[0] + 0.2)
    assert thick[1] == pytest.approx(plain[1] - 0.2)
    far = fit_intervals(results(errors + 3.0), ONE_BIN).reach(20.0, SPREAD_MM)
    assert far[1] == 0, "what was measured lies within"


def test_the_ends_are_ranks_of_signed_errors():
    errors = np.linspace(-0.5, 0.4, 99)
    cases = [r for mm in (3.0, 5.0, 10.0) for r in results(errors, mm)]
    table = fit_intervals(cases, BIN_EDGES_MM)
    m = spared(99)
    assert m == 7
    for mm in (3.0, 5.0, 10.0):
        below, above = table.reach(mm, SPREAD_MM)
        inside = (errors >= -above - 1e-9) & (errors <= below + 1e-9)
        assert inside.sum() == 99 - (m - 2), "m ranks, of which two are the ends themselves"
    assert table.nominal == NOMINAL and table.upper_mm == BIN_EDGES_MM


def test_what_is_twice_as_difficult_gets_twice_the_interval():
    table = fit_intervals(results(np.linspace(-0.5, 0.4, 99)), ONE_BIN)
    easy, hard = table.reach(20.0, SPREAD_MM), table.reach(20.0, 2 * SPREAD_MM + BASE_MM)
    assert hard == pytest.approx([2 * side for side in easy])


def test_too_few_patients_are_refused():
    enough = results(np.linspace(-0.5, 0.4, FEWEST_PATIENTS))
    assert fit_intervals(enough, ONE_BIN).reach(20.0, SPREAD_MM) == pytest.approx((0.4, 0.5))
    with pytest.raises(ValueError, match=r"only 28 patients measured from 0 to inf mm.*29 are"):
        fit_intervals(enough[:-1], ONE_BIN)


def test_a_patient_with_many_scans_counts_as_one():
    """Twenty bad scans of one woman must not widen what holds for all the others."""
    others = results([0.5, -0.5] * 29)
    bad = replace(others[0], true_mm=10.0, patient="one")
    alone, often = ([*others, *[bad] * k] for k in (1, 20))
    assert fit_intervals(alone, ONE_BIN) == fit_intervals(often, ONE_BIN)
    assert fit_intervals(often, ONE_BIN).reach(20.0, SPREAD_MM) == pytest.approx((0.5, 0.5))


@settings(max_examples=25)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=3), min_size=29, max_size=60))
def test_patients_are_covered_as_promised(errors):
    """Of the patients calibrated on, weighted alike, all but the spared ones lie within."""
    cases = [replace(r, patient=str(i)) for i, each in enumerate(errors) for r in results(each)]
    below, above = fit_intervals(cases, ONE_BIN).reach(20.0, SPREAD_MM)
    within = [np.mean([-above - 1e-9 <= e <= below + 1e-9 for e in each]) for each in errors]
    assert np.sum(within) >= len(errors) - spared(len(errors)) - 1e-6


def test_the_wider_interval_of_every_bin_and_side_counts():
    one = IntervalTable(0.9, 0.6, (4.0, math.inf), (0.5, 1.0), (0.2, 0.3))
    other = replace(one, lower_factor=(0.7, 0.8), upper_factor=(0.1, 0.4))
    both = replace(one, lower_factor=(0.7, 1.0), upper_factor=(0.2, 0.4))
    assert widest([one, other]) == both
    assert widest([one]) == one
    with pytest.raises(ValueError, match="other bins"):
        widest([one, replace(one, upper_mm=(8.0, math.inf))])
