"""Deming's regression: the line between two readers who both err."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trial.agreement.estimate import Array, Estimate, Groups, t_quantile
from trial.agreement.limits import within_reader
from trial.agreement.repeatability import within_variance

# Fewer patients than this have no line.
FEWEST_PATIENTS = 4


@dataclass(frozen=True)
class Deming:
    """second = intercept + slope * first, mm.

    `ratio` is the error variance of the first over that of the second reader; `from_replicates`
    tells that the readings gave it, otherwise it was taken as 1.
    """

    slope: Estimate
    intercept: Estimate
    ratio: float
    from_replicates: bool


def deming(first: Sequence[Array], second: Sequence[Array], groups: Groups) -> Deming | None:
    """Return the line of two readers' case means; None where there is none.

    `first` and `second` hold the readings (m,) of every case in mm, `groups` (n,) its patient.
    Linnet, Clin Chem 39, 1993, 424: errors have a constant variance each, and its ratio comes from
    the replicates where both readers have some. Intervals by jackknife, leaving out a patient at a
    time, with Student's t of two degrees of freedom fewer than patients.
    """
    names = np.unique(groups)
    if len(names) < FEWEST_PATIENTS:
        return None
    x, y = (np.array([each.mean() for each in side]) for side in (first, second))
    ratio, known = _error_ratio(first, second)
    line = fit(x, y, ratio)
    if line is None:
        return None
    left = [fit(x[groups != name], y[groups != name], ratio) for name in names]
    if any(each is None for each in left):
        return Deming(Estimate(line[0]), Estimate(line[1]), ratio, known)
    k = len(names)
    pseudo = k * np.array(line) - (k - 1) * np.array(left, float)
    error = pseudo.std(0, ddof=1) / math.sqrt(k)
    half = t_quantile(k - 2) * error
    slope, intercept = (
        Estimate(value, value - float(wide), value + float(wide))
        for value, wide in zip(line, half, strict=True)
    )
    return Deming(slope, intercept, ratio, known)


def fit(x: Array, y: Array, ratio: float) -> tuple[float, float] | None:
    """Return slope and intercept of y on x, both (n,); None where they do not vary together.

    `ratio`: error variance of x over that of y (Linnet 1993, equation 3, whose lambda it is).
    """
    u, q = float(x.var()), float(y.var())
    p = float(((x - x.mean()) * (y - y.mean())).mean())
    if p == 0:
        return None
    gap = ratio * q - u
    slope = (gap + math.sqrt(gap**2 + 4 * ratio * p**2)) / (2 * ratio * p)
    return slope, float(y.mean() - slope * x.mean())


def _error_ratio(first: Sequence[Array], second: Sequence[Array]) -> tuple[float, bool]:
    """Return the ratio of the error variances of case means, and whether replicates told it."""
    if not (within_reader(first) and within_reader(second)):
        return 1.0, False
    errors = [
        within_variance(side)[0] * float(np.mean([1 / len(each) for each in side]))
        for side in (first, second)
    ]
    if min(errors) <= 0:
        return 1.0, False
    return errors[0] / errors[1], True
