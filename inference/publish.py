"""The tables of a run as Parquet parts on shared or object storage, at any address of fsspec."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from inference.tables import ROWS_IN_A_GROUP, UnusableOutputError, printable

if TYPE_CHECKING:
    from arro3.core import RecordBatch
    from fsspec import AbstractFileSystem

TABLES = ("measurements", "frames")
SUMMARY = "run.json"
# A few megabytes.
ROWS_IN_A_PART = 100_000
_PART = re.compile(r"part-\d{5,}\.parquet")


class PublishError(Exception):
    """The storage cannot be written; the message says why and what to do."""


def publish(folder: Path, address: str) -> list[str]:
    """Write the tables of a results folder to ADDRESS; return the names of what is there now.

    `ADDRESS/measurements/part-00000.parquet` and so on, `ADDRESS/frames/...`, and `run.json` last:
    where it lies, the parts are all there and of one run. The same results give the same parts;
    those of a former run are replaced, or taken away where there are fewer now. Other files there
    stay. Raises UnusableOutputError for a folder without tables, PublishError for the storage.
    """
    for name in (*(f"{table}.parquet" for table in TABLES), SUMMARY):
        if not (folder / name).is_file():
            raise UnusableOutputError(
                f"{printable(str(folder))} has no {name}; name a folder that `endometer measure "
                "--out` or `endometer gather` wrote."
            )
    try:
        storage, root = _storage(address)
        return list(_published(folder, storage, root.rstrip("/")))
    except PublishError:
        raise
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        raise PublishError(
            f"{without_login(address)}: {type(error).__name__}: {_first_line(error)}. Nothing says "
            f"that the parts are whole, because {SUMMARY} comes last; run the same command again."
        ) from None


def without_login(address: str) -> str:
    """Return an address without what stands before the @, and without a query: for messages.

    A path is no address and stays as it is.
    """
    kind, between, rest = address.partition("://")
    if not between:
        return address
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{kind}://{host.rpartition('@')[2]}{slash}{path}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0].rstrip(".")


def _storage(address: str) -> "tuple[AbstractFileSystem, str]":
    """Return who writes there, and the path. Raises PublishError."""
    try:
        import fsspec
    except ImportError:
        raise PublishError("publish needs pip install 'endometer[storage]'.") from None
    try:
        found: tuple[AbstractFileSystem, str] = fsspec.url_to_fs(address)
    except ImportError as error:  # which package it is that knows this kind of storage
        raise PublishError(f"{without_login(address)}: {_first_line(error)}.") from None
    except ValueError as error:
        raise PublishError(
            f"{without_login(address)}: {_first_line(error)}. Name a folder or an address such as "
            "s3://bucket/folder."
        ) from None
    return found


def _published(folder: Path, storage: "AbstractFileSystem", root: str) -> Iterator[str]:
    """Write everything, yielding the names of files under `root`."""
    storage.invalidate_cache()
    if storage.exists(f"{root}/{SUMMARY}"):
        storage.rm(f"{root}/{SUMMARY}")
    for table in TABLES:
        place = f"{root}/{table}"
        storage.makedirs(place, exist_ok=True)
        written = set()
        for name, path in _parts(folder / f"{table}.parquet"):
            storage.put_file(str(path), f"{place}/{name}")
            written.add(name)
            yield f"{table}/{name}"
        for found in storage.ls(place, detail=False):
            name = found.rstrip("/").rpartition("/")[2]
            if _PART.fullmatch(name) and name not in written:
                storage.rm(found)
    storage.put_file(str(folder / SUMMARY), f"{root}/{SUMMARY}")
    yield SUMMARY


def _parts(table: Path) -> Iterator[tuple[str, Path]]:
    """Yield names of parts and files that hold them, each until the next one is asked for.

    A table without rows is one part without rows, so that its columns are known.
    """
    from arro3.core import RecordBatchReader
    from arro3.io import read_parquet, write_parquet

    with table.open("rb") as file, TemporaryDirectory() as temporary:
        reader = read_parquet(file)
        schema = reader.schema
        batches: Iterator[RecordBatch] = iter(reader)
        path = Path(temporary) / "part"
        for number, held in enumerate(_regrouped(batches)):
            write_parquet(
                RecordBatchReader.from_batches(schema, held),
                path,
                max_row_group_size=ROWS_IN_A_GROUP,
            )
            yield f"part-{number:05}.parquet", path


def _regrouped(batches: "Iterator[RecordBatch]") -> "Iterator[list[RecordBatch]]":
    """Yield batches in groups of ROWS_IN_A_PART rows, the last of what is left; one at least."""
    held: list[RecordBatch] = []
    rows = 0
    for batch in batches:
        rest = batch
        while rows + rest.num_rows > ROWS_IN_A_PART:
            room = ROWS_IN_A_PART - rows
            yield [*held, rest.slice(0, room)]
            held, rows, rest = [], 0, rest.slice(room)
        held.append(rest)
        rows += rest.num_rows
    yield held
