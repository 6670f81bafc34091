"""The mixed model: thickness ~ arm * cycle + cycle type + cycle day + (1 | patient).

Rows are treatment cycles, one for a woman and a cycle. `cycle` counts from the first treatment
cycle and is linear, so that `arm` is the difference in cycle 1 and `arm x cycle` how much it grows
with each further cycle. Restricted maximum likelihood (REML) with statsmodels. Under the model,
what is missing may depend on what was measured before (missing at random).
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trial.agreement.estimate import Array, Estimate, t_quantile
from trial.analysis.numbers import NoResult
from trial.analysis.values import Cycles, thickness, treated
from trial.observations import CycleType, Observation

# Fewer women than this in an arm tell no variance between women worth the name.
FEWEST_WOMEN = 5
# A term that fewer rows than this share know is left out; otherwise the rows that lack it are.
KNOWN = 0.5
# A variance between women below this share of the variance within is zero: the fit is singular.
SINGULAR = 1e-4


@dataclass(frozen=True)
class Term:
    """A coefficient in mm (per cycle, per day), with its standard error and degrees of freedom."""

    name: str
    meaning: str
    estimate: Estimate
    error: float
    df: int


@dataclass(frozen=True)
class Mixed:
    """The fitted model of `rows` cycles of `women` women.

    `woman_sd_mm` and `residual_sd_mm` are the variance components as standard deviations; `day` is
    the cycle day that the intercept stands for, None without that term. `notes` says in words what
    was left out and what to beware of.
    """

    women: int
    rows: int
    terms: tuple[Term, ...]
    woman_sd_mm: float
    residual_sd_mm: float
    day: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """Coefficients (k,) and their covariance (k, k), the variances between and within groups."""

    beta: Array
    covariance: Array
    between: float
    within: float


def mixed(women: Mapping[str, Mapping[str, Cycles]]) -> Mixed | NoResult:
    """Fit the model to `women`: arm -> patient -> cycle -> visit; the first arm is the reference.

    With one arm the model has no arm. A term that does not vary, or that others explain, is left
    out. Intervals use Student's t with the degrees of freedom between women for what is the same in
    all rows of a woman (arm, intercept), and within women for the rest (Schluchter and Elashoff, J
    Stat Comput Simul 37, 1990, 69). Li and Redden, BMC Med Res Methodol 15, 2015, 38, find that
    these hold their level where clusters are few, there with yes or no outcomes; that they do here
    is what benchmarks/trial_coverage.py shows. Raises ImportError without statsmodels.
    """
    rows = [
        (arm, each)
        for arm in women
        for cycles in women[arm].values()
        for each in treated(cycles).values()
    ]
    rows, with_type, with_day, notes = _complete(rows)
    known = {arm: {each.patient for found, each in rows if found == arm} for arm in women}
    if not women or min(map(len, known.values())) < FEWEST_WOMEN:
        where = "an arm" if len(women) > 1 else "the cohort"
        why = f"{where} has fewer than {FEWEST_WOMEN} women with a treatment cycle"
        return NoResult("; ".join([why, *notes]))
    columns, day, meanings = _columns(rows, tuple(women), with_type, with_day)
    names, left = _independent(columns)
    notes += [f"{name} is left out: the terms before it say the same" for name in left]
    x = np.stack([columns[name] for name in names], 1)
    y = np.array([thickness(each) for _, each in rows])
    _, groups = np.unique([each.patient for _, each in rows], return_inverse=True)
    count = int(groups.max()) + 1
    between = [_is_between(x[:, i], groups) for i in range(len(names))]
    upper, lower = count - sum(between), len(rows) - count - (len(names) - sum(between))
    if upper < 1 or lower < 1:
        return NoResult("too few cycles for this many terms: no woman has enough of them")
    found = fit(y, x, groups)
    if isinstance(found, NoResult):
        return found
    if found.between < SINGULAR * found.within:
        notes.append(
            "the variance between women is estimated as zero (a singular fit): cycles of a woman "
            "count as if they were of different women, and intervals may be too narrow"
        )
    errors = np.sqrt(np.diag(found.covariance))
    return Mixed(
        women=count,
        rows=len(rows),
        terms=tuple(
            _term(name, meanings[name], float(b), float(e), upper if first else lower)
            for name, b, e, first in zip(names, found.beta, errors, between, strict=True)
        ),
        woman_sd_mm=math.sqrt(found.between),
        residual_sd_mm=math.sqrt(found.within),
        day=day if "cycle day" in names else None,
        notes=tuple(notes),
    )


def fit(y: Array, x: Array, groups: NDArray[np.intp]) -> Fit | NoResult:
    """Fit y (n,) on x (n, k), of full rank, with a random intercept of each group (n,) by REML.

    The variances are those of statsmodels. The covariance of the coefficients is that of
    generalised least squares given those, which also holds where a variance is zero and the second
    derivatives of the likelihood are of no use. Raises ImportError without statsmodels.
    """
    model = _statsmodels()(y, x, groups=groups)
    with warnings.catch_warnings():
        # What they would say, the result is asked below.
        warnings.simplefilter("ignore")
        try:
            result = model.fit(reml=True)
        except np.linalg.LinAlgError as error:
            return NoResult(f"the model could not be fitted: {error}")
    between, within = float(result.cov_re[0, 0]), float(result.scale)
    if not result.converged:
        return NoResult("the fit of the model did not converge")
    if not (math.isfinite(between) and math.isfinite(within) and within > 0):
        return NoResult("nothing varies within women, so that no error can be told")
    between = max(between, 0.0)
    information = np.zeros((x.shape[1], x.shape[1]))
    for group in np.unique(groups):
        rows = x[groups == group]
        # (within I + between J)^-1 of m rows, by Sherman and Morrison.
        total = rows.sum(0)
        shrink = between / (within + len(rows) * between)
        information += (rows.T @ rows - shrink * np.outer(total, total)) / within
    beta = np.asarray(result.fe_params, np.float64)
    covariance = np.asarray(np.linalg.inv(information), np.float64)
    return Fit(beta, covariance, between, within)


def _statsmodels() -> Any:
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError as error:
        raise ImportError(
            f"the mixed model needs packages that are missing ({error}): "
            "pip install 'endometer[trial]'"
        ) from error
    return MixedLM


def _term(name: str, meaning: str, value: float, error: float, df: int) -> Term:
    half = t_quantile(df) * error
    return Term(name, meaning, Estimate(value, value - half, value + half), error, df)


Row = tuple[str, Observation]


def _complete(rows: Sequence[Row]) -> tuple[list[Row], bool, bool, list[str]]:
    """Return rows that know each term, whether type and day are terms, and what was left out.

    A term that would leave too few of all rows is left out itself.
    """
    kept, notes, used = list(rows), [], []
    for name, column in (("cycle type", "cycle_type"), ("cycle day", "cycle_day")):
        known = [row for row in kept if getattr(row[1], column) is not None]
        use = len(known) >= KNOWN * len(rows)
        used.append(use)
        if not use:
            notes.append(f"{name} is left out: {len(known)} of {len(kept)} cycles know it")
        elif len(known) < len(kept):
            notes.append(f"{len(kept) - len(known)} cycles without {name} are left out")
            kept = known
    return kept, used[0], used[1], notes


def _columns(
    rows: Sequence[Row], arms: Sequence[str], with_type: bool, with_day: bool
) -> tuple[dict[str, Array], float, dict[str, str]]:
    """Return the columns of the model in order, the day they are centred at, and their meaning."""
    cycle = np.array([each.cycle - 1 for _, each in rows], float)
    columns = {"intercept": np.ones(len(rows))}
    meanings = {
        "intercept": "mean in cycle 1 of the reference arm, HRT"
        if len(arms) > 1
        else "mean in cycle 1, HRT",
        "arm": "other arm minus reference arm in cycle 1",
        "cycle": "per further cycle, reference arm" if len(arms) > 1 else "per further cycle",
        "arm x cycle": "growth of the difference of arms per further cycle",
        "cycle type": "natural minus HRT",
        "cycle day": "per day",
    }
    if len(arms) > 1:
        columns["arm"] = np.array([float(arm == arms[1]) for arm, _ in rows])
    columns["cycle"] = cycle
    if len(arms) > 1:
        columns["arm x cycle"] = columns["arm"] * cycle
    if with_type:
        natural = [float(each.cycle_type is CycleType.NATURAL) for _, each in rows]
        columns["cycle type"] = np.array(natural)
    day = 0.0
    if with_day:
        days = np.array([each.cycle_day for _, each in rows], float)
        day = float(days.mean()) if len(days) else 0.0
        columns["cycle day"] = days - day
    return columns, day, meanings


def _independent(columns: Mapping[str, Array]) -> tuple[list[str], list[str]]:
    """Return the names of columns that add something to those before them, and the others."""
    kept: list[str] = []
    left: list[str] = []
    for name in columns:
        x = np.stack([columns[each] for each in [*kept, name]], 1)
        (kept if np.linalg.matrix_rank(x) == x.shape[1] else left).append(name)
    return kept, left


def _is_between(column: Array, groups: NDArray[np.intp]) -> bool:
    """Tell whether a column is the same in all rows of every group."""
    return all(np.ptp(column[groups == group]) == 0 for group in np.unique(groups))
