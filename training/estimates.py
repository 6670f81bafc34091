"""Numbers with 95 % confidence intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Standard normal quantile of a two-sided 95 % interval.
Z = 1.959963984540054
# Bootstrap: samples, and the number of patients below which no interval is given.
SAMPLES, FEWEST = 1000, 8


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % confidence interval, None where there are too few cases."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    """How many cases it comes from."""


def share(flags: Sequence[bool]) -> Estimate | None:
    """Return the share of True with Wilson's score interval (J Am Stat Assoc 22, 1927, 209).

    None of no flags.
    """
    n = len(flags)
    if not n:
        return None
    p = sum(flags) / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    # At 0 and 1 an end is the share itself, up to rounding.
    return Estimate(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)), n)


def bootstrap(
    values: Sequence[float] | Array,
    patients: Sequence[str],
    statistic: Callable[[Array], float],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Estimate | None:
    """Return a statistic of values with its percentile bootstrap interval over patients.

    `values` (n,), or (n, k) of paired ones; the statistic gets rows of them. Whole patients are
    drawn, because the cases of one are alike (Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, section 3.8); the same values and seed give the same interval.
    None of no values, and no interval of fewer than FEWEST patients.
    """
    n = len(values)
    if not n:
        return None
    data = np.asarray(values, float)
    value = float(statistic(data))
    names, group = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < FEWEST:
        return Estimate(value, n=n)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    found = [statistic(np.repeat(data, draw[group], axis=0)) for draw in draws]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(value, float(low), float(high), n)


def standard_deviation(errors: Array) -> float:
    """Return the standard deviation (n - 1); 0 of a single value."""
    return float(errors.std(ddof=1)) if len(errors) > 1 else 0.0


def lower_limit(errors: Array) -> float:
    """Return the lower 95 % limit of agreement: mean - 1.96 SD (Bland and Altman, Lancet 1986)."""
    return float(errors.mean()) - Z * standard_deviation(errors)


def upper_limit(errors: Array) -> float:
    """Return the upper 95 % limit of agreement: mean + 1.96 SD (Bland and Altman, Lancet 1986)."""
    return float(errors.mean()) + Z * standard_deviation(errors)
