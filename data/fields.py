"""Reading tables that others wrote: every value is checked, every error says where it is."""

import json
import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


class CasesError(Exception):
    """A truth cannot be used; the message says which file and field, and what to do."""


def items(table: Path, key: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of a list in a JSON file, each with where it stands."""
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CasesError(f"{table} cannot be read as JSON: {error}.") from None
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise CasesError(f'{table} has no list {key!r}; it must be {{"{key}": [...]}}.')
    found = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise CasesError(f"{table}, {key} entry {number} is no object but {short(entry)}.")
        found.append((f"{table}, {key} entry {number}", entry))
    return found


def text_of(item: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    """Return a text that is not empty; `default`, if there is one, where it is missing."""
    value = item.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value.strip():
        raise CasesError(f"{where}, {key} is {short(value)}; it must be a text.")
    return value


def positive(value: object, where: str, most: float) -> float:
    """Return a positive number up to `most`. JSON and float() know NaN and Infinity, too."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not 0 < number <= most:
        raise CasesError(
            f"{where} is {short(value)}; it must be a number above 0, at most {most:g}."
        )
    return number


def pair(value: object, where: str) -> tuple[float, float]:
    """Return [row, column] in mm per pixel."""
    if not isinstance(value, list) or len(value) != 2:
        raise CasesError(f"{where} is {short(value)}; it must be [row, column] in mm per pixel.")
    return positive(value[0], where, 10.0), positive(value[1], where, 10.0)


def inside(folder: Path, name: str, where: str) -> Path:
    """Return a file of the folder. A table from elsewhere must not reach for other files."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    leaves = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if not name or leaves or "\0" in name:
        raise CasesError(
            f"{where} is {short(name)}; it must be a path below {folder}, without '..'."
        )
    return folder / name


def short(value: object) -> str:
    """Return a value as it is shown in an error."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
