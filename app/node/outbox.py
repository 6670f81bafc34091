"""Results on their way: one row for each result and destination, in an SQLite file.

A result is `waiting` until its destination has said that it has it, then `sent`. A failure counts
an attempt and sets when the next is due; nothing is ever given up. A row and the mark that its
study is done are one transaction, and the copy of the result lies in `outbox/` before it: whatever
moment the process dies in, the next one either queues the result again, under the same SOP
Instance UID and so as the same row, or goes on sending. A result that was sent while the process
died is sent again: as the same object, which an archive keeps once.
"""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.node.archive import sync_folder
from app.node.settings import NodeError
from app.node.sinks import SUFFIX
from app.node.steps import reached

NAME, FOLDER = "node.sqlite", "outbox"
FORMAT = 1
LONGEST_PAUSE = 15 * 60.0
_SCHEMA = """
CREATE TABLE studies (study TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
  uid TEXT, destination TEXT, name TEXT NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL, due REAL NOT NULL, error TEXT,
  PRIMARY KEY (uid, destination)
) WITHOUT ROWID;
CREATE INDEX results_by_state ON results (destination, state, due);
CREATE INDEX results_by_name ON results (name);
"""


@dataclass(frozen=True)
class Item:
    """A result that is to be sent to one destination: its SOP Instance UID and its file."""

    uid: str
    destination: str
    path: Path
    attempts: int


@dataclass(frozen=True)
class Result:
    """A DICOM result as the run wrote it."""

    uid: str
    path: Path


class Outbox:
    """The queue of one node; any thread may use it."""

    def __init__(
        self, folder: Path, retry_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Open or make it. What waits is due at once. Raises NodeError, OSError."""
        self._files = folder / FOLDER
        self._files.mkdir(exist_ok=True, mode=0o700)
        self._retry, self._clock = retry_seconds, clock
        self._lock = threading.Lock()
        path = folder / NAME
        try:
            self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")  # committed is on the disk
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._base.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;"
                )
            elif version != FORMAT:
                raise sqlite3.DatabaseError(f"it has format {version}, not {FORMAT}")
            self._base.execute("UPDATE results SET due = 0 WHERE state = 'waiting'")
        except sqlite3.Error as error:
            raise NodeError(f"{path} cannot be used: {error}.") from None
        self._clear()

    def _clear(self) -> None:
        """Take away copies of results that nobody waits for."""
        wanted = {
            name
            for (name,) in self._base.execute("SELECT name FROM results WHERE state = 'waiting'")
        }
        for path in self._files.iterdir():
            if path.name not in wanted:
                path.unlink()

    def is_done(self, study: str, digest: str) -> bool:
        """Tell whether the results of a study with just these objects are queued."""
        query = "SELECT 1 FROM studies WHERE study = ? AND digest = ?"
        with self._lock:
            return self._base.execute(query, (study, digest)).fetchone() is not None

    def names(self) -> set[str]:
        """Return the file names of all results that were ever queued."""
        with self._lock:
            return {name for (name,) in self._base.execute("SELECT DISTINCT name FROM results")}

    def queue(
        self, done: dict[str, str], results: Iterable[Result], destinations: Iterable[str]
    ) -> int:
        """Queue results for every destination, and mark their studies as done, in one step.

        `done` is the digest of every study. A result that was queued before stays as it is. Returns
        how many rows are new. Raises OSError, sqlite3.Error; nothing is queued then.
        """
        where, rows = list(destinations), []
        for result in results if where else ():
            temporary = self._files / f"{result.path.name}{SUFFIX}"
            shutil.copyfile(result.path, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(self._files / result.path.name)
            rows += [(result.uid, name, result.path.name) for name in where]
            reached("copied")
        sync_folder(self._files)
        with self._lock, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            before = self._base.total_changes
            self._base.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, 'waiting', 0, 0, NULL)", rows
            )
            new = self._base.total_changes - before
            self._base.executemany("INSERT OR REPLACE INTO studies VALUES (?, ?)", done.items())
        reached("queued")
        return new

    def due(self, destination: str, most: int = 100) -> list[Item]:
        """Return what is to be sent now, longest due first."""
        query = (
            "SELECT uid, name, attempts FROM results WHERE destination = ? AND state = 'waiting' "
            "AND (due <= ? OR due > ?) ORDER BY due, uid LIMIT ?"
        )
        now = self._clock()  # one that was set back makes nothing wait longer than it may
        with self._lock:
            found = self._base.execute(
                query, (destination, now, now + LONGEST_PAUSE, most)
            ).fetchall()
        return [
            Item(uid, destination, self._files / name, attempts) for uid, name, attempts in found
        ]

    def sent(self, item: Item) -> None:
        """Say that a destination has a result; take the copy away once all have it."""
        reached("sent")
        with self._lock:
            self._base.execute(
                "UPDATE results SET state = 'sent', error = NULL, attempts = attempts + 1 "
                "WHERE uid = ? AND destination = ?",
                (item.uid, item.destination),
            )
            query = "SELECT 1 FROM results WHERE name = ? AND state = 'waiting'"
            wanted = self._base.execute(query, (item.path.name,)).fetchone()
            reached("marked")
            if wanted is None:
                item.path.unlink(missing_ok=True)

    def failed(self, item: Item, error: str) -> float:
        """Say that a delivery failed, in words without identity; return the pause in seconds."""
        pause = self.pause(item.attempts)
        with self._lock:
            self._base.execute(
                "UPDATE results SET attempts = attempts + 1, due = ?, error = ? "
                "WHERE uid = ? AND destination = ?",
                (self._clock() + pause, error[:200], item.uid, item.destination),
            )
        return pause

    def pause(self, failures: int) -> float:
        """Return how long to wait, in seconds, after so many failures and one more."""
        return min(LONGEST_PAUSE, self._retry * 2.0 ** min(failures, 20))

    def count(self, destination: str, state: str) -> int:
        """Return how many results of a destination are in a state."""
        query = "SELECT COUNT(*) FROM results WHERE destination = ? AND state = ?"
        with self._lock:
            return int(self._base.execute(query, (destination, state)).fetchone()[0])

    def stranded(self, destinations: Iterable[str]) -> int:
        """Return how many results wait for a destination that is none of these."""
        known = list(destinations)
        marks = ", ".join("?" * len(known))
        query = "SELECT COUNT(*) FROM results WHERE state = 'waiting' AND destination NOT IN "
        with self._lock:
            return int(self._base.execute(f"{query}({marks})", known).fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self._base.close()
