"""The simulated cohort: as asked for, consistent, and true to its truth."""

from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from trial.observations import CycleType
from trial.simulation import COLUMNS, NO_STUDY, NOT_MEASURED, OTHER_WOMAN, simulate
from trial.simulation_truth import TRUTH

COHORT = simulate(1)
LARGE = simulate(2, women=4000)


def test_the_same_seed_gives_the_same_and_another_does_not():
    assert simulate(1) == COHORT
    assert simulate(2) != COHORT


def test_sixty_women_in_two_arms_with_two_cancelled_cycles_each():
    arms = {row["patient"]: row["arm"] for row in COHORT.rows}
    assert Counter(arms.values()) == {"control": 30, "hbmsc": 30}
    before = Counter(each.patient for each in COHORT.cancellations if each.cycle <= 0)
    assert set(before.values()) == {2}
    assert len(before) == 60
    assert all(e.because == "thin endometrium" for e in COHORT.cancellations if e.cycle <= 0)
    with pytest.raises(ValueError, match="two women"):
        simulate(1, women=1)


def test_rows_observations_and_transfers_say_the_same():
    assert len(COHORT.rows) == len(COHORT.observations)
    moved = {each.row: each for each in COHORT.transfers}
    for number, (row, seen) in enumerate(zip(COHORT.rows, COHORT.observations, strict=True), 2):
        assert tuple(row) == COLUMNS
        assert (seen.row, seen.patient, seen.cycle) == (number, row["patient"], row["cycle"])
        assert date.fromisoformat(row["date"]) == seen.date
        assert (row["transfer"] == "yes") is (number in moved)
        assert not (row["transfer"] == "yes" and row["cancelled"] == "yes")
        if number in moved:
            each = moved[number]
            assert (row["embryos"], row["sacs"]) == (each.embryos, each.sacs)
            assert each.clinical_pregnancy is (None if each.sacs is None else each.sacs > 0)
            assert each.sacs is None or 0 <= each.sacs <= each.embryos


def test_every_cycle_is_decided_once():
    decided = Counter((e.patient, e.cycle) for e in (*COHORT.transfers, *COHORT.cancellations))
    assert set(decided.values()) == {1}
    assert set(decided) == {(each.patient, each.cycle) for each in COHORT.observations}


def test_the_archive_is_right_where_the_table_names_a_wrong_study():
    owner = {scan.study: scan.patient_id for scan in LARGE.scans}
    found = Counter()
    for row, seen in zip(LARGE.rows, LARGE.observations, strict=True):
        right = owner.get(row["study"]) == seen.patient
        found[seen.missing] += 1
        if seen.missing == NO_STUDY:
            assert row["study"] not in owner
        elif seen.missing == OTHER_WOMAN:
            assert owner[row["study"]] != seen.patient
        else:
            assert right
        assert (seen.thickness_mm is None) is (seen.missing is not None)
    wrong = (found[NO_STUDY] + found[OTHER_WOMAN]) / len(LARGE.rows)
    assert wrong == pytest.approx(0.03, abs=0.006)
    assert min(found[NO_STUDY], found[OTHER_WOMAN], found[NOT_MEASURED]) > 100


def test_scans_of_a_visit_are_repeats_of_the_same_thickness():
    per_study = {}
    for scan in LARGE.scans:
        per_study.setdefault(scan.study, []).append(scan)
    several = [scans for scans in per_study.values() if len(scans) > 1]
    assert len(several) / len(per_study) == pytest.approx(0.25, abs=0.02)
    assert all(len({scan.true_mm for scan in scans}) == 1 for scans in several)
    assert all(
        each.repeats_mm[0] == each.thickness_mm for each in LARGE.observations if each.repeats_mm
    )


def test_nobody_comes_back_after_a_pregnancy():
    pregnant = {e.patient: e.cycle for e in LARGE.transfers if e.clinical_pregnancy}
    last = {}
    for each in LARGE.observations:
        last[each.patient] = max(each.cycle, last.get(each.patient, -9))
    assert all(last[patient] == cycle for patient, cycle in pregnant.items())
    attended = Counter(last.values())
    assert attended[0] > 100  # who left before treatment
    assert attended[3] > 1000


