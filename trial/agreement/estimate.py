"""Numbers with 95 % confidence intervals, and resampling by patient."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, fdtri, stdtrit

Array = NDArray[np.float64]
Groups = NDArray[np.intp]

# Standard normal quantile of a two-sided 95 % interval.
Z = 1.959963984540054
# Bootstrap: samples, their seed, the number of groups below which no interval is given, and the
# share of samples that may be undefined (such as kappa where all is thin).
SAMPLES, SEED, FEWEST, UNDEFINED = 1000, 1, 8, 0.1


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % confidence interval, None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


def are_clustered(groups: Groups) -> bool:
    """Tell whether any group of `groups` (n,), the patient of each case, has several cases."""
    return len(np.unique(groups)) < len(groups)


def draws(groups: Groups) -> Iterator[NDArray[np.intp]]:
    """Yield SAMPLES bootstrap samples of cases as indices; whole groups are drawn.

    `groups` (n,) is the patient of each case. Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, section 3.8. The same groups give the same samples.
    """
    rng = np.random.default_rng(SEED)
    _, place = np.unique(groups, return_inverse=True)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    for _ in range(SAMPLES):
        chosen = rng.integers(0, len(members), len(members))
        yield np.concatenate([members[i] for i in chosen])


def bootstrap(
    groups: Groups, statistic: Callable[[NDArray[np.intp]], Sequence[float]]
) -> list[tuple[float, float] | tuple[None, None]]:
    """Return a percentile interval for each number of a statistic of case indices (n,).

    Samples where a number is not finite are left out; (None, None) where more than UNDEFINED of
    them are, or where there are fewer than FEWEST groups.
    """
    size = len(statistic(np.arange(len(groups))))
    if len(np.unique(groups)) < FEWEST:
        return [(None, None)] * size
    samples = np.array([statistic(sample) for sample in draws(groups)], float)
    found: list[tuple[float, float] | tuple[None, None]] = []
    for column in samples.T:
        known = column[np.isfinite(column)]
        if len(known) < (1 - UNDEFINED) * len(column):
            found.append((None, None))
            continue
        low, high = np.percentile(known, [2.5, 97.5])
        found.append((float(low), float(high)))
    return found


def jackknife(
    groups: Groups, statistic: Callable[[NDArray[np.intp]], Sequence[float]], df: int
) -> list[tuple[float, float] | tuple[None, None]]:
    """Return an interval for each number of a statistic of case indices (n,), leaving out a group
    at a time: Student's t with `df` degrees of freedom on the error of the pseudovalues (Tukey, Ann
    Math Stat 29, 1958, 614).

    It holds with few groups, where a percentile bootstrap is too narrow, for statistics that are
    about normal; transform those that are not. (None, None) where a number is not finite, or there
    are fewer than FEWEST groups.
    """
    every = np.arange(len(groups))
    names = np.unique(groups)
    k, whole = len(names), np.array(statistic(every), float)
    if k < FEWEST:
        return [(None, None)] * len(whole)
    left = np.array([statistic(every[groups != name]) for name in names], float)
    half = t_quantile(df) * (k * whole - (k - 1) * left).std(0, ddof=1) / math.sqrt(k)
    return [
        (float(value - wide), float(value + wide)) if math.isfinite(wide) else (None, None)
        for value, wide in zip(whole, half, strict=True)
    ]


def share(count: float, n: float) -> Estimate:
    """Return a share with Wilson's score interval (J Am Stat Assoc 22, 1927, 209), n > 0.

    Counts need not be whole: effective counts of clustered units are not.
    """
    p = count / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Estimate(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))


def t_quantile(df: float) -> float:
    """Return the 97.5 % quantile of Student's t with `df` degrees of freedom."""
    return float(stdtrit(df, 0.975))


def chi2_quantiles(df: float) -> tuple[float, float]:
    """Return the 2.5 and 97.5 % quantiles of chi-squared with `df` degrees of freedom."""
    return float(chdtri(df, 0.975)), float(chdtri(df, 0.025))


def f_quantile(upper_df: float, lower_df: float) -> float:
    """Return the 97.5 % quantile of F with the degrees of freedom above and below."""
    return float(fdtri(upper_df, lower_df, 0.975))
