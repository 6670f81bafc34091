"""How far one reader's readings of the same case differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import (
    Array,
    Estimate,
    Groups,
    Z,
    are_clustered,
    chi2_quantiles,
    jackknife,
)


@dataclass(frozen=True)
class Repeatability:
    """Of the `cases` that one reader read more than once, `readings` in all; mm.

    `sd`: within a case. `coefficient`: two readings of a case differ by less in 95 of 100.
    """

    cases: int
    readings: int
    sd: Estimate
    coefficient: Estimate


def repeatability(readings: Sequence[Array], groups: Groups) -> Repeatability | None:
    """Return the repeatability of readings (m,) of every case; None without replicates.

    The within-subject standard deviation from a one-way analysis of variance, and sqrt(2) * 1.96
    times it (Bland and Altman, Stat Methods Med Res 8, 1999, 135, section 4.1). Its interval is
    that of chi-squared, or by jackknife of its logarithm over patients where one of `groups` (n,)
    has several cases.
    """
    at = np.array([i for i, each in enumerate(readings) if len(each) > 1], int)
    if not len(at):
        return None
    repeated = [readings[i] for i in at]
    variance, df = within_variance(repeated)
    sd, scale = math.sqrt(variance), math.sqrt(2) * Z
    if are_clustered(groups[at]):
        squares = np.array([((each - each.mean()) ** 2).sum() for each in repeated])
        counts = np.array([len(each) - 1 for each in repeated])

        def statistic(sample: NDArray[np.intp]) -> tuple[float]:
            mean = float(squares[sample].sum() / counts[sample].sum())
            return (0.5 * math.log(mean) if mean > 0 else math.nan,)

        ((least, most),) = jackknife(groups[at], statistic, len(np.unique(groups[at])) - 1)
        low = None if least is None else math.exp(least)
        high = None if most is None else math.exp(most)
    else:
        few, many = chi2_quantiles(df)
        low, high = sd * math.sqrt(df / many), sd * math.sqrt(df / few)
    scaled = (None, None) if low is None or high is None else (scale * low, scale * high)
    return Repeatability(
        len(at),
        sum(len(each) for each in repeated),
        Estimate(sd, low, high),
        Estimate(scale * sd, *scaled),
    )


def within_variance(readings: Sequence[Array]) -> tuple[float, int]:
    """Return the pooled variance within cases, and its degrees of freedom (at least one)."""
    df = sum(len(each) - 1 for each in readings)
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in readings)
    return squares / df, df
