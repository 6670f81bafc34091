"""What a run leaves in its folder, CSV and Parquet tables and `run.json`, and how it is written."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import RawIOBase
from itertools import islice
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from inference.records import Value

Row = Mapping[str, Value]

# Rows of a Parquet table that are held in memory at a time.
ROWS_IN_A_GROUP = 10_000

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
        with TemporaryFile(dir=folder, buffering=0) as probe:  # no name that a kill would leave
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
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in place when that went well.

    No reader ever sees half a file, and a failed write leaves the former one; with `durable` also
    after a power cut.
    """
    # Of its own for every writer: two may do the same work where one is believed dead.
    temporary = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
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


def write_parquet(path: Path, columns: Mapping[str, type], rows: Iterable[Row]) -> None:
    """Write a typed table, rows as they come, in groups of ROWS_IN_A_GROUP; all may be null."""
    from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
    from arro3.io import write_parquet as write

    types = {
        str: DataType.string(),
        int: DataType.int64(),
        float: DataType.float64(),
        bool: DataType.bool(),
    }
    schema = Schema([Field(name, types[kind]) for name, kind in columns.items()])

    failures: list[BaseException] = []  # kept aside: arro3 panics where Python would raise

    def batches() -> Iterator[RecordBatch]:
        remaining = iter(rows)
        try:
            while group := list(islice(remaining, ROWS_IN_A_GROUP)):
                arrays = [
                    Array([_plain(row[name]) for row in group], types[kind])
                    for name, kind in columns.items()
                ]
                yield RecordBatch.from_arrays(arrays, schema=schema)
        except BaseException as error:  # noqa: BLE001 - raised below, an interrupt, too
            failures.append(error)

    with replacing(path) as temporary, temporary.open("wb") as file:
        reader = RecordBatchReader.from_batches(schema, batches())
        write(reader, _Sink(file, failures), max_row_group_size=ROWS_IN_A_GROUP)
        if failures:
            raise failures[0]
        file.flush()


def _plain(value: Value) -> Value:
    """Return the text of an enumeration's name, everything else as it is."""
    return str(value) if isinstance(value, str) else value


class _Sink(RawIOBase):
    """Writes to a file and keeps aside what goes wrong."""

    def __init__(self, file: BinaryIO, failures: list[BaseException]) -> None:
        self._file = file
        self._failures = failures

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content)
        if not self._failures:
            try:
                self._file.write(view)
            except OSError as error:
                self._failures.append(error)
        return view.nbytes


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
