"""Who fits the quality limit and the intervals: patients where there are enough, else phantoms."""

from dataclasses import replace

import pytest

pytest.importorskip("monai")

import training.fitting
from inference.records import Status
from models.bundle import load_bundle
from training.calibrate import FEWEST_PATIENTS
from training.export import MIN_QUALITY, UNCALIBRATED
from training.fitting import (
    below_limit,
    enough_for_limit,
    halves,
    intervals,
    quality_limit,
    share_out,
)
from training.summary import Result

N = FEWEST_PATIENTS
SEEN = Result("x", "x", {}, True, 5.0, Status.MEASURED, measured_mm=5.4, quality=0.8, spread_mm=0.4)
NOTHING = Result("y", "y", {}, False, None, Status.MEASURED, measured_mm=4.0, quality=0.2)


def people(n, kind=SEEN, prefix="p", each=1):
    return [replace(kind, patient=f"{prefix}{i}") for i in range(n) for _ in range(each)]


@pytest.fixture
def no_phantoms(monkeypatch):
    def refuse(*words, **options):
        raise AssertionError("phantoms were asked for")

    monkeypatch.setattr(training.fitting, "phantom_cases", refuse)


def test_halves_part_no_patient_and_do_not_depend_on_the_order():
    results = people(20, each=3)
    one, other = halves(results)
    assert len(one) == len(other) == 30
    assert not {r.patient for r in one} & {r.patient for r in other}
    again, _ = halves(results[::-1])
    assert {r.patient for r in again} == {r.patient for r in one}


def test_a_limit_needs_patients_with_and_without_anything():
    assert enough_for_limit(people(N) + people(N, NOTHING, "q"))
    assert not enough_for_limit(people(N) + people(N - 1, NOTHING, "q"))
    assert not enough_for_limit(people(N - 1) + people(N, NOTHING, "q"))
    assert not enough_for_limit(people(2, each=50) + people(N, NOTHING, "q"))
    assert not enough_for_limit(people(N, replace(SEEN, true_mm=9.0)) + people(N, NOTHING, "q"))


def test_few_patients_all_fit_the_intervals_many_are_shared_out():
    few = people(N) + people(N, NOTHING, "q")
    assert share_out(few) == ([], few)
    many = people(3 * N) + people(3 * N, NOTHING, "q")
    one, other = share_out(many)
    assert one and other and not {r.patient for r in one} & {r.patient for r in other}


def test_a_limit_refuses_what_lies_below_it():
    kept, refused = below_limit([SEEN, NOTHING], 0.5)
    assert kept == SEEN
    assert not refused.measured and refused.measured_mm is None


def test_patients_fit_the_limit_and_the_intervals(no_phantoms):
    bundle = load_bundle()
    results = people(N) + people(N, NOTHING, "q")
    limit, words = quality_limit(results, bundle, None, 50)
    assert 0.2 < limit <= 0.8 and words == f"fitted on {2 * N} patients"
    table, words = intervals(people(N), bundle, None, 50)
    assert table != UNCALIBRATED and words == f"fitted on {N} patients, in 1 bins of thickness"


def test_too_few_patients_and_no_phantoms_leave_everything_unfitted(no_phantoms):
    bundle = load_bundle()
    assert quality_limit([], bundle, None, 0) == (MIN_QUALITY, "not fitted")
    table, words = intervals(people(N - 1), bundle, None, 0)
    assert table == UNCALIBRATED
    assert words.startswith(f"not calibrated ({N - 1} patients") and "are too few" in words


def test_too_few_patients_are_replaced_by_phantoms_and_that_is_said(monkeypatch):
    bundle = load_bundle()
    monkeypatch.setattr(training.fitting, "phantom_intervals", lambda *_: bundle.intervals)
    table, words = intervals(people(3), bundle, None, 70)
    assert table == bundle.intervals
    assert words.startswith("fitted on phantoms, 70 of each renderer, not on patients (3 patients")
    monkeypatch.setattr(training.fitting, "phantom_intervals", fails)
    table, words = intervals([], bundle, None, 70)
    assert table == UNCALIBRATED and "not calibrated (on 70 phantoms" in words


def fails(*_):
    raise ValueError("only 3 patients measured")
