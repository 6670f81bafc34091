"""Criterion 9: decided only by what is shown, and open cycles say what would settle them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trial.observations import Cancellation, CycleType, Observation, Origin, Reading
from trial.protocol import load_protocol
from trial.screening import Evidence, Todo, Verdict, screen

PROTOCOL = load_protocol("NCT07176143")
LATE = "late_proliferative"


def scan(row, cycle, mm=None, half=0.5, patient="W", **other):
    """Return a scan, measured if `mm` is given, its interval mm ± half."""
    values = {
        "arm": None,
        "cycle_type": CycleType.HRT,
        "cycle_day": None,
        "phase": LATE,
        "date": None,
        "lower_mm": None if mm is None else mm - half,
        "upper_mm": None if mm is None else mm + half,
        "origin": None if mm is None else Origin.AUTOMATIC,
        "missing": "not measurable: low quality" if mm is None else None,
        "clip": f"{row}.dcm",
    } | other
    return Observation(row=row, patient=patient, cycle=cycle, thickness_mm=mm, **values)


def stopped(row, cycle, because="thin", kind=CycleType.HRT, patient="W"):
    return Cancellation(row, patient, cycle, kind, because)


def verdict(scans, cancelled, undecided=(), protocol=PROTOCOL):
    (woman,) = screen(scans, cancelled, protocol, undecided)
    return woman


def test_two_cancelled_thin_cycles_are_enough():
    woman = verdict([scan(2, -1, 5.0), scan(3, 0, 5.2)], [stopped(2, -1), stopped(3, 0)])
    assert woman.verdict is Verdict.YES
    assert [each.rows for each in woman.cycles] == [(2,), (3,)]
    assert woman.cycles[0].words == "cancelled as thin, 5.0 mm (4.5 to 5.5)"
    assert not woman.steps


@pytest.mark.parametrize(
    ("last", "found", "todo"),
    [
        (scan(3, 0, 5.9, 0.6), Verdict.CANNOT_TELL, Todo.REVIEW),
        (scan(3, 0, 5.9, 0.6, origin=Origin.REVIEW), Verdict.CANNOT_TELL, Todo.READ_AGAIN),
        (scan(3, 0, 5.4, 0.6), Verdict.CANNOT_TELL, Todo.REVIEW),  # 6.0 is not below 6
        (scan(3, 0, 5.39, 0.6), Verdict.YES, None),
        (scan(3, 0, 6.6, 0.6), Verdict.NO, None),  # from 6.0 on it is not thin
        (scan(3, 0, 6.5, 0.6), Verdict.CANNOT_TELL, Todo.REVIEW),
        (scan(3, 0), Verdict.CANNOT_TELL, Todo.REVIEW),
        (scan(3, 0, clip=None, missing="no scan"), Verdict.CANNOT_TELL, Todo.FIND),
        (scan(3, 0, 5.0, phase="secretory"), Verdict.CANNOT_TELL, Todo.FIND),
        (scan(3, 0, 5.0, phase=None), Verdict.CANNOT_TELL, Todo.PHASE),
        (scan(3, 0, 9.0, phase="secretory"), Verdict.CANNOT_TELL, Todo.FIND),
    ],
)
def test_the_last_scan_decides_with_its_whole_interval(last, found, todo):
    woman = verdict([scan(2, -1, 5.0), last], [stopped(2, -1), stopped(3, 0)])
    assert woman.verdict is found
    assert [step.todo for step in woman.steps] == ([todo] if todo else [])
    if todo:
        (step,) = woman.steps
        assert (step.row, step.cycle, woman.for_yes, woman.for_no) == (3, 0, 1, 1)
        if todo is Todo.REVIEW:
            assert step.clip == "3.dcm"


def test_one_thick_scan_of_the_phase_is_evidence_against():
    scans = [scan(2, -1, 5.0), scan(3, 0, 4.8), scan(4, 0, 6.2, 0.2)]
    woman = verdict(scans, [stopped(2, -1), stopped(3, 0)])
    assert woman.verdict is Verdict.NO
    assert woman.cycles[1].evidence is Evidence.AGAINST
    assert woman.cycles[1].rows == (4,)
    assert "6.2 mm (6.0 to 6.4)" in woman.cycles[1].words


def test_a_thick_scan_outside_the_phase_says_nothing_and_of_unknown_phase_is_asked():
    two = [stopped(2, -1), stopped(3, 0)]
    scans = [scan(2, -1, 5.0), scan(3, 0, 4.8)]
    assert verdict([*scans, scan(4, 0, 9.0, phase="secretory")], two).verdict is Verdict.YES
    assert verdict([*scans, scan(4, 0, 4.0, phase=None)], two).verdict is Verdict.YES
    woman = verdict([*scans, scan(4, 0, 9.0, phase=None)], two)
    assert woman.verdict is Verdict.CANNOT_TELL
    assert [(step.todo, step.row) for step in woman.steps] == [(Todo.PHASE, 4)]


def test_what_was_cancelled_for_another_reason_does_not_count():
    scans = [scan(2, -1, 5.0), scan(3, 0, 5.2)]
    assert verdict(scans, [stopped(2, -1), stopped(3, 0, "Fever")]).verdict is Verdict.NO
    for because in (None, "endometrium not thin"):
        woman = verdict(scans, [stopped(2, -1), stopped(3, 0, because)])
        assert woman.verdict is Verdict.CANNOT_TELL
        assert [(step.todo, step.row) for step in woman.steps] == [(Todo.REASON, 3)]


def test_a_cycle_of_which_nobody_says_whether_it_was_cancelled_is_open():
    scans = [scan(2, -1, 5.0), scan(3, 0, 5.2)]
    woman = verdict(scans, [stopped(2, -1)], [stopped(3, 0, None)])
    assert woman.verdict is Verdict.CANNOT_TELL
    assert [step.todo for step in woman.steps] == [Todo.CANCELLED]
    # Where it was thick the answer does not matter.
    thick = [scan(2, -1, 5.0), scan(3, 0, 8.0)]
    assert verdict(thick, [stopped(2, -1)], [stopped(3, 0, None)]).verdict is Verdict.NO


def test_only_cycles_before_treatment_count():
    woman = verdict(
        [scan(4, -1, 9.0), scan(2, 0, 5.0), scan(3, 1, 5.0)], [stopped(2, 0), stopped(3, 1)]
    )
    assert woman.verdict is Verdict.NO
    assert [each.cycle for each in woman.cycles] == [0]


def test_a_table_that_lacks_her_earlier_cycles_is_no_no():
    woman = verdict([scan(2, 0, 5.0), scan(3, 1, 5.0)], [stopped(2, 0), stopped(3, 1)])
    assert woman.verdict is Verdict.CANNOT_TELL
    (step,) = woman.steps
    assert (step.todo, step.row, step.cycle) == (Todo.EARLIER, 2, 0)
    assert "has 1 cycles before treatment of at least 2" in step.because


def test_every_scan_of_a_visit_must_be_thin():
    others = {
        Verdict.YES: Reading(5.2, 4.8, 5.6, "b.dcm"),
        Verdict.CANNOT_TELL: Reading(6.2, 5.8, 6.6, "b.dcm"),
        Verdict.NO: Reading(8.5, 8.1, 8.9, "b.dcm"),
    }
    for wanted, other in others.items():
        last = scan(3, 0, 5.0, others=(other,))
        woman = verdict([scan(2, -1, 5.0), last], [stopped(2, -1), stopped(3, 0)])
        assert woman.verdict is wanted
        assert [step.clip for step in woman.steps] == ["b.dcm"] * (wanted is Verdict.CANNOT_TELL)


def test_a_person_who_read_thick_where_the_scan_says_thin_must_be_asked():
    last = scan(3, 0, 5.0, reader=Reading(8.6, 8.1, 9.1))
    woman = verdict([scan(2, -1, 5.0), last], [stopped(2, -1), stopped(3, 0)])
    assert woman.verdict is Verdict.CANNOT_TELL
    assert woman.steps[0].todo is Todo.READ_AGAIN and "8.6 mm" in woman.steps[0].because
    near = scan(3, 0, 5.0, reader=Reading(6.2, 5.7, 6.7))
    woman = verdict([scan(2, -1, 5.0), near], [stopped(2, -1), stopped(3, 0)])
    assert woman.verdict is Verdict.YES


def test_types_of_cycle_that_the_protocol_leaves_out():
    hrt = replace(PROTOCOL, persistent=replace(PROTOCOL.persistent, cycle_types=(CycleType.HRT,)))
    scans = [scan(2, -1, 5.0), scan(3, 0, 5.2)]
    for kind, found in ((CycleType.NATURAL, Verdict.NO), (None, Verdict.CANNOT_TELL)):
        cancelled = [stopped(2, -1), stopped(3, 0, kind=kind)]
        assert verdict(scans, cancelled, protocol=hrt).verdict is found
        assert verdict(scans, cancelled).verdict is Verdict.YES


def test_the_fewest_things_to_do_come_first():
    cancelled = [stopped(2, -2), stopped(4, -1, None), stopped(5, 0)]
    scans = [scan(2, -2, 5.9), scan(3, -2, 6.1), scan(4, -1, 5.9), scan(5, 0, 6.0)]
    woman = verdict(scans, cancelled)
    # Yes: row 5, and both things of one other cycle. No: one thing of two cycles.
    assert (woman.for_yes, woman.for_no) == (3, 2)
    assert [step.row for step in woman.steps] == [5, 4, 2, 4, 3]
    assert len({(step.row, step.todo) for step in woman.steps}) == 5


def test_women_are_numbered_by_the_table():
    scans = [scan(9, 1, 5.0, patient="A"), scan(2, 0, 5.0, patient="B")]
    found = screen(scans, [], PROTOCOL)
    assert [(woman.number, woman.patient) for woman in found] == [(1, "B"), (2, "A")]
    assert {woman.verdict for woman in found} == {Verdict.CANNOT_TELL}


@st.composite
def scans_of(draw, row, cycle):
    phase = draw(st.sampled_from([LATE, LATE, "secretory", None]))
    mm = draw(st.none() | st.integers(30, 90))
    half = draw(st.integers(0, 15)) / 10
    return scan(row, cycle, None if mm is None else mm / 10, half, phase=phase)


@st.composite
def women(draw):
    """A woman of one to four cycles before treatment, cancelled or nobody says."""
    scans, cancelled, undecided, row = [], [], [], 2
    for cycle in range(-draw(st.integers(0, 3)), 1):
        first = row
        for _ in range(draw(st.integers(0, 3))):
            scans.append(draw(scans_of(row, cycle)))
            row += 1
        kind = draw(st.sampled_from([*CycleType, None]))
        because = draw(st.sampled_from(["thin", "thin", "fever", None]))
        into = cancelled if draw(st.integers(0, 3)) else undecided
        into.append(stopped(first, cycle, because if into is cancelled else None, kind))
        row += 1
    # One visit after treatment, so that she is in the table.
    return [*scans, scan(row, 1, 5.0)], cancelled, undecided


@given(women(), st.randoms())
def test_the_order_of_rows_does_not_matter(woman, random):
    scans, cancelled, undecided = woman
    found = verdict(scans, cancelled, undecided)
    for rows in (scans, cancelled, undecided):
        random.shuffle(rows)
    assert verdict(scans, cancelled, undecided) == found


@given(women(), st.data())
def test_a_narrower_interval_undoes_no_decision(woman, data):
    scans, cancelled, undecided = woman
    before = verdict(scans, cancelled, undecided)
    narrower = []
    for each in scans:
        if each.thickness_mm is not None:
            low = data.draw(st.floats(each.lower_mm, each.thickness_mm))
            high = data.draw(st.floats(each.thickness_mm, each.upper_mm))
            each = replace(each, lower_mm=low, upper_mm=high)  # noqa: PLW2901
        narrower.append(each)
    after = verdict(narrower, cancelled, undecided)
    if before.verdict is not Verdict.CANNOT_TELL:
        assert after.verdict is before.verdict


@given(women())
def test_a_reason_that_becomes_known_undoes_no_decision(woman):
    scans, cancelled, undecided = woman
    before = verdict(scans, cancelled, undecided)
    for because in ("thin", "fever"):
        known = [replace(each, because=each.because or because) for each in cancelled]
        known += [replace(each, because=because) for each in undecided]
        after = verdict(scans, known)
        if before.verdict is not Verdict.CANNOT_TELL:
            assert after.verdict is before.verdict


@given(women(), st.integers(20, 55))
def test_one_more_thin_scan_undoes_no_decision(woman, tenths):
    scans, cancelled, undecided = woman
    before = verdict(scans, cancelled, undecided)
    for cycle in range(-3, 1):
        after = verdict([*scans, scan(99, cycle, tenths / 10, 0.4)], cancelled, undecided)
        if before.verdict is not Verdict.CANNOT_TELL:
            assert after.verdict is before.verdict


@given(women())
def test_doing_all_steps_settles_it_either_way(woman):
    """Where every question is answered for thin it is a yes, for thick a no."""
    scans, cancelled, undecided = woman
    before = verdict(scans, cancelled, undecided)
    assert bool(before.steps) == (before.verdict is Verdict.CANNOT_TELL)
    if before.verdict is not Verdict.CANNOT_TELL:
        return
    if Todo.EARLIER in {step.todo for step in before.steps}:
        return  # what stands in rows that are not there settles it
    assert 1 <= min(before.for_yes, before.for_no) <= len(before.steps)
    assert {step.cycle for step in before.steps} <= {each.cycle for each in cancelled + undecided}
    for mm, because, wanted in ((4.0, "thin", Verdict.YES), (9.0, "fever", Verdict.NO)):
        rows = {step.row for step in before.steps if step.todo not in (Todo.REASON, Todo.CANCELLED)}
        settled = [
            scan(each.row, each.cycle, mm, 0.1) if each.row in rows else each for each in scans
        ]
        found = {step.row for step in before.steps if step.todo is Todo.FIND}
        lacking = found - {each.row for each in scans}
        cycles = {step.row: step.cycle for step in before.steps}
        settled += [scan(row, cycles[row], mm, 0.1) for row in lacking]
        known = [replace(each, because=each.because or because) for each in cancelled]
        known += [replace(each, because=because) for each in undecided]
        assert verdict(settled, known).verdict is wanted
