"""Implantation per embryo, clustered by woman, and clinical pregnancy per woman.

A transfer whose outcome is not known counts as unknown, never as a failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trial.agreement.estimate import Array, Estimate, Z, share, t_quantile
from trial.analysis.numbers import Count, count_of, newcombe
from trial.observations import Transfer


@dataclass(frozen=True)
class ClusteredRate:
    """A rate per unit with units in clusters.

    `design_effect`: its variance over that of independent units. `effective` is the number of
    independent units that tell as much, from which the interval is made; None without an interval.
    """

    rate: Estimate
    design_effect: float | None
    effective: float | None


@dataclass(frozen=True)
class Implantation:
    """Of an arm: sacs with a heartbeat per embryo, of the transfers that know both.

    `unknown` counts transfers without the number of embryos or of sacs.
    """

    arm: str
    women: int
    transfers: int
    embryos: int
    sacs: int
    unknown: int
    rate: ClusteredRate | None


@dataclass(frozen=True)
class Pregnancy:
    """Of an arm: women with a clinical pregnancy. `unknown`: women whose outcome is not known."""

    arm: str
    pregnant: Count
    unknown: int


@dataclass(frozen=True)
class Pregnancies:
    """Clinical pregnancy by arm; difference (Newcombe) and Fisher's exact p, None of one arm."""

    arms: tuple[Pregnancy, ...]
    difference: Estimate | None
    p: float | None


@dataclass(frozen=True)
class Outcomes:
    """What followed the transfers; differences are the second arm minus the first.

    `any_transfer`: pregnant after any of her transfers; not, if all of them are known to have
    failed. `first_transfer`: after her first one.
    """

    implantation: tuple[Implantation, ...]
    implantation_difference: Estimate | None
    any_transfer: Pregnancies
    first_transfer: Pregnancies


def outcomes(arms: Mapping[str, Sequence[Transfer]]) -> Outcomes:
    """Return the outcomes of the transfers of one or two arms, the reference first."""
    rates = tuple(_implantation(arm, transfers) for arm, transfers in arms.items())
    ends = [each.rate.rate if each.rate else None for each in rates]
    return Outcomes(
        implantation=rates,
        implantation_difference=newcombe(ends[1], ends[0]) if len(ends) == 2 else None,
        any_transfer=_pregnancies(arms, first=False),
        first_transfer=_pregnancies(arms, first=True),
    )


def clustered_rate(events: Array, units: Array) -> ClusteredRate:
    """Return the rate of `events` (m,) among `units` (m,) > 0 of m clusters.

    The ratio estimator and its design effect of Rao and Scott, Biometrics 48, 1992, 577; Wilson's
    interval on the effective counts. Because the design effect of few clusters is itself
    uncertain, effective counts are lessened by (z / t)^2 with m - 1 degrees of freedom, as Korn and
    Graubard, Surv Methodol 24, 1998, 193, do. Where the rate is 0 or 1 no design effect can
    be told; then clusters count, not units, which holds however alike units of a cluster are.
    """
    m, n = len(units), float(units.sum())
    rate = float(events.sum()) / n
    if rate > 1 or m < 2:
        return ClusteredRate(Estimate(rate), None, None)
    simple = rate * (1 - rate) / n
    if simple == 0:
        return ClusteredRate(share(rate * m, m), None, float(m))
    spread = events - rate * units
    # Units of a cluster that differ more than strangers are chance; they never tell more than n.
    effect = max(1.0, m / (m - 1) / n**2 * float((spread**2).sum()) / simple)
    effective = n / effect * (Z / t_quantile(m - 1)) ** 2
    return ClusteredRate(share(rate * effective, effective), effect, effective)


def fisher(table: Sequence[Sequence[int]]) -> float:
    """Return the two-sided p of Fisher's exact test of a table of two rows and two columns.

    Fisher, The Design of Experiments, 1935, chapter 2; two-sided by the probabilities of tables.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact(table)[1])


def _implantation(arm: str, transfers: Sequence[Transfer]) -> Implantation:
    counts: dict[str, list[int]] = {}
    known = 0
    for each in transfers:
        if each.embryos and each.sacs is not None:
            known += 1
            total = counts.setdefault(each.patient, [0, 0])
            total[0] += each.sacs
            total[1] += each.embryos
    table = np.array(list(counts.values()), float).reshape(-1, 2)
    return Implantation(
        arm=arm,
        women=len(counts),
        transfers=known,
        embryos=int(table[:, 1].sum()),
        sacs=int(table[:, 0].sum()),
        unknown=len(transfers) - known,
        rate=clustered_rate(table[:, 0], table[:, 1]) if counts else None,
    )


def _pregnancies(arms: Mapping[str, Sequence[Transfer]], first: bool) -> Pregnancies:
    found = tuple(_pregnancy(arm, transfers, first) for arm, transfers in arms.items())
    if len(found) != 2 or not all(each.pregnant.n for each in found):
        return Pregnancies(found, None, None)
    reference, other = (each.pregnant for each in found)
    p = fisher([[each.count, each.n - each.count] for each in (other, reference)])
    return Pregnancies(found, newcombe(other.share, reference.share), p)


def _pregnancy(arm: str, transfers: Sequence[Transfer], first: bool) -> Pregnancy:
    women: dict[str, list[Transfer]] = {}
    for each in sorted(transfers, key=lambda each: (each.cycle, each.row)):
        women.setdefault(each.patient, []).append(each)
    states = [outcome(each[:1] if first else each) for each in women.values()]
    known = [state for state in states if state is not None]
    return Pregnancy(arm, count_of(sum(known), len(known)), len(states) - len(known))


def outcome(transfers: Sequence[Transfer]) -> bool | None:
    """Tell whether a woman became pregnant after any of her transfers; None if not known.

    A sac with a heartbeat is a clinical pregnancy, whether the table says so or not.
    """
    states = [True if each.sacs else each.clinical_pregnancy for each in transfers]
    if any(states):
        return True
    return None if None in states or not states else False
