"""How freely a bundle draws, what it refuses, how wide its intervals are: fitted on phantoms.

It never saw them: their seeds are none that training uses or that `endometer phantom` can be given.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cases import Case, read_cases
from data.phantom.collection import write_phantoms
from data.phantom.dicom import Renderer
from inference.engines import cores
from models.bundle import Bundle, IntervalTable
from models.runtime import Runtime
from training.evaluate import evaluate
from training.summary import Result

# Seeds of the phantoms on which the shift, the quality limit and the intervals are fitted, each on
# its own, and of those that judge.
SHIFT_SEED, QUALITY_SEED, INTERVAL_SEED, TEST_SEED = (2**63 + i for i in range(4))
# Shifts of the endometrium's logit that are tried, the error in mm that a refusal counts as, and
# how much smaller the mean error must be for a shift to be worth it.
SHIFTS = (0.0, 0.25, -0.25, 0.5, -0.5, 0.75, 1.0, 1.5, 2.0)
REFUSED_MM, WORTH_MM = 1.5, 0.02
# Shares that are wanted: numbers where there is nothing, and refusals of what would be within
# GOOD_MM of the truth.
FALSE_SHARE, LOST_SHARE, GOOD_MM = 0.02, 0.05, 2.0
# Measured thickness (mm) at which the interval's factor may change on patients. On phantoms it says
# nothing that the difficulty does not: one bin held as evenly and was a fifth narrower than three.
BIN_EDGES_MM = (4.0, 8.0, math.inf)
ONE_BIN = BIN_EDGES_MM[-1:]
# What difficulty begins with, in mm: of 0.1 to 1 the narrowest on good frames of renderer 2.
BASE_MM = 0.2
NOMINAL = 0.9
# How surely an interval holds the nominal share, in each bin. The share of all bins together holds
# more surely.
CONFIDENCE = 0.8
# The smallest n of which one may lie outside on each side; see `spared`.
FEWEST_PATIENTS = 29


@contextmanager
def phantom_cases(
    seed: int, n: int, *, renderer: str = Renderer.RANDOM, empty: float = 0.0
) -> Iterator[list[Case]]:
    """Make DICOM stills, number 0 to n - 1 of `seed`, for a while.

    About a share `empty` of them shows no endometrium.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(
            Path(folder), n=n, seed=seed, renderer=renderer, empty=empty, workers=cores()
        )
        yield read_cases(Path(folder))


