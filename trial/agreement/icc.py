"""Intraclass correlation of any number of readers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import (
    Array,
    Estimate,
    Groups,
    are_clustered,
    f_quantile,
    jackknife,
)

# Fewer cases than this have no correlation.
FEWEST_CASES = 3


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations of single readings of `n` cases by `k` readers.

    `agreement`: ICC(2,1), readers are a sample of all readers and their bias counts. `consistency`:
    ICC(3,1), these readers only, and a constant difference between them does not count.
    """

    n: int
    k: int
    agreement: Estimate
    consistency: Estimate


def icc(ratings: Array, groups: Groups) -> Icc | None:
    """Return the correlations of `ratings` (n, k) in mm, none missing; None of too few.

    ICC(2,1) and ICC(3,1) of Shrout and Fleiss, Psychol Bull 86, 1979, 420, which McGraw and Wong,
    Psychol Methods 1, 1996, 30 call ICC(A,1) and ICC(C,1). Intervals of independent cases from F
    (McGraw and Wong, table 7), otherwise by jackknife over the patients in `groups` (n,), after
    Fisher's transformation of an intraclass correlation (Statistical Methods for Research Workers,
    1925, chapter 7) that makes it about normal.
    """
    n, k = ratings.shape
    if n < FEWEST_CASES or k < 2:
        return None
    both = _values(ratings)
    if not all(map(math.isfinite, both)):
        return None
    if are_clustered(groups):

        def statistic(at: NDArray[np.intp]) -> tuple[float, float]:
            one, other = _values(ratings[at])
            return _fisher(one, k), _fisher(other, k)

        ends = jackknife(groups, statistic, len(np.unique(groups)) - 1)
        return Icc(n, k, _back(both[0], ends[0], k), _back(both[1], ends[1], k))
    return Icc(
        n,
        k,
        Estimate(both[0], *_agreement_ends(ratings, both[0])),
        Estimate(both[1], *_consistency_ends(ratings)),
    )


def _fisher(value: float, k: int) -> float:
    """Return Fisher's transformation of an intraclass correlation of k readers."""
    if not math.isfinite(value) or value >= 1:
        return math.nan
    return 0.5 * math.log((1 + (k - 1) * value) / (1 - value))


def _back(value: float, ends: tuple[float, float] | tuple[None, None], k: int) -> Estimate:
    if ends[0] is None or ends[1] is None:
        return Estimate(value)
    low, high = ((math.exp(2 * z) - 1) / (math.exp(2 * z) + k - 1) for z in ends)
    return Estimate(value, low, high)


def mean_squares(ratings: Array) -> tuple[float, float, float]:
    """Return the mean squares of cases, readers and error of a two-way table (n, k)."""
    n, k = ratings.shape
    grand, rows, columns = ratings.mean(), ratings.mean(1), ratings.mean(0)
    residual = ratings - rows[:, None] - columns + grand
    return (
        k * float(((rows - grand) ** 2).sum()) / (n - 1),
        n * float(((columns - grand) ** 2).sum()) / (k - 1),
        float((residual**2).sum()) / ((n - 1) * (k - 1)),
    )


def _values(ratings: Array) -> tuple[float, float]:
    """Return ICC(2,1) and ICC(3,1); not a number where nothing varies."""
    n, k = ratings.shape
    cases, readers, error = mean_squares(ratings)
    below = cases + (k - 1) * error + k / n * (readers - error)
    if below <= 0 or cases + (k - 1) * error <= 0:
        return math.nan, math.nan
    return (cases - error) / below, (cases - error) / (cases + (k - 1) * error)


def _consistency_ends(ratings: Array) -> tuple[float, float]:
    n, k = ratings.shape
    cases, _, error = mean_squares(ratings)
    if error <= 0:
        return 1.0, 1.0
    df = (n - 1) * (k - 1)
    low = cases / error / f_quantile(n - 1, df)
    high = cases / error * f_quantile(df, n - 1)
    return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _agreement_ends(ratings: Array, value: float) -> tuple[float, float]:
    """Return the interval of ICC(2,1): Satterthwaite's degrees of freedom for its divisor."""
    n, k = ratings.shape
    cases, readers, error = mean_squares(ratings)
    if value >= 1:
        return 1.0, 1.0
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    parts = (a * readers) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    df = (a * readers + b * error) ** 2 / parts
    upper, lower = f_quantile(n - 1, df), f_quantile(df, n - 1)
    rest = k * readers + (k * n - k - n) * error
    low = n * (cases - upper * error) / (upper * rest + n * cases)
    high = n * (lower * cases - error) / (rest + n * lower * cases)
    return low, high
