"""Bland and Altman's limits of agreement, with replicates and several cases per patient.

All limits are those of two single readings, one of each reader: 95 % of such differences lie
between them. Sources: Bland and Altman, Lancet 1986, 307 (BA 1986); Stat Methods Med Res 8, 1999,
135 (BA 1999); J Biopharm Stat 17, 2007, 571 (BA 2007); Carkeet, Optom Vis Sci 92, 2015, e71; Zou,
Stat Methods Med Res 22, 2013, 630.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import nctdtrit

from trial.agreement.estimate import (
    Array,
    Estimate,
    Groups,
    Z,
    are_clustered,
    chi2_quantiles,
    t_quantile,
)

# Fewer differences than this have no limits.
FEWEST_PAIRS = 3


class Method(StrEnum):
    """How limits and their intervals were found."""

    EXACT = "exact"
    """One reading each of independent cases."""
    REPLICATES = "replicates"
    """Several readings of a case; its true value is one."""
    PATIENTS = "patients"
    """Several cases of a patient; each has a true value of its own."""
    BOTH = "replicates_and_patients"


@dataclass(frozen=True)
class Limits:
    """Limits of agreement of first minus second, mm.

    `n` counts cases, `patients` their groups. `sd` is that of differences of single readings,
    `bias` their mean, `low` and `high` are the limits bias -/+ 1.96 sd.
    """

    n: int
    patients: int
    bias: Estimate
    sd: float
    low: Estimate
    high: Estimate
    method: Method


@dataclass(frozen=True)
class Term:
    """A part of a variance: factor times mean square, and its degrees of freedom."""

    value: float
    df: int


def limits_of_agreement(
    first: Sequence[Array], second: Sequence[Array], groups: Groups
) -> Limits | None:
    """Return the limits of two readers, None of fewer than FEWEST_PAIRS cases.

    `first` and `second` hold the readings (m,) of every case in mm, one or more each; `groups`
    (n,) the patient of each case. Replicates of a case share its true value, and need not be
    paired (BA 2007, section "the true value is constant"; BA 1999, section 5.2); cases of a
    patient have values of their own (BA 2007, section "the true value varies").
    """
    n = len(first)
    if n < FEWEST_PAIRS:
        return None
    gaps = np.array([x.mean() - y.mean() for x, y in zip(first, second, strict=True)])
    replicated = any(len(each) > 1 for each in (*first, *second))
    clustered = are_clustered(groups)
    if not replicated and not clustered:
        return exact(gaps)
    mean, mean_variance, terms = between_cases(gaps, groups)
    terms += [*within_reader(first), *within_reader(second)]
    method = Method.BOTH if replicated and clustered else Method.PATIENTS
    if not clustered:
        method = Method.REPLICATES
    patients = len(np.unique(groups))
    return mover(mean, mean_variance, terms, (n, patients), method)


def exact(gaps: Array) -> Limits:
    """Return limits of independent differences (n,), n >= 3, with exact intervals.

    The limits are those of BA 1986 with 1.96 in place of 2. A limit is a quantile of a normal
    distribution, whose exact interval comes from the noncentral t distribution (Carkeet 2015,
    section "individual limits"; the tolerance factors of NIST/SEMATECH 7.2.6.3).
    """
    n, mean, sd = len(gaps), float(gaps.mean()), float(gaps.std(ddof=1))
    root = math.sqrt(n)
    half = t_quantile(n - 1) * sd / root
    near, far = (float(nctdtrit(n - 1, Z * root, q)) / root * sd for q in (0.025, 0.975))
    return Limits(
        n=n,
        patients=n,
        bias=Estimate(mean, mean - half, mean + half),
        sd=sd,
        low=Estimate(mean - Z * sd, mean - far, mean - near),
        high=Estimate(mean + Z * sd, mean + near, mean + far),
        method=Method.EXACT,
    )


def between_cases(gaps: Array, groups: Groups) -> tuple[float, float, list[Term]]:
    """Return mean, variance of that mean, and terms of the variance of differences (n,).

    One-way analysis of variance over patients with m_i cases (BA 2007): the variance is MSB / m0 +
    (1 - 1 / m0) MSW, m0 = (N - sum m_i**2 / N) / (k - 1); without a part between patients where it
    would be negative.
    """
    _, place = np.unique(groups, return_inverse=True)
    sizes = np.bincount(place).astype(float)
    total, k = len(gaps), len(sizes)
    mean = float(gaps.mean())
    if k == total:
        variance = float(gaps.var(ddof=1))
        return mean, variance / total, [Term(variance, total - 1)]
    if k == 1:  # one patient: nothing is known of others
        variance = float(gaps.var(ddof=1))
        return mean, math.nan, [Term(variance, total - 1)]
    means = np.bincount(place, gaps) / sizes
    between = float((sizes * (means - mean) ** 2).sum()) / (k - 1)
    within = float(((gaps - means[place]) ** 2).sum()) / (total - k)
    m0 = (total - float((sizes**2).sum()) / total) / (k - 1)
    component = (between - within) / m0
    if component <= 0:
        pooled = float(((gaps - mean) ** 2).sum()) / (total - 1)
        return mean, pooled / total, [Term(pooled, total - 1)]
    mean_variance = component * float((sizes**2).sum()) / total**2 + within / total
    terms = [Term(between / m0, k - 1), Term((1 - 1 / m0) * within, total - k)]
    return mean, mean_variance, terms


def within_reader(readings: Sequence[Array]) -> list[Term]:
    """Return what averaging over replicates took out of the variance of differences.

    (1 - 1 / m) times the variance within cases, m the harmonic mean of the number of readings (BA
    1999, section 5.2; BA 2007); nothing of a reader without replicates.
    """
    counts = np.array([len(each) for each in readings])
    df = int((counts - 1).sum())
    if not df:
        return []
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in readings)
    return [Term((1 - float((1 / counts).mean())) * squares / df, df)]


def mover(
    mean: float,
    mean_variance: float,
    terms: Sequence[Term],
    counts: tuple[int, int],
    method: Method,
) -> Limits:
    """Return limits whose variance is a sum of terms, with intervals by MOVER (Zou 2013).

    The method of variance estimates recovery joins the interval of the mean, Student's t with the
    degrees of freedom of the first term, to that of the standard deviation, which itself joins the
    chi-squared intervals of the terms.
    """
    variance = sum(term.value for term in terms)
    below = above = 0.0
    for term in terms:
        low, high = chi2_quantiles(term.df)
        below += (term.value * (1 - term.df / high)) ** 2
        above += (term.value * (term.df / low - 1)) ** 2
    sd = math.sqrt(variance)
    least = math.sqrt(max(0.0, variance - math.sqrt(below)))
    most = math.sqrt(variance + math.sqrt(above))
    n, patients = counts
    low_limit, high_limit = mean - Z * sd, mean + Z * sd
    if not math.isfinite(mean_variance):
        bare = (Estimate(mean), sd, Estimate(low_limit), Estimate(high_limit))
        return Limits(n, patients, *bare, method)
    half = t_quantile(terms[0].df) * math.sqrt(mean_variance)
    outer, inner = math.hypot(half, Z * (most - sd)), math.hypot(half, Z * (sd - least))
    return Limits(
        n=n,
        patients=patients,
        bias=Estimate(mean, mean - half, mean + half),
        sd=sd,
        low=Estimate(low_limit, low_limit - outer, low_limit + inner),
        high=Estimate(high_limit, high_limit - inner, high_limit + outer),
        method=method,
    )
