"""Objects on their way in: each is written to a file as it comes, so that none is held in memory.

pynetdicom does that itself if told so (STORE_RECV_CHUNKED_DATASET), but into the system's folder
for temporary files, without a limit, and a full disk ends its thread. A Sink takes the place of its
temporary file: it drops what is over the limit and remembers why, and never raises, so that the
sender hears a status instead of a broken connection.
"""

import logging
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

LOG = logging.getLogger("endometer.node")
SUFFIX = ".part"
# Objects that one connection may have on their way: senders wait for an answer before the next.
MOST = 4
# Bytes between two looks at how much of the disk is free.
STRIDE = 16 * 2**20


class TooManyError(Exception):
    """A connection begins objects without end."""


class Sink:
    """One incoming object; the part of NamedTemporaryFile that pynetdicom uses.

    `problem` is None, "too large" or "disk"; `size` counts the bytes that came, kept or not.
    """

    def __init__(self, folder: Path, limit: int, free: int = 0) -> None:
        """Open a new file of its own, while `free` bytes of the disk are. Never raises."""
        self.path = folder / f"{token_hex(16)}{SUFFIX}"
        self.name = str(self.path)
        self.limit, self.size = limit, 0
        self._free, self._looked = free, 0
        self.problem: str | None = None
        self.owner = threading.current_thread()
        self.file = self  # pynetdicom flushes `.file`
        try:
            self._file: Any = self.path.open("xb")
        except OSError as error:
            self._file = None
            self._failed("disk", error)
        self._look()

    def _look(self) -> None:
        """See whether there is room for more."""
        if self.problem is None and shutil.disk_usage(self.path.parent).free < self._free:
            self._failed("disk")

    def write(self, content: bytes) -> int:
        """Keep the bytes, if there is no problem yet."""
        self.size += len(content)
        if self.problem is None and self.size > self.limit:
            self._failed("too large")
        if self.size - self._looked > STRIDE:
            self._looked = self.size
            self._look()
        if self.problem is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._failed("disk", error)
        return len(content)

    def tell(self) -> int:
        """Return how many bytes came."""
        return self.size

    def flush(self) -> None:
        """Leave it to `finish`: a system call per fragment would halve the rate."""

    def finish(self) -> None:
        """Hand all bytes to the operating system. Raises OSError."""
        self._file.flush()

    def fileno(self) -> int:
        """Return the number of the open file."""
        return int(self._file.fileno())

    def _failed(self, problem: str, error: OSError | None = None) -> None:
        """Remember the first problem, and give the disk back what was written."""
        self.problem = problem
        if error is not None:
            LOG.error("an object cannot be written: %s", error.strerror)
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the second time do nothing."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:  # what was buffered had no room
                self.problem = self.problem or "disk"
                LOG.error("an object cannot be written: %s", error.strerror)


@dataclass
class Sinks:
    """All objects on their way in, found by their path."""

    folder: Path
    limit: int
    """Bytes of one object."""
    free: int = 0
    """Bytes of the disk that stay free."""
    _open: dict[str, Sink] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, **_: Any) -> Sink:
        """Return a new sink: what pynetdicom calls in place of NamedTemporaryFile.

        Raises TooManyError for a connection that has begun too many.
        """
        owner = threading.current_thread()
        with self._lock:
            if sum(sink.owner is owner for sink in self._open.values()) >= MOST:
                raise TooManyError
        sink = Sink(self.folder, self.limit, self.free)
        with self._lock:
            self._open[sink.name] = sink
        return sink

    def take(self, path: Path) -> Sink:
        """Return the sink of an object that has come whole."""
        with self._lock:
            return self._open.pop(str(path))

    def abandon(self, owner: threading.Thread | None = None) -> int:
        """Take away what an association left that ended in the middle; return how many.

        Without `owner`, what threads left that are gone: an end is not always told.
        """
        with self._lock:
            left = [
                sink
                for sink in self._open.values()
                if sink.owner is owner or (owner is None and not sink.owner.is_alive())
            ]
            for sink in left:
                del self._open[sink.name]
        for sink in left:
            sink.close()
            sink.path.unlink(missing_ok=True)
        return len(left)

    def clear(self) -> int:
        """Take away what a killed node left; return how many."""
        left = list(self.folder.glob(f"*{SUFFIX}"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)