class ShiftedRuntime:
    """A runtime with less endometrium: what it would say with `by` off that label's logit."""

    def __init__(self, runtime: Runtime, channel: int, by: float) -> None:
        """Wrap a runtime."""
        self.runtime, self.channel, self.factor = runtime, channel, math.exp(-by)
        self.device = runtime.device

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Runtime."""
        odds = self.runtime(batch).copy()
        odds[:, self.channel] *= self.factor
        shares: NDArray[np.float32] = odds / odds.sum(1, keepdims=True)
        return shares


def fit_shift(cases: list[Case], bundle: Bundle, runtime: Runtime) -> float:
    """Return how much to take off the endometrium's logit for the smallest mean absolute error.

    Overlap losses draw uncertain edges outside rather than inside, and the maximum of a ragged
    outline lies above its mean: both make a thickness too large.
    """
    channel = bundle.channel("endometrium")

    def error(by: float) -> float:
        results = evaluate(cases, bundle, ShiftedRuntime(runtime, channel, by), outlines=False)
        errors = [abs(r.error_mm) for r in results if r.error_mm is not None]
        # What is refused counts as a fair miss: a shift must not win by measuring little.
        return (sum(errors) + REFUSED_MM * (len(results) - len(errors))) / len(results)

    errors = {by: error(by) for by in SHIFTS}
    best = min(SHIFTS, key=errors.__getitem__)
    return best if errors[0.0] - errors[best] >= WORTH_MM else 0.0


def fit_min_quality(results: list[Result]) -> float:
    """Return the quality below which nothing is measured, from results with no such limit.

    The limit at which numbers given for empty frames and good numbers withheld are both as small
    as they can be, each as a multiple of the share that is wanted. Raises ValueError where frames
    of either kind are missing.
    """
    empty = np.array([r.quality or 0.0 if r.measured else 0.0 for r in results if not r.visible])
    good = np.array(
        [
            r.quality or 0.0
            for r in results
            if r.visible and r.error_mm is not None and abs(r.error_mm) <= GOOD_MM
        ]
    )
    if not empty.size or not good.size:
        raise ValueError("both frames with and without an endometrium are needed for this limit")

    def excess(limit: float) -> float:
        false = float((empty >= limit).mean()) / FALSE_SHARE
        return max(false, float((good < limit).mean()) / LOST_SHARE)

    return min((i / 100 for i in range(1, 91)), key=excess)


def spared(patients: int, nominal: float = NOMINAL, confidence: float = CONFIDENCE) -> int:
    """Return how many ranks in from the outermost an interval may end, both sides added up.

    The share of new patients in an interval that ends at such ranks of n old ones is random through
    these, and follows Beta(n + 1 - m, m) with m ranks; the largest m is taken for which it reaches
    `nominal` with `confidence` (Vovk 2012, Proc Mach Learn Res 25:475, proposition 2a; for two
    sides Wilks 1941, Ann Math Stat 12:91). 0 where there is not one rank for each side.
    """
    from scipy.stats import beta

    # Every further rank makes it less sure, so the first that fails ends the search.
    m = 1
    while m < patients and beta.sf(nominal, patients - m, m + 1) >= confidence:
        m += 1
    return m if m >= 2 else 0


def fit_intervals(results: list[Result], upper_mm: tuple[float, ...] = ONE_BIN) -> IntervalTable:
    """Split-conformal intervals by measured thickness, scaled by difficulty, one side at a time.

    The error over the difficulty (Lei et al. 2018, J Am Stat Assoc 113:1094, section 5.2) keeps its
    sign: what is drawn too thick on the whole moves the interval and does not widen it. In every
    bin it ends at the ranks of `spared`, so that it holds for the nominal share of new patients
    with CONFIDENCE and not only on average. They are shared out between the sides for the narrowest
    interval: bands seen in part are measured far too thin, and an equal share would spend all width
    on them. That choice costs some confidence, 0.72 to 0.83 instead of 0.8 in simulations. The
    cases of one patient are alike and count as one together, 1/k each, for a case of a new patient
    (Dunn, Wasserman and Ramdas 2023, J Am Stat Assoc 118:2491, pooling of distributions). The
    measured thickness always lies within. Raises ValueError where a bin has too few patients.
    """
    plain = IntervalTable(NOMINAL, BASE_MM, upper_mm, *2 * ((1.0,) * len(upper_mm),))
    factors = []
    for low, high, inside in binned(results, upper_mm):
        # Where the truth lies above what was measured the ratio is positive.
        ratios = [(-(r.error_mm or 0.0) / difficulty(r), r.patient) for r in inside]
        each = Counter(patient for _, patient in ratios)
        outside = spared(len(each))
        if not outside:
            raise ValueError(
                f"only {len(each)} patients measured from {low:g} to {high:g} mm: too few for a "
                f"{NOMINAL:.0%} interval; {FEWEST_PATIENTS} are needed."
            )

        below, above = ([(sign * x, p) for x, p in ratios] for sign in (-1, 1))
        sides = [
            (_outermost(below, each, outside - rank), _outermost(above, each, rank))
            for rank in range(1, outside)
        ]
        lower_end, upper_end = min(sides, key=sum)
        factors.append((max(lower_end, 0.0), max(upper_end, 0.0)))
    lower, upper = zip(*factors, strict=True)
    return replace(plain, lower_factor=lower, upper_factor=upper)


def _outermost(ratios: list[tuple[float, str]], cases: Counter[str], rank: int) -> float:
    """Return the ratio at which so many patients, from the largest down, are reached."""
    order = sorted(ratios, reverse=True)
    counted = np.cumsum([1 / cases[patient] for _, patient in order])
    return order[int(np.searchsorted(counted, rank - 1e-9))][0]


def usable(results: list[Result]) -> list[Result]:
    """Return the cases that were measured and whose true thickness is known."""
    return [r for r in results if r.error_mm is not None]


def binned(
    results: list[Result], upper_mm: tuple[float, ...]
) -> Iterator[tuple[float, float, list[Result]]]:
    """Yield lower and upper end (mm) of every bin, and the usable results measured within."""
    judged = usable(results)
    for low, high in zip((0.0, *upper_mm), upper_mm, strict=False):
        yield low, high, [r for r in judged if low <= (r.measured_mm or 0.0) < high]


def difficulty(result: Result) -> float:
    """Return what the factors of intervals multiply, in mm; see IntervalTable."""
    return BASE_MM + (result.spread_mm or 0.0)


def widest(tables: list[IntervalTable]) -> IntervalTable:
    """Return intervals that hold for each kind of picture that tables of the same bins come from.

    What was fitted on one kind is too narrow for another: on renderer 2 intervals of renderer 1
    held 82 instead of 90 %. Patients are a kind of their own.
    """
    first, *others = tables
    lower, upper = first.lower_factor, first.upper_factor
    if any(replace(o, lower_factor=lower, upper_factor=upper) != first for o in others):
        raise ValueError("tables of other bins cannot be compared")
    return replace(
        first,
        lower_factor=tuple(map(max, zip(*(table.lower_factor for table in tables), strict=True))),
        upper_factor=tuple(map(max, zip(*(table.upper_factor for table in tables), strict=True))),
    )
