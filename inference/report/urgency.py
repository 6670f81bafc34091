"""Which clips a person should look at first: named groups, most urgent first.

A clip belongs to the first group that it fits; within a group the most urgent come first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imaging.reasons import Reason
from inference.records import Call, Status, Value
from inference.report.least import Least

Row = Mapping[str, Value]
# Below this quality intervals hold less often than they say, and errors are nearly three times as
# large (docs/evaluation.md); above, a better quality says little more.
DOUBTFUL = 0.4
# An interval that ends nearer to the threshold than this: half a millimetre matters.
NEAR_MM = 0.5
# What was outlined can be judged in its picture; then what the file lacks; then what shows nothing.
REFUSALS = tuple(
    str(reason)
    for reason in (
        Reason.LOW_QUALITY,
        Reason.IMPLAUSIBLE_GEOMETRY,
        Reason.CUT_OFF,
        Reason.AMBIGUOUS_CALIBRATION,
        Reason.IMPLAUSIBLE_CALIBRATION,
        Reason.NO_CALIBRATION,
        Reason.NO_ENDOMETRIUM,
        Reason.NOT_BMODE,
    )
)


@dataclass(frozen=True)
class Group:
    """A group of clips.

    `keep` is how many of it are listed at most. `urgency` returns how far down in the group a row
    stands, a number, or None if it does not belong there.
    """

    name: str
    heading: str
    meaning: str
    keep: int
    urgency: Callable[[Row], float | None]


def indeterminate(row: Row) -> float | None:
    """Nearest to the threshold first."""
    if row["call"] != Call.INDETERMINATE:
        return None
    return abs(number(row, "thickness_mm") - number(row, "threshold_mm"))


def contradicted(row: Row) -> float | None:
    """Farthest outside the interval first."""
    if row["status"] != Status.MEASURED or row["sonographer_mm"] is None:
        return None
    by_hand = number(row, "sonographer_mm")
    outside = max(number(row, "lower_mm") - by_hand, by_hand - number(row, "upper_mm"))
    return -outside if outside > 0 else None


def doubtful(row: Row) -> float | None:
    """Lowest quality first."""
    if row["status"] != Status.MEASURED or number(row, "quality") >= DOUBTFUL:
        return None
    return number(row, "quality")


def near(row: Row) -> float | None:
    """Nearest end of the interval first."""
    if row["status"] != Status.MEASURED:
        return None
    limit = number(row, "threshold_mm")
    gap = min(abs(number(row, "lower_mm") - limit), abs(number(row, "upper_mm") - limit))
    return gap if gap < NEAR_MM else None


def refused(row: Row) -> float | None:
    """In the order of REFUSALS; what is closest to being measured first."""
    if row["status"] != Status.NOT_MEASURABLE:
        return None
    reason = str(row["reason"])
    rank = REFUSALS.index(reason) if reason in REFUSALS else len(REFUSALS)
    return rank - number(row, "quality") / 2  # quality is at most 1: it only orders within a reason


def failed(row: Row) -> float | None:
    """As they come."""
    return 0.0 if row["status"] == Status.FAILED else None


def clear(row: Row) -> float | None:
    """Lowest quality first."""
    return number(row, "quality")


GROUPS = (
    Group(
        "indeterminate",
        "Indeterminate",
        "The interval holds the threshold: no call. Nearest to it first.",
        150,
        indeterminate,
    ),
    Group(
        "contradicted",
        "Against the calipers",
        "Calipers that somebody left in the picture measure something outside the interval: one "
        "of the two is wrong, or they measure another structure. Farthest first.",
        50,
        contradicted,
    ),
    Group(
        "doubtful",
        "Low quality",
        f"Called, but with a quality below {DOUBTFUL:g}, where intervals hold less often than they "
        "say. Lowest first.",
        100,
        doubtful,
    ),
    Group(
        "near",
        "Near the threshold",
        f"Called, but with an interval that ends less than {NEAR_MM:g} mm from the threshold. "
        "Nearest first.",
        50,
        near,
    ),
    Group(
        "refused",
        "Refused",
        "No number was safe. What was outlined first, then what the file lacks.",
        100,
        refused,
    ),
    Group(
        "failed", "Failed", "Files that could not be read; measurements.csv names them.", 50, failed
    ),
    Group("clear", "The rest", "Called without such doubts. Lowest quality first.", 50, clear),
)


class Urgent:
    """The most urgent clips of every group, in bounded memory."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[str, Least[Row]] = {group.name: Least(group.keep) for group in GROUPS}

    def add(self, row: Row) -> None:
        """Put a row where it belongs."""
        for group in GROUPS:
            urgency = group.urgency(row)
            if urgency is not None:
                key = (urgency, str(row["sha256"] or ""), str(row["file"]))
                self._held[group.name].add(key, row)
                return

    def listed(self) -> list[tuple[Group, int, list[Row]]]:
        """Return every group that is not empty, its size, and its most urgent rows in order."""
        held = [(group, self._held[group.name]) for group in GROUPS]
        return [(group, least.added, least.values()) for group, least in held if least.added]


def number(row: Mapping[str, Any], name: str) -> float:
    """Return a column as a number, none as 0."""
    return float(row[name] or 0.0)
