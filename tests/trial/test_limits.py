"""Limits of agreement against the papers that define them, and whether their intervals hold."""

import math

import numpy as np
import pytest
from published import CARDIAC, PEFR
from scipy.special import nctdtrit

from trial.agreement.estimate import Z
from trial.agreement.limits import Method, exact, limits_of_agreement
from trial.agreement.repeatability import repeatability
from trial.agreement.trend import trend_of

SUBJECTS = CARDIAC[:, 0].astype(int)


def single(values):
    return [np.array([value]) for value in values]


def test_peak_flow_has_the_bias_and_the_spread_of_the_paper():
    """Bland and Altman 1986: mean -2.1, SD 38.8, its interval -22.1 to 17.8 l/min."""
    found = limits_of_agreement(single(PEFR[:, 0]), single(PEFR[:, 2]), np.arange(17))
    assert found.method is Method.EXACT
    assert (round(found.bias.value, 1), round(found.sd, 1)) == (-2.1, 38.8)
    assert (round(found.bias.low, 1), round(found.bias.high, 1)) == (-22.0, 17.8)
    # The paper takes 2 instead of 1.96: -79.7 and 75.5.
    assert found.low.value == pytest.approx(-79.7 + 0.04 * 38.8, abs=0.1)
    assert found.high.value == pytest.approx(75.5 - 0.04 * 38.8, abs=0.1)
    # Its approximate interval of the lower limit is -114.3 to -45.1; the exact one is skewed out.
    assert found.low.low < -114.3 + 1.6 and found.low.high < -45.1 + 1.6


def test_exact_limits_are_the_tolerance_factors_of_nist():
    """NIST/SEMATECH 7.2.6.3: one-sided factors of 95 % content with a confidence of 95 %."""
    for n, factor in ((10, 2.911), (20, 2.396), (30, 2.220)):
        root = math.sqrt(n)
        assert nctdtrit(n - 1, 1.6448536 * root, 0.95) / root == pytest.approx(factor, abs=5e-4)
    gaps = np.array([-1.0, 0.0, 0.5, 2.0])
    found = exact(gaps)
    factor = nctdtrit(3, Z * 2, 0.975) / 2
    assert found.high.high == pytest.approx(gaps.mean() + factor * gaps.std(ddof=1))
    assert found.high.high - found.bias.value == pytest.approx(found.bias.value - found.low.low)


def test_cardiac_output_whose_true_value_varies():
    """Bland and Altman 2007: variance 0.98133606, bias 0.6021667, limits -1.34 and 2.54."""
    found = limits_of_agreement(single(CARDIAC[:, 1]), single(CARDIAC[:, 2]), SUBJECTS)
    assert found.method is Method.PATIENTS
    assert (found.n, found.patients) == (60, 12)
    assert found.sd**2 == pytest.approx(0.98133606, abs=1e-7)
    assert found.bias.value == pytest.approx(0.6021667, abs=1e-7)
    assert found.low.value == pytest.approx(-1.3394565, abs=1e-4)  # with 1.96 for 1.959964
    assert found.high.value == pytest.approx(2.5437899, abs=1e-4)
    # Counting the 60 pairs as independent would claim far more: SD 0.961, and narrow intervals.
    naive = limits_of_agreement(single(CARDIAC[:, 1]), single(CARDIAC[:, 2]), np.arange(60))
    assert naive.sd == pytest.approx(0.9610571, abs=1e-7)
    assert found.high.high - found.high.low > 2 * (naive.high.high - naive.high.low)


def test_cardiac_output_with_unpaired_replicates():
    """Bland and Altman 1999, 5.2, and 2007: mean 0.7092361, SD 1.0518506."""
    sides = [[CARDIAC[s == SUBJECTS, column] for s in range(1, 13)] for column in (1, 2)]
    found = limits_of_agreement(*sides, np.arange(12))
    assert found.method is Method.REPLICATES
    assert found.sd == pytest.approx(1.0518506, abs=1e-7)
    assert found.bias.value == pytest.approx(0.7092361, abs=1e-7)
    assert found.low.value == pytest.approx(-1.3521, abs=5e-4)
    assert found.high.value == pytest.approx(2.7705, abs=5e-4)
    within = [repeatability(side, np.arange(12)).sd.value ** 2 for side in sides]
    assert within == pytest.approx([0.107227795, 0.137874069], abs=5e-8)


def test_peak_flow_repeatability():
    """Bland and Altman 1986: coefficients 43.2 (large meter) and 56.4 l/min (mini), as twice the
    standard deviation of differences about zero, 21.6 and 28.2.
    """
    for columns, gap in (((0, 1), 21.6), ((2, 3), 28.2)):
        found = repeatability(list(PEFR[:, columns]), np.arange(17))
        assert math.sqrt(2) * found.sd.value == pytest.approx(gap, abs=0.06)
        assert found.coefficient.value == pytest.approx(Z * gap, abs=0.15)
        assert (found.cases, found.readings) == (17, 34)
        assert found.coefficient.low < found.coefficient.value < found.coefficient.high


