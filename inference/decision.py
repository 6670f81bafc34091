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


def decide(thickness_mm: float, intervals: IntervalTable, threshold_mm: float) -> Decision:
    """`thin` if the whole interval is below the threshold, `not_thin` if none of it is."""
    half = intervals.half_width(thickness_mm)
    lower, upper = max(0.0, thickness_mm - half), thickness_mm + half
    if upper < threshold_mm:
        return Decision(lower, upper, Call.THIN)
    if lower >= threshold_mm:
        return Decision(lower, upper, Call.NOT_THIN)
    return Decision(lower, upper, Call.INDETERMINATE)
