"""ICC, Deming's line, kappa and interchangeability, against papers and other implementations."""

import math

import numpy as np
import pytest
from published import DEMING, JUDGES, PEFR

from trial.agreement.deming import deming, fit
from trial.agreement.estimate import bootstrap, jackknife, share
from trial.agreement.icc import icc
from trial.agreement.interchange import interchangeability
from trial.agreement.thin import confusion, kappa, kappa_error, table_of


def single(values):
    return [np.array([value]) for value in values]


def test_the_judges_of_shrout_and_fleiss():
    """ICC(2,1) 0.29 and ICC(3,1) 0.71 in their table 4; intervals as McGraw and Wong have them."""
    found = icc(JUDGES, np.arange(6))
    assert (found.n, found.k) == (6, 4)
    assert round(found.agreement.value, 2) == 0.29
    assert round(found.consistency.value, 2) == 0.71
    assert (found.agreement.low, found.agreement.high) == pytest.approx((0.0188, 0.7611), abs=1e-4)
    assert (found.consistency.low, found.consistency.high) == pytest.approx(
        (0.3425, 0.9459), abs=1e-4
    )


@pytest.mark.parametrize("data", [JUDGES, PEFR[:, [0, 2]]])
def test_icc_is_what_pingouin_says(data):
    pandas, pingouin = pytest.importorskip("pandas"), pytest.importorskip("pingouin")
    rows = [(i, j, value) for (i, j), value in np.ndenumerate(data)]
    frame = pandas.DataFrame(rows, columns=["case", "reader", "mm"])
    other = pingouin.intraclass_corr(frame, "case", "reader", "mm").set_index("Type")
    found = icc(data, np.arange(len(data)))
    names = {"agreement": ("ICC2", "ICC(A,1)"), "consistency": ("ICC3", "ICC(C,1)")}
    for part, labels in names.items():
        row = other.loc[next(label for label in labels if label in other.index)]
        ends = row["CI95"] if "CI95" in row else row["CI95%"]
        mine = getattr(found, part)
        assert mine.value == pytest.approx(row["ICC"], abs=1e-9)
        assert (mine.low, mine.high) == pytest.approx(tuple(ends), abs=0.0051)  # rounded there


def test_a_constant_difference_counts_for_agreement_only():
    rng = np.random.default_rng(1)
    true = rng.uniform(3, 12, 50)
    found = icc(np.stack([true, true + 2], 1), np.arange(50))
    assert found.consistency.value == pytest.approx(1)
    assert found.agreement.value < 0.85
    assert icc(np.full((5, 2), 3.0), np.arange(5)) is None  # nothing varies
    assert icc(JUDGES[:2], np.arange(2)) is None


def test_intervals_of_icc_hold_about_95_of_100():
    rng = np.random.default_rng(4)
    truth = 4 / (4 + 0.25 + 1)
    held = []
    for _ in range(400):
        ratings = rng.normal(0, 2, (20, 1)) + rng.normal(0, 0.5, 5) + rng.normal(0, 1, (20, 5))
        found = icc(ratings, np.arange(20)).agreement
        held.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("k", [2, 5])
