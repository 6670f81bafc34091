"""Thickness by arm and cycle, its change from baseline, and who reaches a level.

Each woman counts once in a cycle, with the visit that `trial.analysis.values` names. Only what was
measured counts: nothing is filled in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trial.agreement.estimate import Estimate
from trial.analysis.numbers import Count, Sample, count_of, newcombe, sample_of, welch
from trial.analysis.values import Cycles, baseline_of, thickness, treated
from trial.observations import Observation


@dataclass(frozen=True)
class CycleMean:
    """An arm in a cycle, mm. `change` is from baseline, of the women who have both."""

    arm: str
    cycle: int
    thickness: Sample
    change: Sample


@dataclass(frozen=True)
class Difference:
    """Mean change of the other arm minus that of the reference arm in a cycle, mm.

    `thickness` is the difference of the means themselves.
    """

    cycle: int
    change: Estimate | None
    thickness: Estimate | None


@dataclass(frozen=True)
class Reached:
    """Women of an arm that reach a level, among those measured in a treatment cycle.

    `observed`: by the thickness in any treatment cycle. `surely`: the lower end of its interval
    reaches the level, too. A woman with more cycles has more chances.
    """

    arm: str
    level_mm: float
    observed: Count
    surely: Count


@dataclass(frozen=True)
class ReachedDifference:
    """Shares that reach a level, other arm minus reference arm (Newcombe's interval)."""

    level_mm: float
    observed: Estimate | None
    surely: Estimate | None


@dataclass(frozen=True)
class Thin:
    """Women of an arm thinner than the threshold at baseline, among those measured then.

    `surely`: the upper end of the interval lies below the threshold, too.
    """

    arm: str
    observed: Count
    surely: Count


@dataclass(frozen=True)
class Thickness:
    """All that is said about thickness, mm. Differences are empty where there is one arm."""

    baseline: dict[str, Sample]
    thin: tuple[Thin, ...]
    means: tuple[CycleMean, ...]
    differences: tuple[Difference, ...]
    reached: tuple[Reached, ...]
    reached_differences: tuple[ReachedDifference, ...]


def thickness_by_arm(
    women: Mapping[str, Mapping[str, Cycles]], levels_mm: Sequence[float], threshold_mm: float
) -> Thickness:
    """Return thickness and change of `women`: arm -> patient -> cycle -> visit.

    Differences are the second arm minus the first. The means of a cycle before treatment are there,
    too; their change is not, because baseline is one of them.
    """
    every = sorted({c for arm in women.values() for each in arm.values() for c in each})
    means = tuple(_mean(arm, cycle, women[arm]) for arm in women for cycle in every)
    reached = tuple(_reached(arm, level, women[arm]) for level in levels_mm for arm in women)
    return Thickness(
        baseline={arm: sample_of(_baselines(women[arm])) for arm in women},
        thin=tuple(_thin(arm, threshold_mm, women[arm]) for arm in women),
        means=means,
        differences=_differences(means, tuple(women)),
        reached=reached,
        reached_differences=_reached_differences(reached, tuple(women)),
    )


def changes(arm: Mapping[str, Cycles]) -> list[tuple[Observation, Observation]]:
    """Return (baseline, visit) of every treatment cycle of every woman who has a baseline."""
    found = []
    for cycles in arm.values():
        start = baseline_of(cycles)
        if start is not None:
            found += [(start, each) for each in treated(cycles).values()]
    return found


def _baselines(arm: Mapping[str, Cycles]) -> list[float]:
    found = [baseline_of(cycles) for cycles in arm.values()]
    return [thickness(each) for each in found if each is not None]


def _mean(name: str, cycle: int, arm: Mapping[str, Cycles]) -> CycleMean:
    values = [thickness(cycles[cycle]) for cycles in arm.values() if cycle in cycles]
    gaps = [thickness(now) - thickness(start) for start, now in changes(arm) if now.cycle == cycle]
    return CycleMean(name, cycle, sample_of(values), sample_of(gaps))


def _differences(means: Sequence[CycleMean], arms: Sequence[str]) -> tuple[Difference, ...]:
    if len(arms) != 2:
        return ()
    at = {(each.arm, each.cycle): each for each in means}
    pairs = [
        (cycle, at[arms[1], cycle], at[arms[0], cycle])
        for cycle in sorted({each.cycle for each in means})
        if cycle >= 1
    ]
    return tuple(
        Difference(cycle, welch(one.change, two.change), welch(one.thickness, two.thickness))
        for cycle, one, two in pairs
    )


def _count(visits: Sequence[Sequence[Observation]], holds: Callable[[Observation], bool]) -> Count:
    return count_of(sum(any(map(holds, each)) for each in visits), len(visits))


def _reached(name: str, level: float, arm: Mapping[str, Cycles]) -> Reached:
    every = [list(treated(cycles).values()) for cycles in arm.values() if treated(cycles)]
    return Reached(
        name,
        level,
        _count(every, lambda each: thickness(each) >= level),
        _count(every, lambda each: each.lower_mm is not None and each.lower_mm >= level),
    )


def _reached_differences(
    reached: Sequence[Reached], arms: Sequence[str]
) -> tuple[ReachedDifference, ...]:
    if len(arms) != 2:
        return ()
    at = {(each.level_mm, each.arm): each for each in reached}
    return tuple(
        ReachedDifference(
            level,
            newcombe(at[level, arms[1]].observed.share, at[level, arms[0]].observed.share),
            newcombe(at[level, arms[1]].surely.share, at[level, arms[0]].surely.share),
        )
        for level in dict.fromkeys(each.level_mm for each in reached)
    )


def _thin(name: str, threshold: float, arm: Mapping[str, Cycles]) -> Thin:
    found = [baseline_of(cycles) for cycles in arm.values()]
    every = [[each] for each in found if each is not None]
    return Thin(
        name,
        _count(every, lambda each: thickness(each) < threshold),
        _count(every, lambda each: each.upper_mm is not None and each.upper_mm < threshold),
    )
