"""What the study is analysed from: thicknesses and embryo transfers, a woman and a cycle each.

The records that the joining of tables makes (trial.joining) and that the analyses take; nothing
here reads a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class CycleType(StrEnum):
    """How the endometrium of a cycle is prepared."""

    HRT = "hrt"
    """Hormone replacement."""
    NATURAL = "natural"


class Origin(StrEnum):
    """Who stands behind a thickness; the first that there is counts."""

    REVIEW = "review"
    """A person confirmed or corrected the automatic measurement on the review page."""
    AUTOMATIC = "automatic"
    READER = "reader"
    """A person's number in the visits table, where there is no scan that could be measured."""


@dataclass(frozen=True)
class Reading:
    """A number of a visit beside the one that counts, in mm; `clip` is its file, if it has one."""

    mm: float
    lower_mm: float
    upper_mm: float
    clip: str | None = None


@dataclass(frozen=True)
class Observation:
    """One visit of a woman, measured or not.

    `cycle` counts treatment cycles from 1; cycles before treatment are 0, -1, -2 backwards, so
    that baseline is the last measured visit with `cycle` <= 0. `cycle_day` counts from 1. Lengths
    in mm: `lower_mm` and `upper_mm` are the 90 % interval. `thickness_mm` is None where nothing
    was measured, and `missing` says why in words without identity. `row` is the line in the visits
    table, `patient` is what that table calls her.
    """

    row: int
    patient: str
    arm: str | None
    cycle: int
    cycle_type: CycleType | None
    cycle_day: int | None
    phase: str | None
    date: date | None
    thickness_mm: float | None
    lower_mm: float | None
    upper_mm: float | None
    origin: Origin | None
    automatic_mm: float | None = None
    """What the machine measured, also where a person's value counts."""
    repeats_mm: tuple[float, ...] = ()
    """What the machine measured on every scan of the visit, but for rejected ones: repeats must not
    mix the machine with people."""
    others: tuple[Reading, ...] = ()
    """The other scans of the visit that were measured: reviewed ones, if one was reviewed."""
    reader: Reading | None = None
    """A person's number in the visits table, also where a scan counts."""
    missing: str | None = None
    clip: str | None = None
    """The file of the scan that counts, or of the one that was refused; None without a scan."""


@dataclass(frozen=True)
class Transfer:
    """One embryo transfer; None is not known. `sacs` counts sacs with a heartbeat."""

    row: int
    patient: str
    arm: str | None
    cycle: int
    cycle_type: CycleType | None
    embryos: int | None
    sacs: int | None
    clinical_pregnancy: bool | None


@dataclass(frozen=True)
class Cancellation:
    """A cycle without its transfer. `because` is the reason in the table, None if it has none."""

    row: int
    patient: str
    cycle: int
    cycle_type: CycleType | None
    because: str | None


def numbers(observations: Iterable[Observation]) -> dict[str, int]:
    """Return the number of each woman, from 1 in the order of the visits table.

    On pages and terminals she goes by it, without her identity.
    """
    first: dict[str, int] = {}
    for each in observations:
        first[each.patient] = min(each.row, first.get(each.patient, each.row))
    return {patient: i for i, patient in enumerate(sorted(first, key=lambda p: first[p]), 1)}
