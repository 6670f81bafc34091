"""How well a bundle measures clips of which the truth is known.

Every case goes the way of every clip, from the file to the record; what was outlined on the way is
compared with the truth. One that cannot be read or compared is a row of its own and stops nothing.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from data.cases import Case, CasesError
from imaging.calibration import Calibration, user_calibration
from inference.clip import MeasuredClip, Settings, measure_clip
from inference.records import Status
from inference.thickness import NotMeasurable, measure_thickness
from models.bundle import Bundle
from models.runtime import Runtime
from training.metrics import Fit, Spacing, fit_of, labels_in
from training.summary import Result, thickness_bin

# The pattern of a line of two or three pixels, in every table of truths.
THIN_LINE = "thin_line"
# A thickness up to this must be measured closer than one above it.
THICK_MM = 7.0


class TimedRuntime:
    """A runtime that counts frames, which are one call each, and their seconds."""

    def __init__(self, runtime: Runtime) -> None:
        """Wrap a runtime."""
        self.runtime, self.device = runtime, runtime.device
        self.frames, self.seconds = 0, 0.0

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Runtime."""
        start = time.perf_counter()
        found = self.runtime(batch)
        self.seconds += time.perf_counter() - start
        self.frames += 1
        return found


def evaluate(
    cases: Iterable[Case],
    bundle: Bundle,
    runtime: Runtime,
    *,
    outlines: bool = True,
    on_case: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Measure cases and compare each with its truth, in order.

    `outlines` False compares thicknesses only, which needs no MONAI. `on_case` sees every result.
    """
    results = []
    for case in cases:
        result = evaluate_case(case, bundle, runtime, outlines=outlines)
        results.append(result)
        if on_case:
            on_case(result)
    return results


def evaluate_case(case: Case, bundle: Bundle, runtime: Runtime, *, outlines: bool = True) -> Result:
    """Measure one case and compare it with its truth. Never raises for what is in its files."""
    timed, start = TimedRuntime(runtime), time.perf_counter()
    try:
        clip = measure_case(case, bundle, timed)
        seconds = time.perf_counter() - start
        return compare(case, clip, timed, seconds, outlines=outlines)
    except CasesError as error:
        return _failed(case, str(error))
    except ImportError:
        raise  # of the installation, not of the case
    except Exception as error:  # noqa: BLE001 - one broken case never stops the others
        return _failed(case, f"An unexpected {type(error).__name__} in the comparison: {error}")


def measure_case(case: Case, bundle: Bundle, runtime: Runtime) -> MeasuredClip:
    """Measure a case as a user would. Raises CasesError for a scale that cannot be."""
    user = None
    if case.spacing_mm is not None:
        scale = user_calibration(*case.spacing_mm)
        if not isinstance(scale, Calibration):
            raise CasesError(f"{case.name}: {scale.message}")
        user = scale
    return measure_clip(case.path, bundle, runtime, Settings(user=user))


def compare(
    case: Case, clip: MeasuredClip, timed: TimedRuntime, seconds: float, *, outlines: bool = True
) -> Result:
    """Compare what was measured with the truth. Raises CasesError for a truth without use."""
    best = clip.record.best
    if best.status is Status.FAILED:
        return _failed(case, best.message)
    scaled = best.row_mm is not None and best.column_mm is not None
    spacing = (float(best.row_mm or 0), float(best.column_mm or 0)) if scaled else case.spacing_mm
    # Fluid alone is no outline of the endometrium.
    drawn = outlines and "endometrium" in case.known
    truth = case.mask(best.frame or 1) if drawn else None
    if truth is not None and clip.sector is not None and truth.shape != clip.sector.shape:
        raise CasesError(
            f"{case.name}: its label has {truth.shape[0]} x {truth.shape[1]} pixels and its frame "
            f"{clip.sector.shape[0]} x {clip.sector.shape[1]}. A label is drawn on this very frame."
        )
    true_mm = case.true_mm
    if true_mm is None and truth is not None and spacing is not None:
        true_mm = _thickness(truth, spacing)
    finding = clip.findings.get(best.frame) if best.frame is not None else None
    fit: Fit | None = None
    # A polygon goes around everything and tells no fluid apart.
    apart = truth is not None and case.label is not None
    labels = labels_in(truth, case.known) if truth is not None and apart else ()
    if truth is not None and finding is not None:
        fit = fit_of(
            finding.outline, finding.calipers, truth, spacing, finding.fluid_outline, labels
        )
    groups = {}
    if true_mm is not None:
        groups["thickness"] = thickness_bin(true_mm)
        groups["size"] = f"{'up to' if true_mm <= THICK_MM else 'above'} {THICK_MM:g} mm"
    if case.visible and (pattern := case.families.get("pattern")):
        # A line of a few pixels is judged by its centre line, a band by its Dice.
        groups["shape"] = "line" if pattern == THIN_LINE else "band"
    return Result(
        name=case.name,
        patient=case.patient,
        families=case.families | groups,
        visible=case.visible,
        true_mm=true_mm,
        status=best.status,
        reason=best.reason,
        message=best.message,
        measured_mm=best.thickness_mm,
        lower_mm=best.lower_mm,
        upper_mm=best.upper_mm,
        call=best.call,
        quality=best.quality,
        spread_mm=finding.spread_mm if finding else None,
        outlined=finding is not None,
        drawn=truth is not None,
        drawn_endometrium="endometrium" in labels,
        drawn_fluid="fluid" in labels,
        fit=fit,
        seconds=seconds,
        network_ms=1000 * timed.seconds / timed.frames if timed.frames else None,
    )


def _thickness(truth: NDArray[np.uint8], spacing: Spacing) -> float | None:
    try:
        return measure_thickness(truth == 1, spacing, fluid=truth == 2).thickness_mm
    except NotMeasurable:
        return None


def _failed(case: Case, message: str | None) -> Result:
    return Result(
        name=case.name,
        patient=case.patient,
        families=case.families,
        visible=case.visible,
        true_mm=case.true_mm,
        status=Status.FAILED,
        message=message,
    )
