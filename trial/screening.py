"""Criterion 9: were transfers cancelled because the endometrium stayed thin?

A cancelled cycle before treatment is shown to be thin if it was cancelled for it and every scan of
the phase lies below the threshold with its whole interval. One scan whose whole interval lies at or
above is evidence against. Everything between is open, and the open ones say what would settle them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from trial.observations import (
    Cancellation,
    CycleType,
    Observation,
    Origin,
    Reading,
    numbers,
)
from trial.protocol import Protocol


class Verdict(StrEnum):
    """Whether the criterion holds."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot tell"


class Evidence(StrEnum):
    """What a cycle says."""

    SHOWN = "shown"
    OPEN = "open"
    AGAINST = "against"


class Todo(StrEnum):
    """What a person can do to settle an open cycle."""

    REVIEW = "review this clip on the review page"
    READ_AGAIN = "have it read again, by a second person"
    FIND = "find the missing scan"
    PHASE = "find out the cycle day or the phase"
    REASON = "find out why the transfer was cancelled"
    CANCELLED = "find out whether the transfer was cancelled"
    CYCLE_TYPE = "find out how the cycle was prepared"
    EARLIER = "enter the earlier cycles into the visits table"


@dataclass(frozen=True)
class Step:
    """One thing to do, at a row of the visits table; `clip` is the file to look at, if any."""

    row: int
    cycle: int
    date: date | None
    todo: Todo
    because: str
    clip: str | None = None


