"""How freely a bundle draws and how wide its intervals are: fitted on phantoms it never saw.

Their seeds are none that training uses or that `endometer phantom` can be given.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.cases import Case, read_cases
from data.phantom.collection import write_phantoms
from models.bundle import Bundle, IntervalTable
from models.runtime import Runtime
from training.evaluate import evaluate
from training.summary import Result

# Seeds of the phantoms on which the shift and the intervals are fitted, and of those that judge.
SHIFT_SEED, CALIBRATION_SEED, TEST_SEED = 2**32 + 2, 2**32, 2**32 + 1
# Shifts of the endometrium's logit that are tried, and the error in mm that a refusal counts as.
SHIFTS = (0.0, 0.6, 1.2, 1.8, 2.4)
REFUSED_MM = 1.5
# Measured thickness (mm) at which the interval's width changes.
BIN_EDGES_MM = (4.0, 8.0, math.inf)
NOMINAL = 0.9


@contextmanager
def phantom_cases(seed: int, n: int) -> Iterator[list[Case]]:
    """Make DICOM stills, number 0 to n - 1 of `seed`, for a while; those with an endometrium."""
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder), n=n, seed=seed)
        yield [case for case in read_cases(Path(folder)) if case.visible]


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

    return min(SHIFTS, key=error)


def fit_intervals(results: list[Result]) -> IntervalTable:
    """Split-conformal half-widths by measured thickness.

    The half-width of a bin is the ceil((n + 1) * nominal)-th smallest absolute error in it, which
    covers a new case of the same kind with at least the nominal probability (Lei et al. 2018,
    J Am Stat Assoc 113:1094, theorem 2). Raises ValueError where a bin has too few for that.
    """
    judged = [
        (r.measured_mm, abs(r.error_mm))
        for r in results
        if r.measured_mm is not None and r.error_mm is not None
    ]
    widths = []
    for low, high in zip((0.0, *BIN_EDGES_MM), BIN_EDGES_MM, strict=False):
        errors = sorted(error for mm, error in judged if low <= mm < high)
        rank = math.ceil((len(errors) + 1) * NOMINAL)
        if rank > len(errors):
            raise ValueError(
                f"only {len(errors)} phantoms measured from {low:g} to {high:g} mm: too few for a "
                f"{NOMINAL:.0%} interval"
            )
        widths.append(errors[rank - 1])
    return IntervalTable(NOMINAL, BIN_EDGES_MM, tuple(widths))
