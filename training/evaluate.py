"""How well a bundle measures phantoms that it never saw: `python -m training.evaluate [BUNDLE]`.

Each is written as a DICOM still and goes the way of every clip, from the file to the record. Their
seeds are none that training uses or that `endometer phantom` can be given.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.phantom.dicom import Phantom, make_phantom, write_dicom
from inference.clip import measure_clip
from models.bundle import Bundle, IntervalTable, load_bundle
from models.runtime import OpenVinoRuntime, Runtime

# Seeds of the phantoms on which the shift and the intervals are fitted, and of those that judge.
SHIFT_SEED, CALIBRATION_SEED, TEST_SEED = 2**32 + 2, 2**32, 2**32 + 1
# Shifts of the endometrium's logit that are tried, and the error in mm that a refusal counts as.
SHIFTS = (0.0, 0.6, 1.2, 1.8, 2.4)
REFUSED_MM = 1.5
# Measured thickness (mm) at which the interval's width changes.
BIN_EDGES_MM = (4.0, 8.0, math.inf)
NOMINAL = 0.9


@dataclass(frozen=True)
class Still:
    """A phantom on disk and what is true of it."""

    path: Path
    true_mm: float
    pattern: str


@dataclass(frozen=True)
class Outcome:
    """One phantom: what is true, what was measured (None if refused) and its quality."""

    true_mm: float
    pattern: str
    measured_mm: float | None
    quality: float


@contextmanager
def phantom_stills(seed: int, n: int) -> Iterator[list[Still]]:
    """Make DICOM stills with a visible endometrium, number 0 to n - 1 of `seed`, for a while."""
    with tempfile.TemporaryDirectory() as folder:
        yield [_write(make_phantom((seed, i)), Path(folder) / f"{i}.dcm") for i in range(n)]


def _write(phantom: Phantom, path: Path) -> Still:
    true_mm = phantom.scene.true_thickness_mm
    if true_mm is None:
        raise ValueError("a phantom without an endometrium has no thickness to compare with")
    write_dicom(phantom, path)
    return Still(path, true_mm, str(phantom.scene.pattern))


def measure_stills(stills: list[Still], bundle: Bundle, runtime: Runtime) -> list[Outcome]:
    """Measure stills on the way of every clip."""
    outcomes = []
    for still in stills:
        best = measure_clip(still.path, bundle, runtime).record.best
        outcomes.append(
            Outcome(still.true_mm, still.pattern, best.thickness_mm, best.quality or 0.0)
        )
    return outcomes


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


def fit_shift(stills: list[Still], bundle: Bundle, runtime: Runtime) -> float:
    """Return how much to take off the endometrium's logit for the smallest mean absolute error.

    Overlap losses draw uncertain edges outside rather than inside, and the maximum of a ragged
    outline lies above its mean: both make a thickness too large.
    """
    channel = bundle.channel("endometrium")

    def error(by: float) -> float:
        outcomes = measure_stills(stills, bundle, ShiftedRuntime(runtime, channel, by))
        errors = [abs(o.measured_mm - o.true_mm) for o in outcomes if o.measured_mm is not None]
        # What is refused counts as a fair miss: a shift must not win by measuring little.
        return (sum(errors) + REFUSED_MM * (len(outcomes) - len(errors))) / len(outcomes)

    return min(SHIFTS, key=error)


def fit_intervals(outcomes: list[Outcome]) -> IntervalTable:
    """Split-conformal half-widths by measured thickness.

    The half-width of a bin is the ceil((n + 1) * nominal)-th smallest absolute error in it, which
    covers a new phantom of the same kind with at least the nominal probability (Lei et al. 2018,
    J Am Stat Assoc 113:1094, theorem 2). Raises ValueError where a bin has too few for that.
    """
    widths = []
    for low, high in zip((0.0, *BIN_EDGES_MM), BIN_EDGES_MM, strict=False):
        errors = sorted(
            abs(o.measured_mm - o.true_mm)
            for o in outcomes
            if o.measured_mm is not None and low <= o.measured_mm < high
        )
        rank = math.ceil((len(errors) + 1) * NOMINAL)
        if rank > len(errors):
            raise ValueError(
                f"only {len(errors)} phantoms measured from {low:g} to {high:g} mm: too few for a "
                f"{NOMINAL:.0%} interval"
            )
        widths.append(errors[rank - 1])
    return IntervalTable(NOMINAL, BIN_EDGES_MM, tuple(widths))


def summarise(outcomes: list[Outcome], intervals: IntervalTable) -> dict[str, Any]:
    """Return the numbers of the card: errors in mm, shares, coverage, by pattern as well."""
    measured = [(o, o.measured_mm) for o in outcomes if o.measured_mm is not None]
    errors = np.array([mm - o.true_mm for o, mm in measured])
    if not errors.size:
        return {"n": len(outcomes), "measured": 0}
    covered = [abs(mm - o.true_mm) <= intervals.half_width(mm) for o, mm in measured]
    patterns = sorted({o.pattern for o, _ in measured})
    return {
        "n": len(outcomes),
        "measured": len(measured),
        **_errors(errors),
        "interval_coverage": round(float(np.mean(covered)), 3),
        "by_pattern": {
            name: {"n": sum(o.pattern == name for o in outcomes)}
            | _errors(np.array([mm - o.true_mm for o, mm in measured if o.pattern == name]))
            for name in patterns
        },
    }


def _errors(errors: NDArray[np.float64]) -> dict[str, float]:
    size = np.abs(errors)
    return {
        "bias_mm": round(float(errors.mean()), 3),
        "mae_mm": round(float(size.mean()), 3),
        "p95_mm": round(float(np.percentile(size, 95)), 3),
        "within_1_mm": round(float((size <= 1).mean()), 3),
        "within_2_mm": round(float((size <= 2).mean()), 3),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="the shipped one if left out")
    parser.add_argument("--n", type=int, default=200, help="phantoms")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    with phantom_stills(TEST_SEED, arguments.n) as stills:
        outcomes = measure_stills(stills, bundle, OpenVinoRuntime(bundle))
    print(json.dumps(summarise(outcomes, bundle.intervals), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
