"""Nested results as flat tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from inference.records import Value
from inference.tables import write_csv


def write_flat(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write nested results as one table: names of parts are joined by an underscore."""
    flat = [dict(_flat(row)) for row in rows]
    named = dict.fromkeys(name for row in flat for name in row)
    # A part that a row lacks is None there, and several columns in the rows that have it.
    columns = [
        n
        for n in named
        if any(row.get(n) is not None for row in flat)
        or not any(other.startswith(f"{n}_") for other in named)
    ]
    write_csv(path, columns, ({name: row.get(name) for name in columns} for row in flat))


def _flat(row: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Value]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}_")
        elif name == "value":
            yield before.removesuffix("_"), value
        else:
            yield f"{before}{name}", value
