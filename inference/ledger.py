"""What a run has done so far, in an SQLite file, so that nothing is done twice or lost.

Two tables. `files` says what every file is: its stamp (size and times), its content, whose it is.
`results` says what was measured, by the image itself, so that copies share one result and a renamed
file is not measured again. Everything that decides a number (model, settings, version) is in the
`context`; results of another context are dropped.

Every outcome is committed before the next one, in write-ahead mode: a run that is killed loses
only what was in flight. The connection holds the file's lock as long as it is open, which keeps a
second run out; the operating system takes the lock back from a process that dies.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imaging.identity import ClipIdentity
from imaging.scanner_report import ScannerValue, Standing, sonographer_mm
from inference.jobs import Outcome
from inference.records import ClipRecord, Status, Value, frame_row
from inference.tables import OutputError, UnusableOutputError, printable

LEDGER = "ledger.sqlite"
# Raised whenever the tables below change their meaning.
FORMAT = 1

_SCHEMA = """
CREATE TABLE files (
  file TEXT PRIMARY KEY, stamp TEXT, sha256 TEXT, image TEXT, identity TEXT, row TEXT,
  source INTEGER NOT NULL, run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_image ON files (image, file);
CREATE TABLE results (
  image TEXT PRIMARY KEY, row TEXT, frames BLOB, files TEXT NOT NULL, missing INTEGER NOT NULL,
  notes TEXT NOT NULL, study TEXT, report TEXT, failed INTEGER NOT NULL, run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reports ON results (study) WHERE study IS NOT NULL;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# Files that have a row, with the first file by name that holds the same image.
_ROWS = """
SELECT files.file, sha256, identity, COALESCE(files.row, results.row), frames,
  (SELECT MIN(other.file) FROM files AS other WHERE other.image = files.image)
FROM files LEFT JOIN results USING (image) WHERE COALESCE(files.row, results.row) IS NOT NULL
"""


@dataclass(frozen=True)
class Entry:
    """What is known of a file's content."""

    sha256: str
    image: str
    identity: ClipIdentity


class Ledger:
    """The store of a run; a context manager. One process at a time has it open.

    Every method raises OutputError where the file cannot be written, for instance on a full disk.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make a ledger; None makes one that is gone when it is closed.

        Raises UnusableOutputError if another run has it open, or if it is damaged or of another
        version.
        """
        self._path = path
        self._run = 0
        try:
            # An empty name is a private file in the temporary folder, gone when it is closed.
            self._base = sqlite3.connect(path or "", isolation_level=None, timeout=0)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            # What is deleted is gone: identities may have been kept before a key was given.
            self._base.execute("PRAGMA secure_delete = ON")
            self._base.execute("BEGIN IMMEDIATE")  # takes the lock, which COMMIT keeps
            self._make_tables()
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            raise UnusableOutputError(self._why_not(error)) from None

    def _make_tables(self) -> None:
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._base.execute(statement)
            self._base.execute(f"PRAGMA user_version = {FORMAT}")
        elif version != FORMAT:
            raise sqlite3.DatabaseError(f"it has format {version}, not {FORMAT}")

    def _why_not(self, error: sqlite3.Error) -> str:
        where = printable(str(self._path))
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return (
                f"{where} is in use: another run writes to this folder. Wait for its end, or name "
                "another output folder."
            )
        return (
            f"{where} cannot be used: {error}. Delete it to measure everything again, or name "
            "another output folder."
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Turn a failure to read or write the file into an OutputError."""
        try:
            yield self._base
        except sqlite3.Error as error:
            raise OutputError(
                f"{printable(str(self._path))} cannot be written: {error}. Check permissions and "
                "free space, then run the same command again: it goes on from here."
            ) from error

    def began(self, context: str) -> str | None:
        """Return when the first run of this context began, None if the results are of another."""
        about = self._about()
        return about.get("began") if about.get("context") == context else None

    def begin(self, context: str, who: str, *, at: str = "", fresh: bool = False) -> None:
        """Start a run, once it has a first file: one that finds nothing leaves all as it was.

        `context` is a digest of all that decides a result, `who` of what decides how identities
        are kept. Results of another context are dropped, all with `fresh`, and failures, which are
        tried again. `at` is the present time.
        """
        about = self._about()
        self._run = int(about.get("run", 0)) + 1
        with self._writing() as base:
            base.execute("BEGIN")
            again = fresh or about.get("context") != context
            if again:
                base.execute("DELETE FROM results")
            else:
                base.execute("DELETE FROM results WHERE failed")
            if fresh or about.get("who") != who:
                base.execute("DELETE FROM files")
            began = {} if again or "began" not in about else {"began": about["began"]}
            now = {"began": at, "context": context, "who": who, "run": str(self._run)} | began
            base.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", now.items())
            base.execute("COMMIT")

    @property
    def begun(self) -> bool:
        """Tell whether this run has begun."""
        return self._run > 0

    def known(self, file: str, stamp: str) -> Entry | None:
        """Return what is known of a file that has not changed since, None if it has."""
        with self._writing() as base:
            found = base.execute(
                "SELECT sha256, image, identity FROM files WHERE file = ? AND stamp = ?",
                (file, stamp),
            ).fetchone()
        if found is None or found[0] is None:
            return None
        return Entry(found[0], found[1], ClipIdentity(**json.loads(found[2])))

    def add(self, file: str, stamp: str, entry: Entry, source: int) -> bool:
        """List a file of this run, found in the source of that number; tell whether to measure it.

        It is not measured if its image has a result, or if another file of this run that is listed
        already has the same image.
        """
        with self._writing() as base:
            there = base.execute(
                "SELECT 1 FROM results WHERE image = :image UNION ALL "
                "SELECT 1 FROM files WHERE image = :image AND run = :run AND file <> :file LIMIT 1",
                {"image": entry.image, "run": self._run, "file": file},
            ).fetchone()
            identity = _json(asdict(entry.identity))
            self._list(file, stamp, entry.sha256, entry.image, identity, None, source)
        return there is None

    def add_unreadable(self, record: ClipRecord, source: int) -> None:
        """List a file, or a folder, that cannot be read, with its row."""
        with self._writing():
            self._list(record.file, None, None, None, None, _json(record.row()), source)

    def _list(self, *values: str | int | None) -> None:
        self._base.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, self._run)
        )

    def store(self, outcome: Outcome) -> None:
        """Keep the result of an image; whose it is stands with its files."""
        record = replace(outcome.record, file="", sha256=None, identity=None)
        frames = _json([frame_row(record, row) for row in outcome.frames])
        report = outcome.report
        values = {
            "image": outcome.job.image,
            "row": None if outcome.no_image else _json(record.row()),
            "frames": zlib.compress(frames.encode()),
            "files": _json([*outcome.overlays, *outcome.dicom]),
            "missing": outcome.overlays_missing,
            "notes": _json(outcome.notes),
            "study": report and report.study_instance_uid,
            "report": report and _json([asdict(value) for value in report.values]),
            "failed": record.best.status is Status.FAILED,
            "run": self._run,
        }
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._writing() as base:
            # The names are those above.
            base.execute(f"INSERT OR REPLACE INTO results ({names}) VALUES ({marks})", values)  # noqa: S608

    def record(self, file: str) -> ClipRecord | None:
        """Return a listed file's record; None while it is not measured, and if it is no image."""
        found = next(self._select(f"{_ROWS} AND files.file = ?", file), None)
        return None if found is None else ClipRecord.from_row(_row(found))

    def finish(self) -> None:
        """Forget files of former runs that this one, which came to its end, did not find."""
        with self._writing() as base:
            base.execute("DELETE FROM files WHERE run < ?", (self._run,))
            base.execute(
                "DELETE FROM results WHERE NOT EXISTS "
                "(SELECT 1 FROM files WHERE files.image = results.image)"
            )

    def absorb(self, path: Path, *, first: bool) -> int:
        """Take in all that another ledger holds; the first one replaces what is here.

        Returns how many of its files hold no image. Raises UnusableOutputError if it cannot be
        read, is in use, or is of another context than the first.
        """
        with Ledger(path) as other:
            about = other._about()
            without = sum(other.without_image().values())
        with self._writing() as base:
            if first:
                for table in ("files", "results", "about"):
                    base.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from this line
                base.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            elif (
                about["context"] != self._about()["context"] or about["who"] != self._about()["who"]
            ):
                raise UnusableOutputError(
                    f"{printable(str(path))} was measured with another model, version or settings "
                    "than the first shard. Measure it again with the same."
                )
            base.execute("ATTACH DATABASE ? AS other", (str(path),))
            for table in ("files", "results"):
                base.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM other.{table}")  # noqa: S608
            base.execute("DETACH DATABASE other")
        return without

    def _about(self) -> dict[str, str]:
        return dict(self._select("SELECT name, value FROM about"))

    def rows(self) -> Iterator[dict[str, Value]]:
        """Yield the rows of `measurements`, sorted by file, one at a time.

        Where no calipers were seen in the picture, `sonographer_mm` is what a scanner's report of
        the same study says.
        """
        for found in self._select(f"{_ROWS} ORDER BY files.file"):
            row = _row(found)
            if row["sonographer_mm"] is None and row["study_instance_uid"] is not None:
                values = self._reported(str(row["study_instance_uid"]))
                uid = row["sop_instance_uid"]
                row["sonographer_mm"] = sonographer_mm(values, None if uid is None else str(uid))
            yield row

    def _reported(self, study: str) -> list[ScannerValue]:
        query = "SELECT report FROM results WHERE study = ? ORDER BY image"
        return [
            ScannerValue(**value | {"standing": Standing(value["standing"])})
            for (report,) in self._select(query, study)
            for value in json.loads(report)
        ]

    def frame_rows(self) -> Iterator[dict[str, Value]]:
        """Yield the rows of `frames`, sorted by file and frame, one at a time."""
        for file, sha256, _, _, frames, _ in self._select(f"{_ROWS} ORDER BY files.file"):
            for row in json.loads(zlib.decompress(frames)) if frames else ():
                yield row | {"file": file, "sha256": sha256}

    def has_file(self, name: str) -> bool:
        """Tell whether an overlay or a DICOM result of that name belongs to a result."""
        image = name.partition("-")[0]
        query = "SELECT files FROM results WHERE image >= ? AND image < ?"
        found = self._select(query, image, image + "g")  # "g" comes after the last digit, f
        return any(name in json.loads(names) for (names,) in found)

    def notes(self) -> dict[str, int]:
        """Return why there are no DICOM results, and of how many images."""
        query = "SELECT value, COUNT(*) FROM results, json_each(notes) GROUP BY value"
        return dict(self._select(query))

    def overlays_missing(self) -> int:
        """Return how many overlays could not be drawn."""
        ((missing,),) = self._select("SELECT COALESCE(SUM(missing), 0) FROM results")
        return int(missing)

    def resumed(self) -> int:
        """Return how many files have a result that is older than this run."""
        query = "SELECT COUNT(*) FROM files JOIN results USING (image) WHERE results.run < ?"
        ((found,),) = self._select(query, self._run)
        return int(found)

    def without_image(self) -> dict[int, int]:
        """Return by source how many of its files hold no image."""
        query = (
            "SELECT source, COUNT(*) FROM files JOIN results USING (image) "
            "WHERE results.row IS NULL GROUP BY source"
        )
        return dict(self._select(query))

    def _select(self, query: str, *values: str | int) -> Iterator[tuple[Any, ...]]:
        with self._writing() as base:
            yield from base.execute(query, values)

    def close(self) -> None:
        """Close the file and give back its lock; take away one that nothing was written to."""
        unused = not self._about()
        self._base.close()
        if unused and self._path is not None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _row(found: tuple[Any, ...]) -> dict[str, Value]:
    """Return a row of `measurements`: the image's result with name and identity of the file."""
    file, sha256, identity, row, _, first = found
    values: dict[str, Value] = json.loads(row)
    if identity is not None:
        values |= json.loads(identity)
        values |= {"file": file, "sha256": sha256, "duplicate_of": first if first != file else None}
    return values
