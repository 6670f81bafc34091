"""Whether difference and spread grow with thickness, which constant limits would hide."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import (
    Array,
    Estimate,
    Groups,
    are_clustered,
    jackknife,
    t_quantile,
)

# Fewer cases than this have no slope.
FEWEST_CASES = 4


@dataclass(frozen=True)
class Trend:
    """Slopes over the mean of both readers, mm per mm.

    `bias`: of the difference, first minus second (proportional bias). `intercept`: of the same
    line, mm. `spread`: of the standard deviation of the differences around that line.
    """

    bias: Estimate
    intercept: float
    spread: Estimate


def trend_of(first: Array, second: Array, groups: Groups) -> Trend | None:
    """Return the trends of two readers' means (n,) in mm; None where no slope can be told.

    Differences are regressed on means, then the absolute residuals on means, times sqrt(pi / 2)
    (Bland and Altman, Stat Methods Med Res 8, 1999, 135, section 3.2). Where one reader errs more
    than the other a slope comes from that alone; Deming's regression has no such slope. `groups`
    (n,) is the patient of each case: independent cases have intervals of Student's t with standard
    errors that hold where the spread is not constant (HC3: MacKinnon and White, J Econometrics 29,
    1985, 305), others by jackknife over patients.
    """
    n, means, gaps = len(first), (first + second) / 2, first - second
    if n < FEWEST_CASES or np.ptp(means) == 0:
        return None
    slope, intercept, residuals = _line(means, gaps)
    rise, _, rest = _line(means, np.abs(residuals))
    scale = math.sqrt(math.pi / 2)
    if are_clustered(groups):

        def statistic(at: NDArray[np.intp]) -> tuple[float, float]:
            if np.ptp(means[at]) == 0:
                return math.nan, math.nan
            each, _, left = _line(means[at], gaps[at])
            return each, scale * _line(means[at], np.abs(left))[0]

        ends = jackknife(groups, statistic, len(np.unique(groups)) - 1)
        return Trend(Estimate(slope, *ends[0]), intercept, Estimate(scale * rise, *ends[1]))
    t = t_quantile(n - 2)
    half = t * _error(means, residuals)
    wide = t * scale * _error(means, rest)
    return Trend(
        Estimate(slope, slope - half, slope + half),
        intercept,
        Estimate(scale * rise, scale * rise - wide, scale * rise + wide),
    )


def _line(x: Array, y: Array) -> tuple[float, float, Array]:
    """Return slope, intercept and residuals of the least squares line."""
    away = x - x.mean()
    slope = float((away * y).sum() / (away**2).sum())
    intercept = float(y.mean() - slope * x.mean())
    return slope, intercept, y - intercept - slope * x


def _error(x: Array, residuals: Array) -> float:
    """Return the standard error HC3 of a least squares slope."""
    away = x - x.mean()
    squares = float((away**2).sum())
    leverage = 1 / len(x) + away**2 / squares
    # A case that alone makes the line leaves no residual to judge it by.
    scaled = residuals / np.maximum(1 - leverage, 1e-6)
    return math.sqrt(float((away**2 * scaled**2).sum())) / squares
