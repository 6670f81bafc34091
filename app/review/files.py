"""Where the clips of a table lie now, and that they are still what was measured.

Only names in the table are ever opened, and a file counts only if its SHA-256 is the one that was
measured: a picture of another clip beside a number would be worse than none.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from app.review.clips import Entry
from app.review.settings import RefusedError
from imaging.clip import Clip, ClipError
from imaging.source import Source, Stamp

# Clips that are held open: going back and forth must not read headers again.
MOST_OPEN = 6
GONE = (
    "The file of this clip is not where it was measured. If the archive was moved, start the page "
    "with --archive FOLDER."
)
CHANGED = (
    "The file of this clip is not the one that was measured: its content changed. It is not shown "
    "beside a number that belongs to another picture. Measure the run again."
)


class Files:
    """Finds the files of clips and checks them; remembers both."""

    def __init__(self, run: Path, archive: Path | None) -> None:
        """Search in `archive` first, then where measure may have been run."""
        run = run.absolute()
        self._archive = archive
        self._starts = [Path.cwd(), run, *run.parents]
        self._lock = threading.Lock()
        self._good: dict[str, tuple[Source, Stamp]] = {}

    def find(self, entry: Entry) -> Source:
        """Return the file of a clip. Raises RefusedError (404) if it is gone or another.

        The whole file is read once; after that only its size and time are looked at.
        """
        wanted = entry.row["sha256"]
        if wanted is None:
            raise RefusedError(404, "The file of this clip could not be read when it was measured.")
        with self._lock:
            known = self._good.get(entry.id)
        if known is not None and _stamp(known[0]) == known[1]:
            return known[0]
        other = False
        for source in self._candidates(entry.file):
            stamp = _stamp(source)
            if stamp is None:
                continue
            with suppress(ClipError):
                if source.sha256() == wanted and _stamp(source) == stamp:
                    with self._lock:
                        self._good[entry.id] = (source, stamp)
                    return source
                other = True
        raise RefusedError(404, CHANGED if other else GONE)

    def _candidates(self, name: str) -> Iterator[Source]:
        parts = PurePosixPath(name).parts
        if self._archive is not None and ".." not in parts:
            inner = parts[1:] if PurePosixPath(name).is_absolute() else parts
            for skipped in range(len(inner)):
                yield Source.at(self._archive.joinpath(*inner[skipped:]))
        if Path(name).is_absolute():
            yield Source.at(name)
        else:
            for start in dict.fromkeys(self._starts):
                yield Source.at(start / name)


def _stamp(source: Source) -> Stamp | None:
    try:
        return source.stamp()
    except ClipError:
        return None


@dataclass
class Held:
    """An open clip. `lock` is held by whoever reads frames of it."""

    source: Source
    clip: Clip
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    dropped: bool = False


class OpenClips:
    """Keeps the clips that were used last open; a clip is closed when nobody uses it."""

    def __init__(self, files: Files) -> None:
        """Hold nothing yet."""
        self._files = files
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Held] = OrderedDict()

    @contextmanager
    def use(self, entry: Entry) -> Iterator[Clip]:
        """Give a clip to one thread at a time. Raises RefusedError (404), ClipError."""
        source = self._files.find(entry)
        held = self._take(entry.id, source)
        try:
            with held.lock:
                yield held.clip
        finally:
            self._give_back(held)

    def _take(self, key: str, source: Source) -> Held:
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.source == source:
                self._held.move_to_end(key)
                held.users += 1
                return held
        clip = Clip.open(source)
        with self._lock:
            there = self._held.pop(key, None)
            if there is not None:
                self._drop(there)
            held = self._held[key] = Held(source, clip, users=1)
            while len(self._held) > MOST_OPEN:
                self._drop(self._held.popitem(last=False)[1])
        return held

    def _drop(self, held: Held) -> None:
        held.dropped = True
        if held.users == 0:
            held.clip.close()

    def _give_back(self, held: Held) -> None:
        with self._lock:
            held.users -= 1
            if held.dropped and held.users == 0:
                held.clip.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._held:
                self._drop(self._held.popitem()[1])
