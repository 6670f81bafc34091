"""From a thickness to an interval and a call against the threshold (design section 6)."""

from dataclasses import dataclass

from inference.records import Call
from models.bundle import IntervalTable


@dataclass(frozen=True)
class Decision:
    """The interval in mm and the call."""

    lower_mm: float
    upper_mm: float
    call: Call


# Standard uncertainties that a scale is believed within: about 95 % of a normal error.
COVERAGE = 2.0


def decide(
    thickness_mm: float,
    spread_mm: float,
    intervals: IntervalTable,
    threshold_mm: float,
    scale_uncertainty: float = 0.0,
    *,
    wider: float = 1.0,
) -> Decision:
    """`thin` if the whole interval is below the threshold, `not_thin` if none of it is.

    `spread_mm` is how softly the interfaces are drawn (inference.spread).
    `scale_uncertainty` is the relative standard uncertainty of the millimetres. A wrong scale
    moves every frame of a clip the same way, so it is added to both sides, not in quadrature:
    the interval then holds whatever the sign of both errors. `wider` times as far reaches the
    interval of what is unlike the cases that it was calibrated on (inference.focal).
    """
    below, above = intervals.reach(thickness_mm, spread_mm)
    scale_mm = COVERAGE * scale_uncertainty * thickness_mm
    lower, upper = (
        max(0.0, thickness_mm - wider * below - scale_mm),
        (thickness_mm + wider * above + scale_mm),
    )
    if upper < threshold_mm:
        return Decision(lower, upper, Call.THIN)
    if lower >= threshold_mm:
        return Decision(lower, upper, Call.NOT_THIN)
    return Decision(lower, upper, Call.INDETERMINATE)
