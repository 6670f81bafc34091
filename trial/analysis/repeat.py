"""Repeated scans of one visit: how far the measurement differs from itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trial.agreement.repeatability import Repeatability, repeatability
from trial.observations import Observation

# Lower ends of the bins of thickness in mm; the last has no upper end.
BINS_MM = (0.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Bin:
    """Visits whose mean thickness is at least `low_mm` and below `high_mm` (None: no end)."""

    low_mm: float
    high_mm: float | None
    repeatability: Repeatability | None


@dataclass(frozen=True)
class Repeats:
    """Repeatability of all visits with several measured scans, and by thickness.

    `women` of them; None where there is no such visit.
    """

    women: int
    overall: Repeatability | None
    bins: tuple[Bin, ...]


def repeats(observations: Sequence[Observation], bins_mm: Sequence[float] = BINS_MM) -> Repeats:
    """Return the repeatability of the scans of a visit, in mm.

    A visit goes to the bin of its mean, because a bin of its first scan would hold, at its edges,
    visits that the error brought there. Intervals go by woman where one has several such visits.
    """
    visits = [each for each in observations if len(each.repeats_mm) > 1]
    means = [float(np.mean(each.repeats_mm)) for each in visits]
    ends = [*bins_mm[1:], math.inf]
    return Repeats(
        women=len({each.patient for each in visits}),
        overall=_of(visits),
        bins=tuple(
            Bin(
                low,
                high if math.isfinite(high) else None,
                _of([v for v, mean in zip(visits, means, strict=True) if low <= mean < high]),
            )
            for low, high in zip(bins_mm, ends, strict=True)
        ),
    )


def _of(visits: Sequence[Observation]) -> Repeatability | None:
    if not visits:
        return None
    _, groups = np.unique([each.patient for each in visits], return_inverse=True)
    return repeatability([np.array(each.repeats_mm, float) for each in visits], groups)