def test_averaging_replicates_away_would_make_limits_too_narrow():
    rng = np.random.default_rng(5)
    sides = [[rng.normal(8, 1, 4) for _ in range(200)] for _ in range(2)]
    found = limits_of_agreement(*sides, np.arange(200))
    of_means = np.array([x.mean() - y.mean() for x, y in zip(*sides, strict=True)]).std()
    assert found.sd == pytest.approx(math.sqrt(2), rel=0.07)
    assert of_means == pytest.approx(math.sqrt(0.5), rel=0.12)


def test_too_few_cases_and_a_single_patient_have_no_limits_or_intervals():
    two = single([1.0, 2.0])
    assert limits_of_agreement(two, two, np.arange(2)) is None
    one = limits_of_agreement(single([1, 2, 4.0]), single([1, 1, 1.0]), np.zeros(3, int))
    assert one.bias.low is None and one.high.high is None


def simulated(rng, design):
    """Differences with SD sqrt(0.8**2 + 0.5**2) and a bias of 0.3 in total, in one design."""
    k = 20
    if design == "exact":
        gaps = rng.normal(0.3, math.hypot(0.8, 0.5), 15)
        return single(gaps), single(np.zeros(15)), np.arange(15)
    if design == "patients":
        sizes = rng.integers(1, 6, k)
        groups = np.repeat(np.arange(k), sizes)
        gaps = 0.3 + rng.normal(0, 0.8, k)[groups] + rng.normal(0, 0.5, len(groups))
        return single(gaps), single(np.zeros(len(gaps))), groups
    first = [0.3 + rng.normal(0, 0.8) + rng.normal(0, 0.4, rng.integers(1, 4)) for _ in range(k)]
    second = [rng.normal(0, 0.3, rng.integers(1, 4)) for _ in range(k)]
    return first, second, np.arange(k)


@pytest.mark.parametrize("design", ["exact", "patients", "replicates"])
def test_intervals_of_limits_hold_about_95_of_100(design):
    """The binomial error of 600 runs is 0.9 of 100; exact intervals must hold what they say."""
    rng = np.random.default_rng(11)
    upper = 0.3 + Z * math.hypot(0.8, 0.5)
    lower = 0.3 - Z * math.hypot(0.8, 0.5)
    held = []
    for _ in range(600):
        found = limits_of_agreement(*simulated(rng, design))
        assert str(found.method) == design
        held.append(
            [
                found.high.low <= upper <= found.high.high,
                found.low.low <= lower <= found.low.high,
                found.bias.low <= 0.3 <= found.bias.high,
            ]
        )
    for shares in np.mean(held, 0):
        assert 0.925 <= shares <= 0.98


def test_equal_numbers_of_cases_give_the_same_as_zou_writes_it():
    """Zou 2013 with equal m: variance of means + (1 - 1 / m) within, and MOVER on both."""
    rng = np.random.default_rng(2)
    k, m = 12, 3
    gaps = (rng.normal(0, 1, (k, 1)) + rng.normal(0, 0.5, (k, m))).ravel()
    groups = np.repeat(np.arange(k), m)
    found = limits_of_agreement(single(gaps), single(np.zeros(k * m)), groups)
    means = gaps.reshape(k, m).mean(1)
    within = gaps.reshape(k, m).var(1, ddof=1).mean()
    assert found.sd**2 == pytest.approx(means.var(ddof=1) + (1 - 1 / m) * within)
    half = (found.bias.high - found.bias.low) / 2
    assert half == pytest.approx(2.200985 * means.std(ddof=1) / math.sqrt(k), rel=1e-5)


def test_a_difference_that_grows_is_told_and_one_that_does_not_is_not():
    rng = np.random.default_rng(3)
    true = rng.uniform(2, 15, 200)
    first, second = 1.1 * true + rng.normal(0, 0.3, 200), true + rng.normal(0, 0.3, 200)
    found = trend_of(first, second, np.arange(200))
    assert 0.04 < found.bias.low < 0.1 / 1.05 < found.bias.high
    assert found.spread.low < 0 < found.spread.high
    one, other = (true + rng.normal(0, 0.07, 200) * true for _ in range(2))
    wider = trend_of(one, other, np.arange(200))
    assert wider.spread.low > 0.05 and wider.spread.value == pytest.approx(0.1, abs=0.05)
    assert wider.bias.low < 0 < wider.bias.high
    assert trend_of(np.full(5, 3.0), np.full(5, 3.0), np.arange(5)) is None
    by_patient = trend_of(first, second, np.arange(200) // 5)
    assert by_patient.bias.low > 0.05 and by_patient.bias.low != found.bias.low


def test_the_error_of_the_trend_is_what_statsmodels_says():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(8)
    first, second = rng.uniform(2, 15, (2, 25))
    means, gaps = (first + second) / 2, first - second
    other = api.OLS(gaps, api.add_constant(means)).fit(cov_type="HC3", use_t=True)
    found = trend_of(first, second, np.arange(25))
    assert found.bias.value == pytest.approx(other.params[1])
    assert found.intercept == pytest.approx(other.params[0])
    assert (found.bias.low, found.bias.high) == pytest.approx(tuple(other.conf_int()[1]))