@dataclass(frozen=True)
class CycleEvidence:
    """A cycle before treatment, what it says and why. `rows` are the scans that show it."""

    cycle: int
    evidence: Evidence
    words: str
    rows: tuple[int, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Screened:
    """A woman's verdict. `number` is hers in the order of the visits table.

    `steps` are in the order in which to take them: a yes needs `for_yes` of them, a no can come
    from `for_no`. None where the verdict stands.
    """

    number: int
    patient: str
    verdict: Verdict
    cycles: tuple[CycleEvidence, ...]
    steps: tuple[Step, ...] = ()
    for_yes: int = 0
    for_no: int = 0

    def count(self, evidence: Evidence) -> int:
        """Return how many cycles say so."""
        return sum(each.evidence is evidence for each in self.cycles)


def screen(
    observations: Iterable[Observation],
    cancellations: Iterable[Cancellation],
    protocol: Protocol,
    undecided: Iterable[Cancellation] = (),
) -> tuple[Screened, ...]:
    """Return the verdict on every woman, in the order of their numbers.

    `undecided` are cycles of which nobody says whether they were cancelled. Cycles after treatment
    began are left out.
    """
    observations = tuple(observations)
    first: dict[str, int] = {}
    seen: dict[str, dict[int, int]] = defaultdict(dict)
    scans: dict[tuple[str, int], list[Observation]] = defaultdict(list)
    for each in sorted(observations, key=lambda each: each.row):
        first.setdefault(each.patient, each.row)
        if each.cycle <= 0:
            seen[each.patient].setdefault(each.cycle, each.row)
        scans[each.patient, each.cycle].append(each)
    cycles: dict[str, list[CycleEvidence]] = defaultdict(list)
    candidates = [(each, True) for each in cancellations] + [(each, False) for each in undecided]
    for cancelled, known in sorted(candidates, key=lambda pair: pair[0].row):
        if cancelled.cycle <= 0:
            own = scans[cancelled.patient, cancelled.cycle]
            cycles[cancelled.patient].append(_cycle(cancelled, own, protocol, known=known))
    needed = protocol.persistent.cancelled_cycles
    return tuple(
        _screened(
            number,
            patient,
            cycles[patient],
            needed,
            _earlier(first[patient], seen[patient], needed),
        )
        for patient, number in numbers(observations).items()
    )


def _earlier(row: int, seen: Mapping[int, int], needed: int) -> tuple[Step, ...]:
    """Return what is to do where the table has too few cycles before treatment for a no."""
    if len(seen) >= needed:
        return ()
    because = f"the table has {len(seen)} cycles before treatment of at least {needed}"
    first = min(seen, default=0)
    return (Step(seen.get(first, row), first, None, Todo.EARLIER, because),)


def _screened(
    number: int,
    patient: str,
    cycles: list[CycleEvidence],
    needed: int,
    earlier: tuple[Step, ...],
) -> Screened:
    cycles = sorted(cycles, key=lambda each: each.cycle)
    shown = sum(each.evidence is Evidence.SHOWN for each in cycles)
    still = [each for each in cycles if each.evidence is Evidence.OPEN]
    if shown >= needed:
        return Screened(number, patient, Verdict.YES, tuple(cycles))
    if shown + len(still) < needed and not earlier:
        return Screened(number, patient, Verdict.NO, tuple(cycles))
    # A missing scan may never be found, so what is at hand comes first.
    still.sort(
        key=lambda each: (
            len(each.steps),
            any(step.todo is Todo.FIND for step in each.steps),
            -each.cycle,
        )
    )
    if shown + len(still) < needed:
        steps = [*earlier, *(step for each in still for step in each.steps)]
        return Screened(
            number, patient, Verdict.CANNOT_TELL, tuple(cycles), tuple(steps), len(steps), 1
        )
    # Yes needs everything of so many cycles; for no, one thing of so many can be enough.
    for_yes = sum(len(each.steps) for each in still[: needed - shown])
    for_no = shown + len(still) - needed + 1
    if for_no < for_yes:
        steps = [each.steps[0] for each in still]
        steps += [step for each in still for step in each.steps[1:]]
    else:
        steps = [step for each in still for step in each.steps]
    return Screened(
        number, patient, Verdict.CANNOT_TELL, tuple(cycles), tuple(steps), for_yes, for_no
    )


def _cycle(
    cancelled: Cancellation, scans: list[Observation], protocol: Protocol, *, known: bool
) -> CycleEvidence:
    """Return what a cycle says."""
    persistent, threshold = protocol.persistent, protocol.threshold_mm
    phase = protocol.title_of(persistent.phase)
    late = [scan for scan in scans if scan.phase == persistent.phase]
    unknown = [scan for scan in scans if scan.phase is None]
    measured = [scan for scan in late if scan.thickness_mm is not None]
    thick = [scan for scan in measured if any(e.lower_mm >= threshold for e in _readings(scan))]
    thin = [
        scan
        for scan in measured
        if all(each.upper_mm < threshold for each in _readings(scan))
        and not (scan.reader and scan.reader.lower_mm >= threshold)
    ]
    between = [scan for scan in measured if scan not in (*thick, *thin)]
    is_thin = persistent.is_thin(cancelled.because)

    def against(words: str, rows: Iterable[Observation] = ()) -> CycleEvidence:
        at = tuple(scan.row for scan in rows)
        return CycleEvidence(cancelled.cycle, Evidence.AGAINST, words, at)

    if thick:
        least = max(_readings(thick[0]), key=lambda each: each.lower_mm)
        return against(f"{_millimetres(least)} in the {phase} phase is not thin", thick)
    if is_thin is False:
        return against("cancelled for another reason")
    if cancelled.cycle_type not in (None, *persistent.cycle_types):
        return against(f"a {cancelled.cycle_type} cycle does not count")

    def step(todo: Todo, because: str) -> Step:
        return Step(cancelled.row, cancelled.cycle, None, todo, because)

    steps = [_settling(scan, threshold) for scan in between]
    if not known:
        steps.append(step(Todo.CANCELLED, "the table does not say"))
    elif is_thin is None:
        steps.append(step(Todo.REASON, "no reason that the protocol knows"))
    if cancelled.cycle_type is None and set(persistent.cycle_types) != set(CycleType):
        steps.append(step(Todo.CYCLE_TYPE, "the table does not say"))
    doubtful = [scan for scan in unknown if any(e.upper_mm >= threshold for e in _readings(scan))]
    steps += [_of_no_phase(scan) for scan in doubtful]
    if not thin and not between:
        steps += _without_measurement(cancelled, late, unknown, phase, threshold)
    if steps:
        words = "; ".join(dict.fromkeys(each.because for each in steps))
        return CycleEvidence(
            cancelled.cycle,
            Evidence.OPEN,
            words,
            tuple(scan.row for scan in (*thin, *between)),
            tuple(dict.fromkeys(steps)),
        )
    words = f"cancelled as thin, {_millimetres(_readings(thin[0])[0])}"
    return CycleEvidence(cancelled.cycle, Evidence.SHOWN, words, tuple(scan.row for scan in thin))


def _without_measurement(
    cancelled: Cancellation,
    late: list[Observation],
    unknown: list[Observation],
    phase: str,
    threshold: float,
) -> list[Step]:
    """Return what would give a cycle its first measurement in the phase."""
    if late:
        # One of them is enough: a scan that is there before one that has to be found.
        return [_settling(min(late, key=lambda scan: (scan.clip is None, scan.row)), threshold)]
    measured = [scan for scan in unknown if scan.thickness_mm is not None]
    if measured:
        return [_of_no_phase(measured[0])]
    because = f"no scan of the {phase} phase"
    return [Step(cancelled.row, cancelled.cycle, None, Todo.FIND, because)]


def _of_no_phase(scan: Observation) -> Step:
    most = max(_readings(scan), key=lambda each: each.upper_mm)
    because = f"{_millimetres(most)} at an unknown phase"
    return Step(scan.row, scan.cycle, scan.date, Todo.PHASE, because, most.clip)


def _settling(scan: Observation, threshold: float) -> Step:
    """Return what would decide a scan of the phase that does not decide now."""
    clip = scan.clip
    open_ = [each for each in _readings(scan) if each.upper_mm >= threshold]
    if open_:
        clip = open_[0].clip
        todo = Todo.REVIEW if scan.origin is Origin.AUTOMATIC else Todo.READ_AGAIN
        because = f"{_millimetres(open_[0])} may be either side of {threshold:g} mm"
    elif scan.thickness_mm is not None and scan.reader is not None:
        todo = Todo.READ_AGAIN
        because = f"a person read {_millimetres(scan.reader)} where the scan says thin"
    else:
        todo = Todo.FIND if scan.clip is None else Todo.REVIEW
        because = scan.missing or "nothing was measured"
    return Step(scan.row, scan.cycle, scan.date, todo, because, clip)


def _readings(scan: Observation) -> tuple[Reading, ...]:
    """Return what was measured at a visit, the one that counts first; empty without any."""
    if scan.thickness_mm is None or scan.lower_mm is None or scan.upper_mm is None:
        return ()
    own = Reading(scan.thickness_mm, scan.lower_mm, scan.upper_mm, scan.clip)
    return (own, *scan.others)


def _millimetres(reading: Reading) -> str:
    """Return a thickness with its interval, as people read it."""
    return f"{reading.mm:.1f} mm ({reading.lower_mm:.1f} to {reading.upper_mm:.1f})"
