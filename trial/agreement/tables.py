"""Tables of readings, as they come: of people in the long form, of models from `measure`."""

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from inference.records import Status

# What tells cases apart; `name` is the last part of `file`.
KEYS = ("sha256", "file", "name")
THICKEST_MM = 100.0
# A case that is named by the beginning of a hash, as overlays are.
SHORTEST_HASH = 12
MAGIC = b"PAR1"


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
    columns, lines = _read(path)
    _require(path, columns, ("case", "reader", "thickness_mm"))
    rows = []
    for where, line in lines:
        case, reader = _text(line, "case"), _text(line, "reader")
        if not case or not reader:
            raise ReadingsError(f"{where}: case or reader is empty; every reading has both.")
        keys = {"case": case} | {k: v for k in KEYS if (v := _text(line, k))}
        rows.append(
            Row(
                where,
                reader,
                keys,
                _millimetres(line["thickness_mm"], where),
                _text(line, "replicate"),
                _text(line, "patient"),
            )
        )
    return Source(path, tuple(rows), Kind.READER)


def read_measurements(name: str, path: Path) -> Source:
    """Read a table of `endometer measure`, or any with `thickness_mm` and `file` or `sha256`.

    `name` is what its reader is called: a model if the table says which bundle measured, else a
    reference.
    CSV in UTF-8, or Parquet by its suffix. Raises ReadingsError.
    """
    columns, lines = _read(path)
    if "reader" in columns:
        raise ReadingsError(
            f"{path} has a column reader, so it holds readings of people: --readings {path}."
        )
    _require(path, columns, ("thickness_mm",))
    if not {"case", "sha256", "file"} & set(columns):
        raise ReadingsError(f"{path} has no column file, sha256 or case to tell its cases by.")
    rows = []
    for where, line in lines:
        keys = {key: value for key in ("case", "sha256", "file") if (value := _text(line, key))}
        if "file" in keys:
            keys["name"] = PurePosixPath(keys["file"].replace("\\", "/")).name
        rows.append(
            Row(
                where,
                name,
                keys,
                _millimetres(line["thickness_mm"], where),
                _text(line, "replicate"),
                _text(line, "patient") or _text(line, "patient_id"),
                _text(line, "status") == Status.FAILED,
            )
        )
    return Source(path, tuple(rows), Kind.MODEL if "bundle" in columns else Kind.REFERENCE)


def _require(path: Path, columns: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    if missing := [name for name in wanted if name not in columns]:
        raise ReadingsError(
            f"{path} has no column {', '.join(missing)}; its columns are "
            f"{', '.join(columns)[:200] or 'none'}."
        )


def _read(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, dict[str, Any]]]]:
    """Return the columns of a table, and its lines with where they stand."""
    if path.suffix.lower() == ".parquet":
        columns, rows = _parquet(path)
        return columns, ((f"{path}, row {n}", row) for n, row in enumerate(rows, 1))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            lines = [(f"{path}, line {table.line_num}", row) for row in table]
            columns = tuple(table.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadingsError(f"{path} cannot be read as a CSV table: {error}.") from None
    for where, row in lines:
        if None in row or None in row.values():
            raise ReadingsError(
                f"{where} has more or fewer fields than the {len(columns)} columns of the table."
            )
    return columns, iter(lines)


def _parquet(path: Path) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    from arro3.io import read_parquet

    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC or file.seek(-4, os.SEEK_END) < 4 or file.read() != MAGIC:
                raise ReadingsError(
                    f"{path} is no Parquet table: it does not begin and end as one."
                )
            table = read_parquet(file).read_all()
        columns = tuple(str(name) for name in table.schema.names)
        values = [table.column(name).to_pylist() for name in columns]
    except (ReadingsError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - arro3 panics for a broken file, past Exception
        text = f"{path} cannot be read as a Parquet table: {error}."
        raise ReadingsError(text) from None
    return columns, [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _text(line: dict[str, Any], name: str) -> str:
    value = line.get(name)
    return "" if value is None else str(value).strip()


def _millimetres(value: Any, where: str) -> float | None:
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= THICKEST_MM:
        raise ReadingsError(
            f"{where}: thickness_mm is {text[:40]!r}; it must be a number of mm above 0, at most "
            f"{THICKEST_MM:g}, or empty where the reader gave none."
        )
    return number
