"""Tables of readings, as they come: of people in the long form, of models from `measure`."""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from inference.records import Status
from trial.tables import Line, TableError, read_table, require

# What tells cases apart; `name` is the last part of `file`.
KEYS = ("sha256", "file", "name")
THICKEST_MM = 100.0
# A case that is named by the beginning of a hash, as overlays are.
SHORTEST_HASH = 12


class Kind(StrEnum):
    """What a reader is, which decides what it is compared with."""

    READER = "reader"
    MODEL = "model"
    REFERENCE = "reference"
    """Neither, such as the truth of phantoms; it takes part in pairs alone."""


class ReadingsError(Exception):
    """Readings cannot be used; the message says which table and line, and what to do."""


@dataclass(frozen=True)
class Row:
    """A reading. `keys` holds what the case is called by each of KEYS that the table has, and by
    `case`. `mm` is None where none was given; `failed` tells that the file could not be read.
    """

    where: str
    reader: str
    keys: dict[str, str]
    mm: float | None
    replicate: str
    patient: str
    failed: bool = False


@dataclass(frozen=True)
class Source:
    """The rows of one table, those of one model or those of several readers."""

    path: Path
    rows: tuple[Row, ...]
    kind: Kind


def read_readings(path: Path) -> Source:
    """Read the long table of what people read: `case, reader, thickness_mm`, and where they are
    known `replicate` and `patient`.

    CSV in UTF-8, or Parquet by its suffix. An empty thickness is a refusal. Raises ReadingsError.
    """
    _, lines = _read(path, ("case", "reader", "thickness_mm"))
    rows = []
    for line in lines:
        case, reader = line.text("case"), line.text("reader")
        if not case or not reader:
            raise ReadingsError(f"{line.where}: case or reader is empty; every reading has both.")
        keys = {"case": case} | {k: v for k in KEYS if (v := line.text(k))}
        rows.append(
            Row(
                line.where,
                reader,
                keys,
                _millimetres(line),
                line.text("replicate"),
                line.text("patient"),
            )
        )
    return Source(path, tuple(rows), Kind.READER)


def read_measurements(name: str, path: Path) -> Source:
    """Read a table of `endometer measure`, or any with `thickness_mm` and `file` or `sha256`.

    `name` is what its reader is called: a model if the table says which bundle measured, else a
    reference.
    CSV in UTF-8, or Parquet by its suffix. Raises ReadingsError.
    """
    columns, lines = _read(path, ("thickness_mm",))
    if "reader" in columns:
        raise ReadingsError(
            f"{path} has a column reader, so it holds readings of people: --readings {path}."
        )
    if not {"case", "sha256", "file"} & set(columns):
        raise ReadingsError(f"{path} has no column file, sha256 or case to tell its cases by.")
    rows = []
    for line in lines:
        keys = {key: value for key in ("case", "sha256", "file") if (value := line.text(key))}
        if "file" in keys:
            keys["name"] = PurePosixPath(keys["file"].replace("\\", "/")).name
        rows.append(
            Row(
                line.where,
                name,
                keys,
                _millimetres(line),
                line.text("replicate"),
                line.text("patient") or line.text("patient_id"),
                line.text("status") == Status.FAILED,
            )
        )
    return Source(path, tuple(rows), Kind.MODEL if "bundle" in columns else Kind.REFERENCE)


def _read(path: Path, wanted: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Line, ...]]:
    """Return the columns of a table and its rows. Raises ReadingsError."""
    try:
        columns, lines = read_table(path)
        require(path, columns, wanted)
    except TableError as error:
        raise ReadingsError(str(error)) from None
    return columns, lines


def _millimetres(line: Line) -> float | None:
    text = line.text("thickness_mm")
    if not text:
        return None
    try:
        mm = float(text)
    except ValueError:
        mm = math.nan
    if not 0 < mm <= THICKEST_MM:
        raise ReadingsError(
            f"{line.where}: thickness_mm is {text[:40]!r}; it must be a number of mm above 0, at "
            f"most {THICKEST_MM:g}, or empty where the reader gave none."
        )
    return mm
