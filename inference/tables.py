"""What a run leaves in its folder: CSV and Parquet tables and `run.json`."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.records import Value

Row = Mapping[str, Value]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in place when that went well.

    No reader ever sees half a file, and a failed write leaves the former one.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Write a table as UTF-8 text: numbers with a dot, booleans true / false, empty for none."""
    names = list(columns)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows([_text(row[name]) for name in names] for row in rows)


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        # A file can say anything about itself; a spreadsheet must not run it as a formula.
        return "'" + value
    return str(value)


def write_parquet(path: Path, columns: Mapping[str, type], rows: Sequence[Row]) -> None:
    """Write a typed table; every column may be null."""
    from arro3.core import Array, DataType, Field, Schema, Table
    from arro3.io import write_parquet as write

    types = {
        str: DataType.string(),
        int: DataType.int64(),
        float: DataType.float64(),
        bool: DataType.bool(),
    }
    schema = Schema([Field(name, types[kind]) for name, kind in columns.items()])
    arrays = [
        # Names of reasons and calls are enumerations; a table holds their text.
        Array(
            [str(row[name]) if isinstance(row[name], str) else row[name] for row in rows],
            types[kind],
        )
        for name, kind in columns.items()
    ]
    with replacing(path) as temporary:
        write(Table.from_arrays(arrays, schema=schema), temporary)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
