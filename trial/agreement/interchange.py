"""Whether a model may take the place of a reader: it disagrees no more than readers do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import Array, Estimate, Groups, bootstrap


@dataclass(frozen=True)
class Interchange:
    """Disagreement of a model with readers beside that of readers with each other, `n` cases.

    `index`: the individual equivalence index, mean squared difference of model and reader minus
    that of two readers, mm**2. `readers_mm`, `model_mm`: the roots of both, mm. `excess_mm`: the
    second minus the first. `readers_thin`, `model_thin`: how often a pair falls on both sides of
    the threshold; `excess_thin`: the second minus the first.
    """

    n: int
    readers: int
    index: Estimate
    readers_mm: float
    model_mm: float
    excess_mm: Estimate
    readers_thin: float
    model_thin: float
    excess_thin: Estimate


def interchangeability(
    readers: Sequence[Sequence[Array]],
    model: Sequence[Array],
    threshold_mm: float,
    groups: Groups,
) -> Interchange | None:
    """Return how a model compares with readers; None without a case that it and two readers read.

    `readers` holds for every reader its readings (m,) of every case in mm, empty where there is
    none, `model` the same of the model; `groups` (n,) the patient of each case. Every pair of
    single readings counts, and every case counts once. Obuchowski, Subhas and Schoenhagen, Acad
    Radiol 21, 2014, 1483, after Obuchowski, Stat Med 20, 2001, 2845; intervals by bootstrap over
    patients, as there.
    """
    rows, at = list[list[float]](), list[int]()
    for i, own in enumerate(model):
        there = [reader[i] for reader in readers if len(reader[i])]
        if not len(own) or len(there) < 2:
            continue
        between = list(combinations(there, 2))
        beside = [(own, each) for each in there]
        rows.append(
            [
                _mean(between, _squared),
                _mean(beside, _squared),
                _mean(between, lambda a, b: _crossed(a, b, threshold_mm)),
                _mean(beside, lambda a, b: _crossed(a, b, threshold_mm)),
            ]
        )
        at.append(i)
    if not rows:
        return None
    table = np.array(rows)

    def statistic(sample: NDArray[np.intp]) -> tuple[float, float, float]:
        rr, tr, rr_thin, tr_thin = table[sample].mean(0)
        return float(tr - rr), math.sqrt(tr) - math.sqrt(rr), float(tr_thin - rr_thin)

    values = statistic(np.arange(len(table)))
    ends = bootstrap(groups[at], statistic)
    index, excess, thin = (Estimate(v, *e) for v, e in zip(values, ends, strict=True))
    means = table.mean(0)
    return Interchange(
        n=len(table),
        readers=sum(any(len(reader[i]) for i in at) for reader in readers),
        index=index,
        readers_mm=math.sqrt(means[0]),
        model_mm=math.sqrt(means[1]),
        excess_mm=excess,
        readers_thin=float(means[2]),
        model_thin=float(means[3]),
        excess_thin=thin,
    )


def _mean(pairs: Sequence[tuple[Array, Array]], of: Callable[[Array, Array], float]) -> float:
    return float(np.mean([of(one, other) for one, other in pairs]))


def _squared(one: Array, other: Array) -> float:
    """Return the mean squared difference of single readings."""
    return float(((one[:, None] - other) ** 2).mean())


def _crossed(one: Array, other: Array, threshold_mm: float) -> float:
    """Return how often single readings fall on both sides of the threshold."""
    return float(((one[:, None] < threshold_mm) != (other < threshold_mm)).mean())
