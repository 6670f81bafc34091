"""Means and shares of two arms and their differences, with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trial.agreement.estimate import Estimate, share, t_quantile


@dataclass(frozen=True)
class NoResult:
    """There is no safe number; `why` says it in words."""

    why: str


@dataclass(frozen=True)
class Sample:
    """Mean of `n` women with its interval (Student's t) and standard deviation, None of too few."""

    n: int
    mean: Estimate | None
    sd: float | None


@dataclass(frozen=True)
class Count:
    """`count` of `n` women, and the share with Wilson's interval; None where n is 0."""

    count: int
    n: int
    share: Estimate | None


def sample_of(values: Sequence[float]) -> Sample:
    """Return the mean of independent values: no interval of one, no mean of none."""
    n = len(values)
    if n == 0:
        return Sample(0, None, None)
    mean = float(np.mean(values))
    if n == 1:
        return Sample(1, Estimate(mean), None)
    sd = float(np.std(values, ddof=1))
    half = t_quantile(n - 1) * sd / math.sqrt(n)
    return Sample(n, Estimate(mean, mean - half, mean + half), sd)


def count_of(count: int, n: int) -> Count:
    """Return `count` of `n` as a share."""
    return Count(count, n, share(count, n) if n else None)


def welch(other: Sample, reference: Sample) -> Estimate | None:
    """Return the difference of two means, other minus reference; None where one is missing.

    Unequal variances: Welch, Biometrika 34, 1947, 28, with Satterthwaite's degrees of freedom. No
    interval where an arm has one woman, or nothing varies.
    """
    if other.mean is None or reference.mean is None:
        return None
    gap = other.mean.value - reference.mean.value
    if other.sd is None or reference.sd is None or other.sd + reference.sd == 0:
        return Estimate(gap)
    parts = [each.sd**2 / each.n for each in (other, reference) if each.sd is not None]
    error = sum(parts)
    df = error**2 / sum(
        part**2 / (each.n - 1) for part, each in zip(parts, (other, reference), strict=True)
    )
    half = t_quantile(df) * math.sqrt(error)
    return Estimate(gap, gap - half, gap + half)


def newcombe(other: Estimate | None, reference: Estimate | None) -> Estimate | None:
    """Return the difference of two independent shares, other minus reference.

    Newcombe's hybrid of the score intervals of both, without continuity correction (Stat Med 17,
    1998, 873, method 10). It only needs the two intervals, so that it also serves shares whose
    interval allows for clusters. No interval where one of the shares has none.
    """
    if other is None or reference is None:
        return None
    gap = other.value - reference.value
    ends = (other.low, other.high, reference.low, reference.high)
    low, high, least, most = ends
    if low is None or high is None or least is None or most is None:
        return Estimate(gap)
    down = math.hypot(other.value - low, most - reference.value)
    up = math.hypot(high - other.value, reference.value - least)
    return Estimate(gap, gap - down, gap + up)