def test_intervals_of_icc_by_patient_hold_with_few_patients(k):
    """Readers differ on whole patients; a percentile bootstrap holds 85 of 100 here."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 3)
    held = []
    for _ in range(300):
        true = rng.normal(0, 2, 12)[groups] + rng.normal(0, 1, 36)
        ratings = true[:, None] + rng.normal(0, 0.5, (12, k))[groups] + rng.normal(0, 0.5, (36, k))
        found = icc(ratings, groups)
        held.append([e.low <= 5 / 5.5 <= e.high for e in (found.agreement, found.consistency)])
    assert (np.mean(held, 0) >= 0.9).all()


def test_cases_of_one_patient_widen_the_interval_of_icc():
    rng = np.random.default_rng(6)
    patients = rng.normal(8, 2, 15)
    true = np.repeat(patients, 6)
    ratings = (
        true[:, None] + np.repeat(rng.normal(0, 1, (15, 2)), 6, 0) + rng.normal(0, 0.1, (90, 2))
    )
    groups = np.repeat(np.arange(15), 6)
    alone, grouped = icc(ratings, np.arange(90)), icc(ratings, groups)
    assert alone.agreement.value == grouped.agreement.value
    width = [each.agreement.high - each.agreement.low for each in (alone, grouped)]
    assert width[1] > 1.5 * width[0]


def test_demings_line_of_a_worked_example():
    """Intercept -0.08974 (SE 1.7220), slope 1.00119 (SE 0.1872, 0.5696 to 1.433) there."""
    x, y = DEMING
    slope, intercept = fit(x, y, 4.0)
    assert (intercept, slope) == pytest.approx((-0.08974, 1.00119), abs=5e-6)
    # The same ratio from replicates: x errs with twice the spread of y.
    first = [np.array([v - 0.2, v + 0.2]) for v in x]
    second = [np.array([v - 0.1, v + 0.1]) for v in y]
    found = deming(first, second, np.arange(10))
    assert found.from_replicates and found.ratio == pytest.approx(4)
    assert (found.slope.low, found.slope.high) == pytest.approx((0.5696, 1.433), abs=5e-4)
    assert (found.intercept.low, found.intercept.high) == pytest.approx((-4.0607, 3.881), abs=5e-4)


def test_the_ratio_of_errors_is_that_of_means_of_replicates():
    """Four readings of one reader and two of the other, with the same spread."""
    x, y = DEMING
    first = [np.array([v - 0.3, v + 0.3, v - 0.3, v + 0.3]) for v in x]
    second = [np.array([v - 0.3, v + 0.3]) for v in y]
    within = (4 * 0.09 / 3) / 4, (2 * 0.09 / 1) / 2
    assert deming(first, second, np.arange(10)).ratio == pytest.approx(within[0] / within[1])
    assert deming(first, single(y), np.arange(10)).ratio == 1


def test_demings_line_minimises_what_it_says():
    """With equal errors the squared distances across the line are the least."""
    from scipy.optimize import minimize

    x, y = DEMING
    for ratio in (0.5, 1.0, 3.0):

        def across(line, ratio=ratio):
            slope, intercept = line
            return ((y - intercept - slope * x) ** 2 / (1 + ratio * slope**2)).sum()

        best = minimize(across, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-9}).x
        assert fit(x, y, ratio) == pytest.approx(tuple(best), abs=1e-3)


def test_demings_line_finds_the_slope_that_least_squares_flattens():
    rng = np.random.default_rng(7)
    held = []
    for _ in range(300):
        true = rng.normal(8, 2, 40)
        x, y = true + rng.normal(0, 1, 40), 0.5 + 1.1 * true + rng.normal(0, 1, 40)
        found = deming(single(x), single(y), np.arange(40))
        held.append((found.slope.low <= 1.1 <= found.slope.high, found.slope.value))
    inside, slopes = np.mean(held, 0)
    assert 0.91 <= inside <= 0.98
    assert slopes == pytest.approx(1.1, abs=0.04)
    assert not found.from_replicates and found.ratio == 1


def test_the_jackknife_leaves_out_whole_patients():
    rng = np.random.default_rng(8)
    true = rng.uniform(3, 12, 10)
    shift = rng.normal(0, 1, 10)
    x, y = np.repeat(true, 5) + rng.normal(0, 0.05, 50), np.repeat(true + shift, 5)
    alone, grouped = (
        deming(single(x), single(y), groups) for groups in (np.arange(50), np.arange(50) // 5)
    )
    assert grouped.slope.value == alone.slope.value
    assert grouped.slope.high - grouped.slope.low > 1.8 * (alone.slope.high - alone.slope.low)
    assert deming(single(x[:3]), single(y[:3]), np.arange(3)) is None
    assert deming(single(np.full(6, 4.0)), single(x[:6]), np.arange(6)) is None


def test_kappa_and_its_error_by_hand():
    """20, 5, 10, 15: agreement 0.7, chance 0.5, kappa 0.4."""
    table = np.array([[20, 5], [10, 15.0]])
    assert kappa(table) == pytest.approx(0.4)
    assert math.isnan(kappa(np.array([[9, 0], [0, 0.0]])))


@pytest.mark.parametrize("counts", [(20, 5, 10, 15), (3, 1, 2, 40), (30, 8, 0, 2)])
def test_the_error_of_kappa_is_what_statsmodels_says(counts):
    other = pytest.importorskip("statsmodels.stats.inter_rater")
    table = np.array(counts, float).reshape(2, 2)
    result = other.cohens_kappa(table)
    assert kappa(table) == pytest.approx(result.kappa)
    assert kappa_error(table) == pytest.approx(result.std_kappa)


def test_what_is_thin_is_below_the_threshold():
    first, second = np.array([5.9, 6.0, 5.0, 8.0]), np.array([5.9, 5.9, 6.1, 9.0])
    found = confusion(first, second, 6.0, np.arange(4))
    assert (found.both_thin, found.first_only, found.second_only, found.neither) == (1, 1, 1, 1)
    assert found.agreement == share(2, 4)
    assert found.kappa.value == 0
    assert table_of(first < 6, second < 6).sum() == 4
    assert confusion(first[:0], second[:0], 6.0, np.arange(0)) is None
    assert confusion(first + 9, second + 9, 6.0, np.arange(4)).kappa is None
    # Nobody is certain for never having been seen to disagree.
    for groups, n in ((np.arange(4), 4), (np.array([0, 0, 0, 1]), 2)):
        same = confusion(first, first, 6.0, groups)
        assert (same.kappa.value, same.kappa.low) == (1, None)
        assert same.agreement == share(n, n) and same.agreement.low < 0.6


def readers_and_model(rng, n, model_sd, bias=0.0):
    true = rng.uniform(3, 12, n)
    readers = [single(true + rng.normal(0, 0.5, n)) for _ in range(3)]
    return readers, single(true + bias + rng.normal(0, model_sd, n))


def test_a_model_that_errs_like_readers_is_no_worse_than_they():
    rng = np.random.default_rng(9)
    held = []
    for _ in range(40):
        readers, model = readers_and_model(rng, 60, 0.5)
        found = interchangeability(readers, model, 6.0, np.arange(60))
        held.append(found.index.low <= 0 <= found.index.high)
    assert np.mean(held) >= 0.85
    assert (found.n, found.readers) == (60, 3)


def test_the_excess_of_a_worse_model_is_its_own_error():
    rng = np.random.default_rng(10)
    readers, model = readers_and_model(rng, 800, 1.0, bias=0.5)
    found = interchangeability(readers, model, 6.0, np.arange(800))
    # Variances add: readers 2 * 0.25, model and reader 0.25 + 1 + 0.5**2.
    assert found.readers_mm == pytest.approx(math.sqrt(0.5), rel=0.06)
    assert found.model_mm == pytest.approx(math.sqrt(1.5), rel=0.06)
    assert found.index.value == pytest.approx(1.0, abs=0.15)
    assert found.index.low > 0 and found.excess_thin.value > 0


def test_replicates_count_as_single_readings():
    """A mean of many readings must not look better than one reading."""
    rng = np.random.default_rng(12)
    true = rng.uniform(3, 12, 300)
    many = [[t + rng.normal(0, 0.5, 6) for t in true] for _ in range(2)]
    model = single(true + rng.normal(0, 0.5, 300))
    found = interchangeability(many, model, 6.0, np.arange(300))
    assert found.readers_mm == pytest.approx(math.sqrt(0.5), rel=0.08)


def test_interchangeability_needs_two_readers_of_a_case():
    empty = np.array([])
    readers = [[np.array([5.0]), empty], [empty, np.array([6.0])]]
    model = single([5.0, 6.0])
    assert interchangeability(readers, model, 6.0, np.arange(2)) is None
    assert interchangeability([], model, 6.0, np.arange(2)) is None


def test_few_patients_have_no_interval_and_the_seed_is_fixed():
    values = np.arange(21.0)

    def mean(at):
        return (values[at].mean(),)

    assert bootstrap(np.arange(21) // 3, mean) == [(None, None)]
    assert bootstrap(np.arange(21), mean) == bootstrap(np.arange(21), mean)
    assert bootstrap(np.arange(21), lambda at: (math.nan,)) == [(None, None)]
    assert jackknife(np.arange(21) // 3, mean, 6) == [(None, None)]
    assert jackknife(np.arange(21), lambda at: (math.nan,), 20) == [(None, None)]
    # Of a mean it is the interval that everybody knows.
    half = 2.0859634 * values.std(ddof=1) / math.sqrt(21)
    assert jackknife(np.arange(21), mean, 20)[0] == pytest.approx((10 - half, 10 + half))
