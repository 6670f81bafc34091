"""What a run has done so far, in an SQLite file, so that nothing is done twice or lost.

Two tables. `files` says what every file is: its stamp (size and time), its content, whose it is.
`results` says what was measured, by the image itself, so that copies share one result and a
renamed file is not measured again; and by the `context`, which is all that decides a number beside
the file: model, settings, versions. Results are kept, so that a run on other files or with other
settings costs nobody the work of a night.

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
  named INTEGER NOT NULL, source INTEGER NOT NULL, run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_image ON files (image, file);
CREATE TABLE results (
  context TEXT, image TEXT, row TEXT NOT NULL, no_image INTEGER NOT NULL, frames BLOB,
  name TEXT NOT NULL, files TEXT NOT NULL, missing INTEGER NOT NULL, notes TEXT NOT NULL,
  study TEXT, report TEXT, failed INTEGER NOT NULL, run INTEGER NOT NULL,
  PRIMARY KEY (context, image)
) WITHOUT ROWID;
CREATE INDEX results_by_name ON results (name);
CREATE INDEX reports ON results (study) WHERE study IS NOT NULL;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_JOINED = "files LEFT JOIN results ON results.image = files.image AND results.context = :context"
# Files that have a row, with the first file by name that holds the same image. A file without an
# image has one only if the user named it.
_ROWS = f"""
SELECT files.file, sha256, identity, COALESCE(files.row, results.row), frames,
  (SELECT MIN(other.file) FROM files AS other WHERE other.image = files.image)
FROM {_JOINED}
WHERE files.row IS NOT NULL OR results.row IS NOT NULL AND (named OR NOT no_image)
"""  # noqa: S608 - made of the lines above


@dataclass(frozen=True)
class Entry:
    """What is known of a file's content."""

    sha256: str
    image: str
    identity: ClipIdentity


