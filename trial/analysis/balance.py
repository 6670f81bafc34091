"""How alike two arms that nobody randomised are at baseline: standardised differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trial.agreement.estimate import Estimate, Z

Baseline = Mapping[str, float | bool | None]
"""A property at baseline: patient -> number, or yes / no; None is not known."""


@dataclass(frozen=True)
class Side:
    """An arm: `known` women of `n`. `mean` is the share of a yes / no; `sd` None for those."""

    arm: str
    n: int
    known: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Balance:
    """A property in both arms; `difference` is standardised, the second arm minus the first.

    None where it cannot be told, such as where nothing varies.
    """

    name: str
    sides: tuple[Side, Side]
    difference: Estimate | None


def balance(
    arms: Mapping[str, Sequence[str]], baselines: Mapping[str, Baseline]
) -> tuple[Balance, ...]:
    """Return the balance of each property between two arms (arm -> patients), reference first.

    The difference of means over the root of the mean of both variances; for a yes / no the variance
    of a share is p (1 - p) (Austin, Stat Med 28, 2009, 3083). A p value would speak of the number
    of women as much as of the imbalance. The interval is that of Hedges and Olkin, Statistical
    Methods for Meta-Analysis, 1985, 5: with 30 women an arm it is about half a standard deviation
    to either side, so that the usual bound of 0.1 is passed by chance alone in most properties.
    Raises ValueError unless there are two arms.
    """
    if len(arms) != 2:
        raise ValueError(f"balance is between two arms, not {len(arms)}")
    return tuple(_balance(name, arms, values) for name, values in baselines.items())


def _balance(name: str, arms: Mapping[str, Sequence[str]], values: Baseline) -> Balance:
    known = {
        arm: [value for each in patients if (value := values.get(each)) is not None]
        for arm, patients in arms.items()
    }
    every = [value for found in known.values() for value in found]
    yes_no = bool(every) and all(isinstance(value, bool) for value in every)
    sides, variances = [], []
    for arm, found in known.items():
        mean = float(np.mean(found)) if found else None
        variance = None
        if mean is not None and yes_no:
            variance = mean * (1 - mean)
        elif len(found) > 1:
            variance = float(np.var(found, ddof=1))
        sd = None if variance is None or yes_no else math.sqrt(variance)
        sides.append(Side(arm, len(arms[arm]), len(found), mean, sd))
        variances.append(variance)
    one, two = sides
    return Balance(name, (one, two), _standardised(one, two, variances))


def _standardised(one: Side, two: Side, variances: Sequence[float | None]) -> Estimate | None:
    first, second = variances
    if one.mean is None or two.mean is None or first is None or second is None:
        return None
    spread = math.sqrt((first + second) / 2)
    if spread == 0:
        return None
    d = (two.mean - one.mean) / spread
    both = one.known + two.known
    half = Z * math.sqrt(both / (one.known * two.known) + d**2 / (2 * both))
    return Estimate(d, d - half, d + half)
