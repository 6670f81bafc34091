"""Numbers that can be known without a computer, and laws that hold for any outline."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("monai")

from inference.records import Call, Status
from training.estimates import Z, bootstrap, lower_limit, share, standard_deviation, upper_limit
from training.metrics import (
    Fit,
    dice,
    fit_of,
    is_located,
    labels_in,
    line_distance,
    surface_dice,
)
from training.summary import Result, by_family, card_numbers, summarise, thickness_bin

masks = st.tuples(*[st.integers(0, 2**36 - 1)] * 2).map(
    lambda pair: [
        np.array([(bits >> i) & 1 for i in range(36)], bool).reshape(6, 6) for bits in pair
    ]
)


def box(top, left, height, width, shape=(80, 120)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def contour(top, left, height, width):
    """The outline of `box`, through the borders of its pixels."""
    low, high = np.array([top, left]) - 0.5, np.array([top + height, left + width]) - 0.5
    return np.array([low, [low[0], high[1]], high, [high[0], low[1]], low])


@settings(max_examples=50)
@given(masks)
def test_overlap_is_symmetric_and_bounded_and_one_with_itself(pair):
    one, other = pair
    for metric in (dice, lambda a, b: surface_dice(a, b, (0.2, 0.3))):
        value = metric(one, other)
        assert 0 <= value <= 1
        assert value == pytest.approx(metric(other, one), abs=1e-6)
        assert metric(one, one) == 1
    total = one.sum() + other.sum()
    assert dice(one, other) == pytest.approx(2 * (one & other).sum() / total if total else 1)


def test_dice_and_nsd_of_shifted_boxes():
    one, other = box(20, 20, 10, 40), box(25, 20, 10, 40)
    assert dice(one, other) == pytest.approx(0.5)
    # 5 rows of 0.08 mm are 0.4 mm, of 0.2 mm 1 mm: then the long sides are lost.
    assert surface_dice(one, other, (0.08, 0.2)) == 1
    assert surface_dice(one, other, (0.2, 0.2)) < 0.5
    # Columns count in their own millimetres.
    aside = box(20, 25, 10, 40)
    assert surface_dice(one, aside, (0.2, 0.08)) == 1
    assert surface_dice(one, aside, (0.08, 0.2)) < 1


def test_nothing_against_something():
    nothing, something = box(0, 0, 0, 0), box(20, 20, 10, 40)
    assert dice(nothing, something) == 0
    assert surface_dice(nothing, something, (0.2, 0.2)) == 0
    assert dice(nothing, nothing) == surface_dice(nothing, nothing, (0.2, 0.2)) == 1


def calipers(top, left, height, width):
    middle = left + width / 2 - 0.5
    return np.array([[top - 0.5, middle], [top + height - 0.5, middle]])


@pytest.mark.parametrize("spacing", [(0.2, 0.2), (0.15, 0.24), None])
def test_a_perfect_outline_scores_one_and_zero(spacing):
    where = (30, 20, 20, 70)
    truth = box(*where).astype(np.uint8)
    truth[38:42, 40:60] = 2  # fluid lies inside the outline
    fit = fit_of((contour(*where),), calipers(*where), truth, spacing)
    assert (fit.dice, fit.located) == (1, True)
    if spacing is None:
        assert (fit.nsd, fit.centre_line_mm, fit.beside_mm) == (None, None, None)
    else:
        assert fit.nsd == 1
        assert fit.centre_line_mm == pytest.approx(0, abs=1e-9)
        assert fit.beside_mm == pytest.approx(0, abs=1e-9)


def test_each_label_that_the_truth_has_gets_a_dice_of_its_own():
    where, wet = (30, 20, 20, 70), (38, 40, 4, 20)
    truth = box(*where).astype(np.uint8)
    truth[box(*wet)] = 2
    assert labels_in(truth, ("endometrium", "fluid")) == ("endometrium", "fluid")
    assert labels_in(truth, ("endometrium",)) == ("endometrium",)
    assert labels_in(box(*where).astype(np.uint8), ("endometrium", "fluid")) == ("endometrium",)

    def fit(fluid, labels=("endometrium", "fluid")):
        lines = tuple(contour(*each) for each in fluid)
        return fit_of((contour(*where),), calipers(*where), truth, (0.2, 0.2), lines, labels)

    assert (fit([wet]).dice_endometrium, fit([wet]).dice_fluid) == (1, 1)
    dry = fit([])
    assert (dry.dice, dry.dice_fluid) == (1, 0)  # the whole band is right, its parts are not
    assert dry.dice_endometrium == pytest.approx(2 * 1320 / (1320 + 1400))
    half = fit([(38, 40, 4, 10)])
    assert half.dice_fluid == pytest.approx(2 / 3)
    # Fluid outside of what was outlined is not there.
    assert fit([wet, (0, 0, 10, 10)]).dice_fluid == 1
    assert fit([wet], ()).dice_endometrium is None


def test_the_centre_line_of_a_shifted_band_is_as_far_as_the_shift():
    truth = box(30, 20, 6, 80).astype(np.uint8)
    fit = fit_of((contour(34, 20, 6, 80),), calipers(34, 20, 6, 80), truth, (0.2, 0.3))
    assert fit.centre_line_mm == pytest.approx(0.8, abs=0.02)
    assert fit.beside_mm == pytest.approx(0.8, abs=0.02)


def test_what_lies_beyond_the_true_line_counts_in_one_distance_only():
    true = np.stack([np.zeros(101), np.linspace(0, 10, 101)], 1)
    found = np.stack([np.full(201, 0.5), np.linspace(0, 20, 201)], 1)
    all_of_it, beside, followed = line_distance(found, true)
    assert followed == 1
    assert beside == pytest.approx(0.5, abs=1e-6)
    beyond = np.hypot(0.5, np.arange(0, 10, 0.1)).mean()
    assert all_of_it == pytest.approx((0.5 + beyond) / 2, abs=0.05)
    far = found + np.array([0, 50])
    assert line_distance(far, true)[0] == line_distance(far, true)[1] > 40


def test_a_speck_on_a_long_line_does_not_follow_it():
    true = np.stack([np.zeros(301), np.linspace(0, 30, 301)], 1)
    speck = np.stack([np.full(11, 0.5), np.linspace(10, 11, 11)], 1)
    _, beside, followed = line_distance(speck, true)
    assert beside == pytest.approx(0.5, abs=1e-6) and followed < 0.1
    on_it = replace(FIT, beside_mm=beside, followed=followed)
    assert summarise([replace(GOOD, fit=on_it)]).beside_within_1_mm.value == 0


def test_a_band_beside_the_truth_is_not_located_and_one_that_grazes_it_neither():
    truth = box(30, 20, 6, 80)
    spacing = (0.2, 0.2)
    assert is_located(box(32, 40, 6, 40), truth, np.array([35.0, 60.0]), spacing)
    # Touching is not enough: calipers and centroid lie 2 mm below.
    low = box(35, 40, 22, 40)
    assert not is_located(low, truth, np.array([50.0, 60.0]), spacing)
    # The number comes from between the calipers: they must lie there, whatever lies elsewhere.
    assert not is_located(box(30, 20, 6, 80), truth, np.array([50.0, 60.0]), spacing)
    # Near is not enough either: there must be overlap.
    assert not is_located(box(36, 40, 2, 40), truth, np.array([37.0, 60.0]), spacing)
    # Without a scale the centre must lie inside.
    assert not is_located(box(34, 40, 6, 40), truth, np.array([37.0, 60.0]), None)


def test_limits_of_agreement_of_known_errors():
    errors = np.array([-1.0, 0.0, 1.0])
    assert standard_deviation(errors) == 1
    assert (lower_limit(errors), upper_limit(errors)) == (-Z, Z)
    assert standard_deviation(errors[:1]) == 0


def test_wilson_scores_agree_with_published_ones():
    # Newcombe, Stat Med 17, 1998, 857, table I, method 3
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
    ):
        found = share([i < k for i in range(n)])
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert share([]) is None


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_share_lies_within_its_interval(flags):
    found = share(flags)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_bootstrap_draws_patients_not_cases():
    rng = np.random.default_rng(3)
    patients = rng.normal(size=20)
    values = np.repeat(patients, 10)
    alone = bootstrap(values, [str(i) for i in range(200)], np.mean)
    together = bootstrap(values, [str(i // 10) for i in range(200)], np.mean)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together == bootstrap(values, [str(i // 10) for i in range(200)], np.mean)
    expected = 2 * Z * patients.std(ddof=1) / math.sqrt(20)
    assert together.high - together.low == pytest.approx(expected, rel=0.15)
    assert bootstrap([1.0, 2.0], ["a", "b"], np.mean).low is None
    assert bootstrap([], [], np.mean) is None


FIT = Fit(dice=0.9, nsd=0.95, centre_line_mm=0.3, beside_mm=0.2, followed=0.9, located=True)
GOOD = Result(
    name="a",
    patient="a",
    families={"pattern": "x"},
    visible=True,
    true_mm=5.0,
    status=Status.MEASURED,
    measured_mm=5.5,
    lower_mm=4.4,
    upper_mm=5.9,
    call=Call.THIN,
    outlined=True,
    drawn=True,
    fit=FIT,
    network_ms=10.0,
    seconds=0.1,
)
REFUSED = replace(
    GOOD, status=Status.NOT_MEASURABLE, measured_mm=None, lower_mm=None, upper_mm=None, call=None
)
MISSED = replace(REFUSED, fit=None, outlined=False)
MISPLACED = replace(
    GOOD, true_mm=9.0, fit=Fit(0.0, 0.0, 9.0, 9.0, 0.0, located=False), call=Call.INDETERMINATE
)
EMPTY = replace(MISSED, visible=False, true_mm=None, drawn=False, families={"pattern": "none"})
FALSE_FIND = replace(EMPTY, status=Status.MEASURED, measured_mm=4.0)
FAILED = replace(GOOD, status=Status.FAILED, fit=None, measured_mm=None, drawn=False)
ALL = [GOOD, REFUSED, MISSED, MISPLACED, EMPTY, FALSE_FIND, FAILED]


def test_a_summary_counts_what_it_says():
    found = summarise(ALL)
    assert (found.n, found.failed, found.visible, found.measured, found.absent) == (7, 1, 4, 2, 2)
    values = {
        "measured_share": 0.5,
        "refused_share": 0.5,
        "located_share": 0.5,
        "on_target_share": 0.25,
        "misplaced_share": 0.25,
        "dice_median": 0.45,  # of 0.9, 0.9, 0 and 0
        "dice_mean": 0.45,
        "dice_outlined_median": 0.9,
        "dice_measured_median": 0.45,
        "beside_within_1_mm": 0.5,
        "bias_mm": -1.5,  # of 0.5 and -3.5
        "mae_mm": 2.0,
        "within_1_mm": 0.5,
        "within_2_mm": 0.5,
        "coverage": 0.5,
        "indeterminate_share": 0.5,
        "sensitivity": 1.0,
        "specificity": 0.0,  # 9 mm was measured as 5.5 mm,
        "sensitivity_called": 1.0,
        "quiet_share": 0.5,
    }
    for name, value in values.items():
        assert getattr(found, name).value == pytest.approx(value), name
    assert found.specificity_called is None  # but called indeterminate
    assert (found.network_ms, found.clip_seconds) == (10, 0.1)
    assert found.bias_mm.low is None  # one patient has no spread


def test_the_dice_of_a_label_counts_where_the_truth_has_it():
    dry = replace(GOOD, drawn_endometrium=True, fit=replace(FIT, dice_endometrium=0.8))
    wet = replace(dry, drawn_fluid=True, fit=replace(dry.fit, dice_fluid=0.6))
    nothing = replace(MISSED, drawn_endometrium=True, drawn_fluid=True)
    assert [r.dice_of("fluid") for r in (dry, wet, nothing)] == [None, 0.6, 0.0]
    found = summarise([dry, wet, nothing])
    assert found.dice_endometrium_median.value == 0.8
    assert (found.dice_fluid_median.value, found.dice_fluid_median.n) == (0.3, 2)
    assert summarise([GOOD]).dice_fluid_median is None


def test_a_summary_of_nothing_is_empty_not_an_error():
    found = summarise([])
    assert (found.n, found.mae_mm, found.p95_mm, found.dice_median) == (0, None, None, None)
    assert summarise([FAILED]).measured_share is None


def test_families_are_summed_up_by_themselves():
    families = by_family(ALL)
    assert set(families) == {"pattern"}
    assert (families["pattern"]["none"].n, families["pattern"]["x"].n) == (2, 5)
    assert by_family([GOOD]) == {}
    card = card_numbers(ALL)
    assert card["mae_mm"] == 2
    assert card["by_pattern"]["none"] == {
        "n": 2,
        "failed": 0,
        "visible": 0,
        "measured": 0,
        "absent": 2,
        "quiet_share": 0.5,
        "intervals_95": {"quiet_share": [0.095, 0.905]},
    }


def test_bins_hold_their_lower_end():
    assert [thickness_bin(mm) for mm in (3.99, 4, 6, 8, 80)] == [
        "0 to 4 mm",
        "4 to 6 mm",
        "6 to 8 mm",
        "8 mm or more",
        "8 mm or more",
    ]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0.5, 20), st.floats(0.5, 20)), min_size=2, max_size=30))
def test_laws_of_errors(pairs):
    results = [
        replace(GOOD, patient=str(i), true_mm=t, measured_mm=m) for i, (t, m) in enumerate(pairs)
    ]
    found = summarise(results)
    assert abs(found.bias_mm.value) <= found.mae_mm.value + 1e-9
    assert found.limit_low_mm.value <= found.bias_mm.value <= found.limit_high_mm.value
    assert found.within_1_mm.value <= found.within_2_mm.value
    shifted = summarise([replace(r, measured_mm=r.measured_mm + 1) for r in results])
    assert shifted.bias_mm.value == pytest.approx(found.bias_mm.value + 1)
    assert shifted.sd_mm.value == pytest.approx(found.sd_mm.value, abs=1e-6)