class Ledger:
    """The store of a run; a context manager. One process at a time has it open.

    Every method raises OutputError where the file cannot be read or written, for instance on a
    full disk.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make a ledger; None makes one that is gone when it is closed.

        Raises UnusableOutputError if another run has it open, or if it is damaged or of another
        version.
        """
        self._path = path
        self._where = "The temporary ledger" if path is None else printable(str(path))
        self._run, self._context = 0, ""
        try:
            # An empty name is a private file in the temporary folder.
            self._base = sqlite3.connect(path or "", isolation_level=None, timeout=0)
        except sqlite3.Error as error:
            raise UnusableOutputError(self._why_not(error)) from None
        try:
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            # Also after a power cut what is committed is there.
            self._base.execute("PRAGMA synchronous = FULL")
            # What is deleted is overwritten: identities may have been kept before a key was given.
            self._base.execute("PRAGMA secure_delete = ON")
            with self._transaction():  # takes the lock, which the connection keeps
                self._make_tables()
        except sqlite3.Error as error:
            self._base.close()
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
        # The lower byte is the kind; what lies above it tells how it came about.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return (
                f"{self._where} is in use: another run writes to this folder. Wait for its end, or "
                "name another output folder."
            )
        return (
            f"{self._where} cannot be used: {error}. Delete it to measure everything again, or "
            "name another output folder."
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do all or nothing."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Turn a failure to read or write the file into an OutputError."""
        try:
            yield self._base
        except sqlite3.Error as error:
            raise OutputError(
                f"{self._where} cannot be written: {error}. Check permissions and free space, then "
                "run the same command again: it goes on from here."
            ) from error

    def began(self, context: str) -> str | None:
        """Return when the first run of this context began, None if there was none."""
        return self._about().get(f"began {context}")

    def begin(self, context: str, who: str, *, at: str = "", fresh: bool = False) -> None:
        """Start a run, once it has a first file: one that finds nothing leaves all as it was.

        `context` is a digest of all that decides a result, `who` of what decides how files are
        told apart and their identities kept. Failures of this context are forgotten, to be tried
        again, and everything with `fresh`. `at` is the present time.
        """
        about = self._about()
        run = int(about.get("run", 0)) + 1
        began = f"began {context}"
        now = {"context": context, "who": who, "run": str(run), "complete": ""}
        if fresh or began not in about:
            now[began] = at
        with self._writing() as base, self._transaction():
            if fresh:
                base.execute("DELETE FROM results")
            base.execute("DELETE FROM results WHERE failed AND context = ?", (context,))
            if fresh or about.get("who") != who:
                base.execute("DELETE FROM files")
            base.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", now.items())
        self._run, self._context = run, context

    @property
    def begun(self) -> bool:
        """Tell whether this run has begun."""
        return self._run > 0

    def known(self, file: str, stamp: str) -> Entry | None:
        """Return what is known of a file that has not changed since, None if it has."""
        query = "SELECT sha256, image, identity FROM files WHERE file = :file AND stamp = :stamp"
        found = next(self._select(query, file=file, stamp=stamp), None)
        if found is None or found[0] is None:
            return None
        return Entry(found[0], found[1], ClipIdentity(**json.loads(found[2])))

    def add(self, file: str, stamp: str, entry: Entry, source: int, *, named: bool = False) -> bool:
        """List a file of this run, found in the source of that number; tell whether to measure it.

        It is not measured if its image has a result, or if another file of this run that is listed
        already has the same image.
        """
        query = (
            "SELECT 1 FROM results WHERE image = :image AND context = :context UNION ALL "
            "SELECT 1 FROM files WHERE image = :image AND run = :run AND file <> :file LIMIT 1"
        )
        there = next(self._select(query, image=entry.image, file=file), None)
        identity = _json(asdict(entry.identity))
        self._list(file, stamp, entry.sha256, entry.image, identity, None, named, source)
        return there is None

    def add_unreadable(self, record: ClipRecord, source: int) -> None:
        """List a file, or a folder, that cannot be read, with its row."""
        self._list(record.file, None, None, None, None, _json(record.row()), True, source)

    def _list(self, *values: str | int | None) -> None:
        with self._writing() as base:
            base.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, self._run),
            )

    def store(self, outcome: Outcome) -> None:
        """Keep the result of an image; whose it is stands with its files."""
        record = replace(outcome.record, file="", sha256=None, identity=None)
        frames = _json([frame_row(record, row) for row in outcome.frames])
        report = outcome.report
        values = {
            "context": self._context,
            "image": outcome.job.image,
            "row": _json(record.row()),
            "no_image": outcome.no_image,
            "frames": zlib.compress(frames.encode()),
            "name": outcome.job.name,
            "files": _json([*outcome.overlays, *outcome.dicom]),
            "missing": outcome.overlays_missing,
            "notes": _json(outcome.notes),
            "study": report and report.study_instance_uid and printable(report.study_instance_uid),
            "report": report and _json([asdict(value) for value in report.values]),
            "failed": record.best.status is Status.FAILED and not outcome.no_image,
            "run": self._run,
        }
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._writing() as base:
            # The names are those above.
            base.execute(f"INSERT OR REPLACE INTO results ({names}) VALUES ({marks})", values)  # noqa: S608

    def forget(self, image: str) -> None:
        """Forget the result of an image, which is to be measured again."""
        with self._writing() as base:
            base.execute(
                "DELETE FROM results WHERE image = ? AND context = ?", (image, self._context)
            )

    def record(self, file: str) -> ClipRecord | None:
        """Return a listed file's record; None while it is not measured, and if it is no image."""
        found = next(self._select(f"SELECT * FROM ({_ROWS}) WHERE file = :file", file=file), None)  # noqa: S608
        return None if found is None else ClipRecord.from_row(_row(found))

    def finish(self, seen: str) -> None:
        """Say that this run came to its end; forget files of former runs that it did not find.

        `seen` is a digest of the names of all files that were found, those of other shards too.
        """
        with self._writing() as base, self._transaction():
            base.execute("DELETE FROM files WHERE run < ?", (self._run,))
            now = {"complete": "yes", "seen": seen}
            base.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", now.items())

    def absorb(self, path: Path, *, first: bool) -> int:
        """Take in all that another ledger holds; the first one replaces what is here.

        Returns how many of its files hold no image. Raises UnusableOutputError if it cannot be
        read, is in use, has not come to its end, or is of another context, or of other files, than
        the first.
        """
        with Ledger(path) as other:
            about = other._about()
            other._context = about.get("context", "")
            without = sum(other.without_image().values())
        where = printable(str(path))
        if not about.get("complete"):
            raise UnusableOutputError(
                f"{where}: this shard has not come to its end. Run it again with --shard; it goes "
                "on where it was."
            )
        own = self._about()
        if not first and any(about[name] != own[name] for name in ("context", "who")):
            raise UnusableOutputError(
                f"{where} was measured with another model, version or settings than the first "
                "shard. Measure it again with the same."
            )
        if not first and about["seen"] != own["seen"]:
            raise UnusableOutputError(
                f"{where} found other files than the first shard: name the archive in the same way "
                "for every shard, and run those again that began before files were added."
            )
        with self._writing() as base:
            base.execute("ATTACH DATABASE ? AS other", (str(path),))
            try:
                with self._transaction():
                    self._take(base, about if first else None)
            finally:
                base.execute("DETACH DATABASE other")
        self._context = about["context"]
        return without

    @staticmethod
    def _take(base: sqlite3.Connection, about: dict[str, str] | None) -> None:
        if about is not None:
            for table in ("files", "results", "about"):
                base.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from this line
            base.executemany("INSERT INTO about VALUES (?, ?)", (about | {"run": "1"}).items())
        # Runs of shards count on their own; here all are the first.
        for table, update in (
            ("files", ""),
            # What one shard could read counts before what another could not.
            (
                "results",
                "AND NOT (failed AND EXISTS (SELECT 1 FROM results AS own WHERE "
                "own.context = theirs.context AND own.image = theirs.image AND NOT own.failed))",
            ),
        ):
            names = [name for _, name, *_ in base.execute(f"PRAGMA table_info({table})")]
            chosen = ", ".join("1" if name == "run" else name for name in names)
            base.execute(
                f"INSERT OR REPLACE INTO {table} SELECT {chosen} FROM other.{table} AS theirs "  # noqa: S608
                f"WHERE 1 {update}"
            )

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
        query = (
            "SELECT report FROM results WHERE study = :study AND context = :context "
            "AND image IN (SELECT image FROM files) ORDER BY image"
        )
        return [
            ScannerValue(**value | {"standing": Standing(value["standing"])})
            for (report,) in self._select(query, study=study)
            for value in json.loads(report)
        ]

    def frame_rows(self) -> Iterator[dict[str, Value]]:
        """Yield the rows of `frames`, sorted by file and frame, one at a time."""
        for file, sha256, _, _, frames, _ in self._select(f"{_ROWS} ORDER BY files.file"):
            for row in json.loads(zlib.decompress(frames)) if frames else ():
                yield row | {"file": file, "sha256": sha256}

    def files_of(self, image: str) -> list[str]:
        """Return the names of the pictures and DICOM results that an image has."""
        query = "SELECT files FROM results WHERE image = :image AND context = :context"
        found = next(self._select(query, image=image), None)
        return [] if found is None else json.loads(found[0])

    def has_file(self, name: str, *, now: bool) -> bool:
        """Tell whether an overlay or a DICOM result of that name belongs to a result.

        With `now`, to one in the tables; else also to one of other settings or of files that are
        gone for the moment.
        """
        query = "SELECT files FROM results WHERE name = :name"
        if now:
            query += " AND context = :context AND image IN (SELECT image FROM files)"
        found = self._select(query, name=name.partition("-")[0])
        return any(name in json.loads(names) for (names,) in found)

    def _sum(self, what: str) -> Iterator[tuple[Any, ...]]:
        return self._select(f"SELECT {what}")

    def notes(self) -> dict[str, int]:
        """Return why there are no DICOM results, and of how many files."""
        return dict(self._sum(f"value, COUNT(*) FROM {_JOINED}, json_each(notes) GROUP BY value"))

    def overlays_missing(self) -> int:
        """Return how many overlays could not be drawn."""
        ((missing,),) = self._sum(f"COALESCE(SUM(missing), 0) FROM {_JOINED}")
        return int(missing)

    def resumed(self) -> int:
        """Return how many files have a result that is older than this run."""
        where = "WHERE results.run < :run AND (named OR NOT no_image)"
        ((found,),) = self._sum(f"COUNT(*) FROM {_JOINED} {where}")
        return int(found)

    def without_image(self) -> dict[int, int]:
        """Return by source how many of its files hold no image, but those that were named."""
        where = "WHERE no_image AND NOT named GROUP BY source"
        return dict(self._sum(f"source, COUNT(*) FROM {_JOINED} {where}"))

    def _select(self, query: str, **values: str | int) -> Iterator[tuple[Any, ...]]:
        with self._writing() as base:
            yield from base.execute(query, {"context": self._context, "run": self._run} | values)

    def close(self) -> None:
        """Close the file and give back its lock; take away one that nothing was written to."""
        try:
            unused = self._path is not None and not self._about()
        finally:
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
