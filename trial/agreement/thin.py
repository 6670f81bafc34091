"""Whether two readers say the same against the threshold."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import Array, Estimate, Groups, Z, are_clustered, bootstrap, share


@dataclass(frozen=True)
class Confusion:
    """Cases by what single readings say: thin is below the threshold.

    `agreement` is the share on which both agree, `kappa` that beyond chance, None where either
    reader says the same of every case.
    """

    both_thin: int
    first_only: int
    second_only: int
    neither: int
    agreement: Estimate
    kappa: Estimate | None


def confusion(first: Array, second: Array, threshold_mm: float, groups: Groups) -> Confusion | None:
    """Compare readings (n,) in mm with a threshold; None of none.

    Kappa is Cohen's (Educ Psychol Meas 20, 1960, 37); its interval has the standard error of
    Fleiss, Cohen and Everitt, Psychol Bull 72, 1969, 323, that of the share is Wilson's. Where a
    patient of `groups` (n,) has several cases both are by bootstrap. Where all cases agree neither
    tells anything: kappa has no interval then, and the share that of as many cases as patients.
    """
    n = len(first)
    if not n:
        return None
    one, other = first < threshold_mm, second < threshold_mm
    table = table_of(one, other)
    value = kappa(table)
    agreed = int(table.trace())
    kappa_ends: tuple[float, float] | tuple[None, None]
    if agreed == n:
        patients = len(np.unique(groups))
        agreement, kappa_ends = share(patients, patients), (None, None)
    elif are_clustered(groups):

        def statistic(at: NDArray[np.intp]) -> tuple[float, float]:
            drawn = table_of(one[at], other[at])
            return float(drawn.trace() / drawn.sum()), kappa(drawn)

        ends = bootstrap(groups, statistic)
        agreement, kappa_ends = Estimate(agreed / n, *ends[0]), ends[1]
    else:
        agreement = share(agreed, n)
        half = Z * kappa_error(table)
        kappa_ends = (max(-1.0, value - half), min(1.0, value + half))
    both, first_only, second_only, neither = (int(count) for count in table.ravel())
    beyond = Estimate(value, *kappa_ends) if math.isfinite(value) else None
    return Confusion(both, first_only, second_only, neither, agreement, beyond)


def table_of(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Array:
    """Return counts (2, 2): rows what the first says, columns the second, thin first."""
    return np.array(
        [[(a & b).sum() for b in (other, ~other)] for a in (one, ~one)],
        dtype=np.float64,
    )


def kappa(table: Array) -> float:
    """Return Cohen's kappa of counts (2, 2); not a number where chance agrees on everything."""
    p = table / table.sum()
    chance = float(p.sum(1) @ p.sum(0))
    return (float(p.trace()) - chance) / (1 - chance) if chance < 1 else math.nan


def kappa_error(table: Array) -> float:
    """Return the large-sample standard error of kappa (Fleiss, Cohen and Everitt 1969, eq. 13)."""
    n = float(table.sum())
    p = table / n
    rows, columns = p.sum(1), p.sum(0)
    chance, agreed = float(rows @ columns), float(p.trace())
    if chance >= 1:
        return math.nan
    value = (agreed - chance) / (1 - chance)
    diagonal = (p.diagonal() * (1 - (rows + columns) * (1 - value)) ** 2).sum()
    # What a row says of the other reader's column, off the diagonal.
    crossed = (1 - value) ** 2 * sum(
        p[i, j] * (columns[i] + rows[j]) ** 2 for i in (0, 1) for j in (0, 1) if i != j
    )
    rest = (value - chance * (1 - value)) ** 2
    return math.sqrt(max(0.0, float(diagonal + crossed - rest)) / n) / (1 - chance)
