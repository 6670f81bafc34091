"""Tables that people and programs hand over, CSV or Parquet, as rows of cells."""

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
# What spreadsheets put between fields, by the language that they are set to.
SEPARATORS = ",;\t"
# A decimal comma is a comma: with neither a dot nor another comma beside it.
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


class TableError(Exception):
    """A table cannot be used; the message says which one, where in it, and what would be right."""


@dataclass(frozen=True)
class Line:
    """A row. `number` is its line in a CSV file, or its place from 1 in a Parquet one; `where` says
    so in words. `cells` are as they were read.
    """

    number: int
    where: str
    cells: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a cell as stripped text, empty where it is empty or there is no such column."""
        value = self.cells.get(name)
        # A number that is missing in a Parquet table of pandas is no None but NaN.
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        return "" if missing else str(value).strip()


def read_table(path: Path) -> tuple[tuple[str, ...], tuple[Line, ...]]:
    """Return the columns of a table and its rows.

    Parquet by its suffix, else CSV in UTF-8 with or without a byte order mark, its fields set
    apart by comma, semicolon or tab, whichever makes the most columns of the header. Raises
    TableError for a table that cannot be read, one with two columns of a name, and one of whose
    lines has more or fewer fields than the header.
    """
    columns, lines = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise TableError(f"{path} has two columns of the name {', '.join(twice)}.")
    return columns, lines


def number(text: str) -> float:
    """Return a number that is written with a dot or a decimal comma. Raises ValueError."""
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


def require(path: Path, columns: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise TableError unless a table has the columns that are wanted."""
    if missing := [name for name in wanted if name not in columns]:
        raise TableError(
            f"{path} has no column {', '.join(missing)}; its columns are "
            f"{', '.join(columns)[:200] or 'none'}."
        )


def _csv(path: Path) -> tuple[tuple[str, ...], tuple[Line, ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            separator = max(SEPARATORS, key=header.count)
            table = csv.DictReader(file, delimiter=separator, strict=True)
            rows = [(table.line_num, row) for row in table]
            columns = tuple(table.fieldnames or ())
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} cannot be read as a CSV table: {error}. Save it as CSV in UTF-8."
        ) from None
    except (OSError, csv.Error) as error:
        raise TableError(f"{path} cannot be read as a CSV table: {error}.") from None
    lines = tuple(Line(n, f"{path}, line {n}", row) for n, row in rows)
    for line in lines:
        if None in line.cells or None in line.cells.values():
            raise TableError(
                f"{line.where} has more or fewer fields than the {len(columns)} columns of the "
                "table."
            )
    return columns, lines


def _parquet(path: Path) -> tuple[tuple[str, ...], tuple[Line, ...]]:
    from arro3.io import read_parquet

    try:
        with path.open("rb") as file:
            if file.read(4) != MAGIC or file.seek(-4, os.SEEK_END) < 4 or file.read() != MAGIC:
                raise TableError(f"{path} is no Parquet table: it does not begin and end as one.")
            table = read_parquet(file).read_all()
        columns = tuple(str(name) for name in table.schema.names)
        values = [table.column(name).to_pylist() for name in columns]
    except (TableError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - arro3 panics for a broken file, past Exception
        text = f"{path} cannot be read as a Parquet table: {error}."
        raise TableError(text) from None
    return columns, tuple(
        Line(n, f"{path}, row {n}", dict(zip(columns, row, strict=True)))
        for n, row in enumerate(zip(*values, strict=True), 1)
    )
