"""The error of a measurement, carried to changes: which change is larger than error makes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trial.agreement.estimate import Z
from trial.analysis.change import changes
from trial.analysis.numbers import Count, count_of
from trial.analysis.repeat import Repeats
from trial.analysis.values import Cycles, thickness
from trial.observations import Observation

# Standard normal quantile of a two-sided 90 % interval, which is what a measurement carries.
Z_90 = 1.6448536269514722


@dataclass(frozen=True)
class Error:
    """Standard deviation of one measurement, and the smallest detectable change; mm.

    `n`: measurements with an interval, or visits with repeats, that it comes from.
    """

    n: int
    sd_mm: float
    detectable_mm: float


@dataclass(frozen=True)
class Beyond:
    """Women of an arm in a treatment cycle whose change from baseline is beyond detection.

    By the smallest detectable change of the intervals, or of repeats where there are no intervals.
    """

    arm: str
    cycle: int
    thicker: Count
    thinner: Count


@dataclass(frozen=True)
class MeasurementError:
    """Error from intervals and from repeats, each None without any, and who changed beyond it."""

    intervals: Error | None
    repeats: Error | None
    beyond: tuple[Beyond, ...]


def detectable(sd_mm: float) -> float:
    """Return the smallest detectable change of a measurement's standard deviation, in mm.

    1.96 sqrt(2) SEM (de Vet et al., J Clin Epidemiol 59, 2006, 1033): two measurements of the same
    thickness differ by less in 95 of 100.
    """
    return Z * math.sqrt(2) * sd_mm


def measurement_error(
    women: Mapping[str, Mapping[str, Cycles]], found: Repeats
) -> MeasurementError:
    """Return the error of the visits of `women`: arm -> patient -> cycle -> visit.

    Intervals are of 90 % and conformal, so that they say nothing of a shape: their half width over
    1.645 is a standard deviation if errors are about normal. They hold every source of error,
    whereas repeats hold only what differs between two scans of a visit, and are smaller where the
    machine errs in the same way twice. Neither holds how a woman differs from cycle to cycle.
    """
    visits = [each for arm in women.values() for cycles in arm.values() for each in cycles.values()]
    by_interval = error_of_intervals(visits)
    by_repeats = None
    if found.overall is not None:
        sd = found.overall.sd.value
        by_repeats = Error(found.overall.cases, sd, detectable(sd))
    chosen = by_interval or by_repeats
    beyond = _beyond(women, chosen.detectable_mm) if chosen else ()
    return MeasurementError(by_interval, by_repeats, tuple(beyond))


def error_of_intervals(visits: Iterable[Observation]) -> Error | None:
    """Return the error from 90 % intervals: root mean square of half width / 1.645."""
    halves = [
        (each.upper_mm - each.lower_mm) / 2
        for each in visits
        if each.lower_mm is not None and each.upper_mm is not None
    ]
    if not halves:
        return None
    sd = math.sqrt(sum((half / Z_90) ** 2 for half in halves) / len(halves))
    return Error(len(halves), sd, detectable(sd))


def _beyond(women: Mapping[str, Mapping[str, Cycles]], limit: float) -> Sequence[Beyond]:
    found = []
    for arm, patients in women.items():
        gaps: dict[int, list[float]] = {}
        for start, now in changes(patients):
            gaps.setdefault(now.cycle, []).append(thickness(now) - thickness(start))
        for cycle in sorted(gaps):
            each = gaps[cycle]
            thicker, thinner = (sum(s * gap > limit for gap in each) for s in (1, -1))
            found.append(
                Beyond(arm, cycle, count_of(thicker, len(each)), count_of(thinner, len(each)))
            )
    return found