def test_thickness_is_what_its_parameters_say():
    """Least squares over 4,000 women gives back every effect."""
    rows = [e for e in LARGE.observations if e.thickness_mm is not None and e.cycle >= 1]
    other = np.array([e.arm == TRUTH.arms[1] for e in rows], float)
    cycle = np.array([e.cycle - 1 for e in rows], float)
    natural = np.array([e.cycle_type is CycleType.NATURAL for e in rows], float)
    day = np.array([e.cycle_day for e in rows], float) - TRUTH.day
    x = np.stack([np.ones(len(rows)), other, cycle, other * cycle, natural, day], 1)
    y = np.array([e.thickness_mm for e in rows])
    beta = np.linalg.lstsq(x, y)[0]
    expected = [TRUTH.mean_mm + TRUTH.response_mm, 0.8, 0.2, 0.3, -0.3, 0.08]
    assert beta == pytest.approx(expected, abs=0.06)
    spread = float(np.std(y - x @ beta))
    assert spread == pytest.approx(np.hypot(TRUTH.woman_sd_mm, TRUTH.residual_sd_mm), rel=0.03)
    before = [e.thickness_mm for e in LARGE.observations if e.thickness_mm and e.cycle <= 0]
    assert 4.5 < np.mean(before) < 5.0


def test_intervals_hold_the_thickness_nine_times_in_ten():
    true = {scan.study: scan.true_mm for scan in LARGE.scans}
    held = [
        seen.lower_mm <= true[row["study"]] <= seen.upper_mm
        for row, seen in zip(LARGE.rows, LARGE.observations, strict=True)
        if seen.thickness_mm is not None
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("arm", [0, 1])
def test_what_the_truth_computes_is_what_happens(arm):
    """Rates by the moments of the beta distribution, against counts of 2,000 women an arm."""
    moved = [e for e in LARGE.transfers if e.arm == TRUTH.arms[arm] and e.sacs is not None]
    rate = sum(e.sacs for e in moved) / sum(e.embryos for e in moved)
    assert rate == pytest.approx(TRUTH.sacs_per_embryo(arm), abs=0.025)
    women = {}
    for each in moved:
        women.setdefault(each.patient, []).append(each.clinical_pregnancy)
    ever, first = (np.mean([f(states) for states in women.values()]) for f in (any, lambda s: s[0]))
    assert ever == pytest.approx(TRUTH.pregnant(arm), abs=0.045)
    assert first == pytest.approx(TRUTH.pregnant_at_first(arm), abs=0.045)


def test_truth_of_a_cohort_in_which_everything_is_certain():
    """One embryo always, no drop-out, a transfer in every cycle, hardly any correlation: sacs per
    embryo are the chance itself, and pregnancy is 1 - (1 - p)^3."""
    plain = replace(TRUTH, drop_out=(0, 0), transfer=1, two_embryos=0, alike=1e-9)
    assert plain.sacs_per_embryo(0) == pytest.approx(0.2)
    assert plain.pregnant(0) == pytest.approx(1 - 0.8**3)
    assert plain.pregnant_at_first(1) == pytest.approx(0.4)


def test_embryos_of_a_woman_are_alike():
    """Both of two embryos implant more often than if they were strangers: p^2 + rho p (1 - p)."""
    for arm in (0, 1):
        first = {}
        for each in LARGE.transfers:
            if each.arm == TRUTH.arms[arm] and each.sacs is not None:
                first.setdefault(each.patient, each)
        pairs = [each.sacs for each in first.values() if each.embryos == 2]
        p = TRUTH.implantation[arm]
        expected = p**2 + TRUTH.alike * p * (1 - p)
        assert np.mean([sacs == 2 for sacs in pairs]) == pytest.approx(expected, abs=0.04)
        assert expected > p**2 + 0.02
