"""Whether a bundle may be believed: intervals, calls, refusals and quality against the truth.

Pure functions of results; `endometer evaluate --trust` shows what they return.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from inference.records import Call, Status
from inference.report.urgency import DOUBTFUL
from training.estimates import Estimate, share
from training.summary import THRESHOLD_MM, Result, groups_of

# Nearer to the threshold than this nobody is on the wrong side: experts repeat themselves to so
# many mm (0.3 to 0.5).
NEAR_MM = 0.5
# From this quality on a frame counts as a good one: what the report does not call doubtful.
GOOD_QUALITY = DOUBTFUL
MEASURED = "measured"
# The families whose groups' intervals are looked at, and the one that says what is in a frame.
GROUPED, SITUATION = ("thickness", "pattern", "orientation", "fluid"), "view"
# Shares of the measured that are kept, from the best quality down.
SHARES = tuple(i / 20 for i in range(1, 21))


@dataclass(frozen=True)
class Group:
    """How intervals do in a group: how often they hold the truth, half their mean width in mm."""

    name: str
    n: int
    coverage: Estimate | None
    half_width_mm: float | None


@dataclass(frozen=True)
class Kept:
    """The best `share` of the measured by quality: their least quality, their mean absolute error
    and that of how many is within 1 mm."""

    share: float
    least_quality: float
    mae_mm: float
    within_1_mm: float


@dataclass(frozen=True)
class Trust:
    """What an evaluation says about trust; shares are of cases, lengths in mm."""

    groups: tuple[Group, ...]
    """The first is everything, the second what has a good quality."""
    wrong_side: Estimate | None
    """Called thin or not thin against the truth, of those measured whose true thickness is more
    than NEAR_MM from the threshold."""
    decided: Estimate | None
    """Called thin or not thin at all, of the same."""
    curve: tuple[Kept, ...]
    area_mm: float | None
    """Mean of the curve's errors. Where the quality puts the wrong ones last it is smaller than the
    mean error of all, which it is where quality says nothing."""
    situations: dict[str, dict[str, int]]
    """For every situation how many cases got a number, or which reason for none."""


def trust_of(results: Iterable[Result], threshold_mm: float = THRESHOLD_MM) -> Trust:
    """Return what results say about trust."""
    sound = [r for r in results if r.status is not Status.FAILED]
    judged = [r for r in sound if r.error_mm is not None]
    away = [r for r in judged if abs((r.true_mm or 0.0) - threshold_mm) > NEAR_MM]
    curve = selective(judged)
    return Trust(
        groups=tuple(_groups(judged)),
        wrong_side=share([_is_wrong(r, threshold_mm) for r in away]),
        decided=share([r.call is not Call.INDETERMINATE for r in away]),
        curve=curve,
        area_mm=float(np.mean([kept.mae_mm for kept in curve])) if curve else None,
        situations=situations(sound),
    )


def selective(judged: list[Result]) -> tuple[Kept, ...]:
    """Return what is left, and how good it is, as more and more of the doubtful is kept.

    Risk against coverage (El-Yaniv and Wiener, J Mach Learn Res 11, 2010, 1605). Equal qualities
    stay in the order of the cases.
    """
    if not judged:
        return ()
    order = sorted(judged, key=lambda r: -(r.quality or 0.0))
    errors = np.abs([r.error_mm or 0.0 for r in order])
    kept = []
    for part in SHARES:
        n = max(1, round(part * len(order)))
        mae, within = float(errors[:n].mean()), float((errors[:n] <= 1).mean())
        kept.append(Kept(part, order[n - 1].quality or 0.0, mae, within))
    return tuple(kept)


def situations(results: list[Result]) -> dict[str, dict[str, int]]:
    """Count what every situation got, a number or a reason; those without endometrium come last."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        kind = result.families.get(SITUATION, "")
        shown = "endometrium" if result.visible else "none"
        name = f"{kind}: {shown}" if kind else shown
        got = MEASURED if result.measured else result.reason or "no reason"
        table.setdefault(name, Counter())[got] += 1
    order = sorted(table, key=lambda name: (name.endswith("none"), name))
    return {name: dict(table[name]) for name in order}


def outcomes(table: dict[str, dict[str, int]]) -> list[str]:
    """Return the columns of a table of situations: measured first, then the commonest reason."""
    total = Counter({MEASURED: 0})
    for row in table.values():
        total.update(row)
    return sorted(total, key=lambda got: (got != MEASURED, -total[got], got))


def _groups(judged: list[Result]) -> Iterable[Group]:
    yield _group("all measured", judged)
    good = [r for r in judged if (r.quality or 0.0) >= GOOD_QUALITY]
    yield _group(f"quality {GOOD_QUALITY:g} or more", good)
    for family in GROUPED:
        groups = groups_of(judged, family)
        for name, members in groups.items() if len(groups) > 1 else ():
            yield _group(f"{family}: {name}", members)


def _group(name: str, members: list[Result]) -> Group:
    halves = [
        (r.upper_mm - r.lower_mm) / 2
        for r in members
        if r.upper_mm is not None and r.lower_mm is not None
    ]
    half = float(np.mean(halves)) if halves else None
    return Group(name, len(members), share([r.covered for r in members]), half)


def _is_wrong(result: Result, threshold_mm: float) -> bool:
    thin = (result.true_mm or 0.0) < threshold_mm
    return result.call is (Call.NOT_THIN if thin else Call.THIN)
