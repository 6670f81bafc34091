"""What the cells of a visits table may say. Each reader raises ValueError with what is right."""

import math
import re
from datetime import date

from trial.observations import CycleType
from trial.tables import number

_YES = frozenset({"yes", "y", "true", "1", "是"})
_NO = frozenset({"no", "n", "false", "0", "否"})
# Year first, so that no country reads it otherwise; spreadsheets write 2025/3/1 for 2025-03-01.
_DATE = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[T ][\d:.]+)?")
_EARLIEST_YEAR = 1990
THICKEST_MM = 30.0
LARGEST = 1e6
MOST_EMBRYOS = 20
# Between several scans of one visit.
SEVERAL = "|"
_TYPES = {
    "hrt": CycleType.HRT,
    "hormone replacement": CycleType.HRT,
    "artificial": CycleType.HRT,
    "natural": CycleType.NATURAL,
}


def yes_or_no(text: str) -> bool:
    """Return whether a cell says yes."""
    said = text.casefold()
    if said in _YES or said in _NO:
        return said in _YES
    raise ValueError("it must be yes or no")


def whole(text: str, low: int, high: int) -> int:
    """Return a whole number within bounds, also where a program wrote it as 3.0."""
    right = f"it must be a whole number from {low} to {high}"
    try:
        value = number(text)
    except ValueError:
        raise ValueError(right) from None
    if not low <= value <= high or not value.is_integer():
        raise ValueError(right)
    return int(value)


def millimetres(text: str) -> float:
    """Return a thickness in mm, with a dot or a decimal comma."""
    value = measure(text)
    if not 0 < value <= THICKEST_MM:
        raise ValueError(f"it must be a number of mm above 0, at most {THICKEST_MM:g}")
    return value


def measure(text: str) -> float:
    """Return any number of a size that a person can have."""
    try:
        value = number(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise ValueError(f"it must be a number, at most {LARGEST:g}")
    return value


def day(text: str) -> date:
    """Return a date, year first."""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError("it must be a date such as 2025-03-01, the year first")
    try:
        value = date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        raise ValueError("there is no such day") from None
    if value.year < _EARLIEST_YEAR:
        raise ValueError(f"it must be a date from {_EARLIEST_YEAR} on")
    return value


def cycle_type(text: str) -> CycleType:
    """Return how the endometrium of a cycle is prepared."""
    found = _TYPES.get(" ".join(text.casefold().split()))
    if found is None:
        raise ValueError("it must be hrt or natural")
    return found


def embryos(text: str) -> int:
    """Return a count of embryos, or of sacs."""
    return whole(text, 0, MOST_EMBRYOS)


def several(text: str) -> tuple[str, ...]:
    """Return the names of one or more scans."""
    return tuple(part for each in text.split(SEVERAL) if (part := each.strip()))
