"""What the user wants of an import, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.importers.annotation import Fault

# Faults that a message lists before it only counts them.
LISTED = 10


class ImportFailedError(Exception):
    """Nothing was imported; the message says why, and what to do. `faults` are all there are."""

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        """Keep the faults beside the message."""
        super().__init__(message)
        self.faults = faults


@dataclass(frozen=True)
class Wishes:
    """What the user wants of an import.

    `mapping` {name: meaning}, `labels` what is told apart (None: what is mapped), `images` the
    folder of the pictures (None: that of the annotations), `spacing_mm` for pictures that carry no
    scale, `patient` the rule, `key` of the pseudonyms, `plain`: patients by their own names,
    `empty`: pictures without annotation show nothing, `listing`: file for the table of originals.
    """

    mapping: Mapping[str, str]
    format: str = "auto"
    labels: tuple[str, ...] | None = None
    images: Path | None = None
    spacing_mm: tuple[float, float] | None = None
    patient: str = "auto"
    annotator: str | None = None
    key: bytes | None = field(default=None, repr=False)
    plain: bool = False
    empty: bool = False
    skip_faulty: bool = False
    append: bool = False
    listing: Path | None = None


@dataclass(frozen=True)
class Imported:
    """What came of it.

    `same`: annotations that were there already, picture and drawing, and were left out. `again`:
    items of a picture that another annotator drew on, too. `without`: pictures with nothing drawn,
    that were left out, or with `Wishes.empty` taken in. `unscaled`: items without any scale.
    `identified`: DICOM items with a patient's id in them.
    """

    format: str
    items: int
    patients: int
    unnamed: int
    without: int
    empty: int
    again: int
    same: tuple[str, ...]
    unscaled: int
    identified: int
    names: dict[str, int]
    unused: tuple[str, ...]
    faults: tuple[Fault, ...]


def told(faults: Sequence[Fault]) -> str:
    """Return faults in words: the first LISTED, then how many more."""
    more = f"\nand {len(faults) - LISTED} more." if len(faults) > LISTED else ""
    return "\n".join(map(str, faults[:LISTED])) + more
