"""Thickness, change from baseline and levels reached; the analysis as a whole."""

import json
import math
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import A, B, moves, swapped, transfer, visit, visits

from trial.agreement.estimate import Estimate
from trial.analysis.change import thickness_by_arm
from trial.analysis.numbers import newcombe, sample_of, welch
from trial.analysis.values import arms_of, baseline_of, by_cycle
from trial.analysis.whole import BASELINE_THICKNESS, POOL, Endpoints, analyse
from trial.simulation import simulate

# Extra hours of sleep with two drugs. Student, Biometrika 6, 1908, 1.
FIRST = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
SECOND = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)


def by_arm(observations):
    cycles, arms = by_cycle(observations), arms_of(observations)
    return {arm: {p: c for p, c in cycles.items() if arms[p] == arm} for arm in (A, B)}


def test_welchs_interval_of_students_sleep_data():
    """R's t.test gives a difference of -1.58, from -3.3654832 to 0.2054832, with 17.776 df."""
    found = welch(sample_of(FIRST), sample_of(SECOND))
    assert found.value == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)


def test_a_mean_has_students_interval():
    """R's t.test of the second drug alone: 0.8976775 to 3.7623225."""
    found = sample_of(SECOND)
    assert found.mean.value == pytest.approx(2.33)
    assert (found.mean.low, found.mean.high) == pytest.approx((0.8976775, 3.7623225), abs=1e-7)


def test_too_few_women_have_no_interval_and_no_women_no_mean():
    assert sample_of([]).mean is None
    assert sample_of([5.0]).mean == Estimate(5.0)
    assert welch(sample_of([5.0]), sample_of([4.0, 6.0])) == Estimate(0.0)
    assert welch(sample_of([]), sample_of([4.0, 6.0])) is None
    assert welch(sample_of([5.0, 5.0]), sample_of([4.0, 4.0])) == Estimate(1.0)


def test_the_last_visit_of_the_phase_counts_in_a_cycle_and_not_the_thickest():
    rows = [
        visit("p", 1, 9.0, row=2, cycle_day=9, phase="mid_proliferative"),
        visit("p", 1, 6.5, row=3, cycle_day=12, phase="Late proliferative"),
        visit("p", 1, 6.0, row=4, cycle_day=14),
        visit("p", 1, None, row=5, cycle_day=15),
        visit("p", 1, 8.0, row=6, cycle_day=20, phase="secretory"),
        visit("p", 2, 7.0, row=7, cycle_day=9, phase="mid_proliferative"),
    ]
    found = by_cycle(rows)["p"]
    assert {cycle: each.thickness_mm for cycle, each in found.items()} == {1: 6.0, 2: 7.0}


def test_dates_say_which_visit_was_last_before_lines_do():
    rows = [
        visit("p", 1, 6.0, row=2, date=date(2025, 3, 4)),
        visit("p", 1, 5.0, row=3, date=date(2025, 3, 2)),
    ]
    assert by_cycle(rows)["p"][1].thickness_mm == 6.0


def test_baseline_is_the_last_measured_cycle_before_treatment():
    rows = [visit("p", -1, 5.0), visit("p", 0, None), visit("p", 1, 7.0), visit("q", 1, 7.0)]
    cycles = by_cycle(rows)
    assert baseline_of(cycles["p"]).cycle == -1
    assert baseline_of(cycles["q"]) is None
    found = thickness_by_arm(by_arm(rows), (6.0,), 6.0)
    one = next(each for each in found.means if each.arm == A and each.cycle == 1)
    assert (one.thickness.n, one.change.n) == (2, 1)
    assert one.change.mean.value == pytest.approx(2.0)


def test_a_level_is_reached_in_any_cycle_and_surely_by_the_lower_end():
    rows = [
        visit("p", 1, 6.5, half=1.0),
        visit("p", 2, 5.0),
        visit("q", 1, 7.5, half=1.0),
        visit("r", 1, 6.0, half=None),
        visit("s", 0, 9.0),
        visit("t", 1, 5.9, B),
    ]
    found = {(e.arm, e.level_mm): e for e in thickness_by_arm(by_arm(rows), (6, 7), 6).reached}
    assert (found[A, 6].observed.count, found[A, 6].observed.n) == (3, 3)
    assert found[A, 6].surely.count == 1
    assert found[A, 7].observed.count == 1
    assert (found[B, 6].observed.count, found[B, 6].observed.n) == (0, 1)


def test_thin_at_baseline_and_surely_so():
    rows = [visit("p", 0, 5.9, half=0.6), visit("q", 0, 5.0, half=0.6), visit("r", 0, 6.0)]
    thin = thickness_by_arm(by_arm(rows), (6,), 6.0).thin[0]
    assert (thin.observed.count, thin.surely.count, thin.observed.n) == (2, 1, 3)


def test_a_woman_in_two_arms_is_an_error():
    with pytest.raises(ValueError, match="line 3 "):
        arms_of([visit("p", 1, 5.0, row=2), visit("p", 2, 5.0, B, row=3)])
    known = arms_of([visit("p", 1, 5.0, None, row=2), visit("p", 2, 5.0, B, row=3)])
    assert known == {"p": B}


def opposite(one, other):
    if one is None or other is None:
        return one is other
    ends = [(one.value, other.value), (one.low, other.high), (one.high, other.low)]
    return all(
        (x is None) is (y is None) and (x is None or math.isclose(x, -y, abs_tol=1e-9))
        for x, y in ends
    )


