"""One thickness for a woman and a cycle, her baseline and her arm: what every analysis starts from.

The value of a cycle is its last measured visit in the phase of the endpoint, otherwise its last
measured visit of an unknown phase (`in_phase` leaves out those of others). It is chosen by time
alone: the largest of several would be biased upwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from trial.observations import Observation, Transfer
from trial.protocol import plain

LATE_PROLIFERATIVE = "late_proliferative"
OTHER_PHASE = "measured in another phase"

Cycles = Mapping[int, Observation]
"""The visit that counts of every measured cycle of a woman."""


def is_phase(observation: Observation, phase: str) -> bool:
    """Tell whether a visit lies in a phase; hyphens, spaces and capitals do not matter."""
    return observation.phase is not None and plain(observation.phase) == plain(phase)


def in_phase(observations: Sequence[Observation], phase: str) -> tuple[list[Observation], int]:
    """Return observations without the thickness of another phase, and how many those were.

    An endometrium of day 5 is no baseline for one of day 13. Where nobody knows the phase, the
    visit counts.
    """
    kept = [
        replace(each, thickness_mm=None, lower_mm=None, upper_mm=None, missing=OTHER_PHASE)
        if each.thickness_mm is not None and each.phase is not None and not is_phase(each, phase)
        else each
        for each in observations
    ]
    return kept, sum(each.missing == OTHER_PHASE for each in kept)


def in_order(visits: Iterable[Observation]) -> list[Observation]:
    """Return visits in time: by date if all have one, else by cycle and day if all have one, else
    by cycle and line."""
    found = list(visits)
    if all(each.date is not None for each in found):
        return sorted(found, key=lambda each: (each.date or date.min, each.row))
    if all(each.cycle_day is not None for each in found):
        return sorted(found, key=lambda each: (each.cycle, each.cycle_day or 0, each.row))
    return sorted(found, key=lambda each: (each.cycle, each.row))


def by_cycle(
    observations: Iterable[Observation], phase: str = LATE_PROLIFERATIVE
) -> dict[str, Cycles]:
    """Return of every woman with a measurement the visit that counts in each measured cycle.

    Women come in the order of the table, cycles in their own.
    """
    visits: dict[str, dict[int, list[Observation]]] = {}
    for each in sorted(observations, key=lambda each: each.row):
        if each.thickness_mm is not None:
            visits.setdefault(each.patient, {}).setdefault(each.cycle, []).append(each)
    return {
        patient: {cycle: _counts(cycles[cycle], phase) for cycle in sorted(cycles)}
        for patient, cycles in visits.items()
    }


def _counts(visits: Sequence[Observation], phase: str) -> Observation:
    late = [each for each in visits if is_phase(each, phase)]
    return in_order(late or visits)[-1]


def baseline_of(cycles: Cycles) -> Observation | None:
    """Return the visit that counts of the last measured cycle before treatment (0, -1, ...)."""
    before = [cycle for cycle in cycles if cycle <= 0]
    return cycles[max(before)] if before else None


def treated(cycles: Cycles) -> dict[int, Observation]:
    """Return the treatment cycles (1, 2, ...) alone."""
    return {cycle: each for cycle, each in cycles.items() if cycle >= 1}


def thickness(observation: Observation) -> float:
    """Return the thickness of a measured visit in mm. Raises ValueError for another."""
    if observation.thickness_mm is None:
        raise ValueError(f"line {observation.row} has no thickness")
    return observation.thickness_mm


def arms_of(
    observations: Iterable[Observation], transfers: Iterable[Transfer] = ()
) -> dict[str, str | None]:
    """Return the arm of every woman in the order of the table, None where no line says one.

    Raises ValueError where two lines of a woman name different arms.
    """
    found: dict[str, str | None] = {}
    rows: list[Observation | Transfer] = [*observations, *transfers]
    for each in sorted(rows, key=lambda each: each.row):
        known = found.setdefault(each.patient, each.arm)
        if each.arm is not None and known is not None and each.arm != known:
            raise ValueError(f"line {each.row} puts a woman in another arm than her lines before")
        found[each.patient] = known if known is not None else each.arm
    return found
