"""What a run leaves in its folder, CSV and Parquet tables and `run.json`, and how it is written."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from inference.records import Value

Row = Mapping[str, Value]

_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class OutputError(Exception):
    """The output folder cannot be written; the message says what, why and what to do."""


class UnusableOutputError(OutputError):
    """The output folder could not be written from the start: nothing was measured."""


def printable(text: str) -> str:
    """Return text that every output can hold: the same, unless it has lone surrogates.

    Python has them for bytes of a file name that are no UTF-8, which become `\\xe9`. A damaged
    header may have others, which become `\\ud800`.
    """
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def make_folder(folder: Path) -> None:
    """Make a folder and try to write in it. Raises UnusableOutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".endometer-", buffering=0) as probe:
            probe.write(b"0")
    except FileExistsError:
        text = f"{printable(str(folder))} is a file; name a folder."
        raise UnusableOutputError(text) from None
    except (OSError, ValueError) as error:
        raise UnusableOutputError(_cannot_be_written(folder, error)) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into an OutputError.

    An OSError without a number is no such failure: Pillow raises them for a bad picture.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OutputError(_cannot_be_written(path, error)) from error


def _cannot_be_written(path: Path, error: Exception) -> str:
    why = getattr(error, "strerror", None) or str(error)
    return (
        f"{printable(str(path))} cannot be written: {why}. Check permissions and free space, or "
        "name another output folder."
    )


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
    """Write a table as UTF-8 text: numbers with a dot, booleans true / false, empty for none.

    A file can say anything about itself, and a spreadsheet must not run it as a formula: text that
    begins like one gets an apostrophe in front. The column `file` is left alone, so that its paths
    can be opened and joined, and so are plain numbers, such as a patient's number -12 or +1.5.
    """
    names = list(columns)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows([_text(name, row[name]) for name in names] for row in rows)


def _text(name: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    formula = value.startswith(("=", "+", "-", "@", "\t", "\r"))
    if formula and name != "file" and not _PLAIN_NUMBER.fullmatch(value):
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
    content = BytesIO()  # not into the file: on a full disk arro3 panics past `except Exception`
    write(Table.from_arrays(arrays, schema=schema), content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