@settings(max_examples=30, deadline=None)
@given(visits())
def test_exchanging_arms_turns_every_difference_round(rows):
    one = thickness_by_arm(by_arm(rows), (6, 7), 6)
    two = thickness_by_arm(by_arm(swapped(rows)), (6, 7), 6)
    for name in ("differences", "reached_differences"):
        for first, second in zip(getattr(one, name), getattr(two, name), strict=True):
            fields = [f for f in vars(first) if f not in ("cycle", "level_mm")]
            assert all(opposite(getattr(first, f), getattr(second, f)) for f in fields)


@settings(max_examples=30, deadline=None)
@given(visits(), st.integers(-30, 30))
def test_a_constant_on_every_thickness_leaves_changes_alone(rows, tenths):
    moved = [
        replace(each, thickness_mm=each.thickness_mm and each.thickness_mm + tenths / 10)
        for each in rows
    ]
    one, two = (thickness_by_arm(by_arm(each), (6,), 6) for each in (rows, moved))
    for first, second in zip(one.means, two.means, strict=True):
        assert first.change.n == second.change.n
        if first.change.mean:
            assert first.change.mean.value == pytest.approx(second.change.mean.value, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(visits(), moves(), st.randoms(use_true_random=False))
def test_rows_in_another_order_say_the_same(rows, transfers, random):
    pytest.importorskip("statsmodels")
    ends = Endpoints((A, B))
    one = analyse(rows, transfers, ends)
    random.shuffle(rows)
    random.shuffle(transfers)
    assert analyse(rows, transfers, ends).as_json() == one.as_json()


@settings(max_examples=20, deadline=None)
@given(visits(), moves(), st.data())
def test_a_blinded_analysis_does_not_know_the_arms(rows, transfers, data):
    pytest.importorskip("statsmodels")
    ends = Endpoints((A, B))
    one = analyse(rows, transfers, ends, blinded=True)
    names = st.sampled_from([A, B, None])
    other = {f"p{n}": data.draw(names) for n in range(12)}
    mixed_up = [[replace(r, arm=other[r.patient]) for r in each] for each in (rows, transfers)]
    assert analyse(*mixed_up, ends, blinded=True) == one
    assert one.arms == (POOL,)
    assert A not in json.dumps(one.as_json())


def test_the_whole_is_json_without_a_name():
    pytest.importorskip("statsmodels")
    cohort = simulate(3)
    found = analyse(
        cohort.observations, cohort.transfers, Endpoints(cohort.truth.arms), cohort.baselines
    )
    text = json.dumps(found.as_json(), allow_nan=False)
    assert found.women == {"control": 30, "hbmsc": 30}
    assert [each.name for each in found.balance] == [BASELINE_THICKNESS, "age", "BMI"]
    assert not any(f'"{each["patient"]}"' in text for each in cohort.rows)


def test_an_empty_trial_says_so_without_a_number():
    pytest.importorskip("statsmodels")
    found = analyse([], [], Endpoints((A, B)))
    assert found.mixed.why
    assert found.women == {A: 0, B: 0}
    assert found.thickness.means == ()
    assert found.outcomes.any_transfer.p is None
    assert [each.women for each in found.flow.thickness] == [0] * 5
    with pytest.raises(ValueError, match="same name"):
        analyse([], [transfer("p", 1, 1)], Endpoints((A, A)))


def test_no_difference_without_both():
    assert newcombe(None, Estimate(0.5, 0.4, 0.6)) is None
    assert newcombe(Estimate(0.75), Estimate(0.5, 0.4, 0.6)) == Estimate(0.25)


def test_a_whole_cohort_in_another_order_and_blinded():
    """As the laws above, with enough women for the mixed model."""
    pytest.importorskip("statsmodels")
    cohort = simulate(5)
    ends = Endpoints(cohort.truth.arms)
    rows, moved = cohort.observations, cohort.transfers
    assert analyse(rows[::-1], moved[::-1], ends) == analyse(rows, moved, ends)
    blind = analyse(rows, moved, ends, cohort.baselines, blinded=True)
    text = json.dumps(blind.as_json())
    assert not any(f'"{arm}"' in text for arm in cohort.truth.arms)
    assert [each.name for each in blind.mixed.terms] == [
        "intercept",
        "cycle",
        "cycle type",
        "cycle day",
    ]
    assert blind.balance == ()
    pooled, apart = blind.outcomes, analyse(rows, moved, ends).outcomes
    assert pooled.implantation[0].sacs == sum(each.sacs for each in apart.implantation)


def test_a_visit_of_another_phase_is_no_baseline():
    early = visit("p", 0, 3.0, row=2, phase="early_proliferative")
    unknown = visit("q", 0, 4.0, row=3, phase=None)
    rows = [early, unknown, visit("p", 1, 7.0, row=4), visit("q", 1, 7.0, row=5)]
    found = analyse(rows, [], Endpoints((A, B)))
    assert found.other_phase == 1
    assert (found.thickness.baseline[A].n, found.thickness.baseline[A].mean.value) == (1, 4.0)
    (first,) = [each for each in found.thickness.means if (each.arm, each.cycle) == (A, 1)]
    assert first.change.mean.value == pytest.approx(3.0)


def test_a_cycle_that_is_scheduled_and_that_nobody_came_to_is_missing():
    found = analyse([visit("p", 0, 5.0)], [], Endpoints((A, B), scheduled=(0, 1)))
    absent = {(each.arm, each.cycle): each.absent for each in found.flow.missing}
    assert absent[A, 1] == 1 and absent[A, 0] == 0
