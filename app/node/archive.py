"""The clips that a node keeps: each under a name that only its UIDs decide, never overwritten.

`clips/STUDY/OBJECT.dcm`, both the first 40 digits of the SHA-256 of their UID, so that nothing a
sender says becomes part of a path. An object is written to `incoming/` on the same file system,
flushed to the disk (fsync), given its name (rename), and its folder is flushed: only then does the
sender hear success.

Rule for an object that is there already (same SOP Instance UID): equal bytes are a success, and
kept once. Other bytes break PS3.5 section 9 (a UID names one object for ever); which of the two is
right nobody here can know. The first stays and is measured. The other is kept in `conflicts/`,
never measured, logged and counted.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from app.node.sinks import Sink
from app.node.steps import reached

CLIPS, INCOMING, CONFLICTS = "clips", "incoming", "conflicts"
DIGITS = 40


class Kept(StrEnum):
    """What became of an object."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


def key_of(uid: str) -> str:
    """Return the name that a UID gives to a file or folder."""
    return hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Archive:
    """The clips in a node's folder; one process has it, any thread may use it."""

    def __init__(self, folder: Path) -> None:
        """Make the folders and see what is there. Raises OSError."""
        self.clips, self.incoming = folder / CLIPS, folder / INCOMING
        self.conflicts = folder / CONFLICTS
        for each in (self.clips, self.incoming, self.conflicts):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in (folder, folder.parent):
            sync_folder(each)
        self._lock = threading.Lock()
        self._named: set[Path] = set()
        """Folders of objects whose own names are on the disk for sure."""
        self._places = {path.stem: path for path in self.clips.glob("*/*.dcm")}

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self._places)

    def studies(self) -> Iterator[str]:
        """Yield the keys of all studies."""
        with self._lock:
            keys = {path.parent.name for path in self._places.values()}
        yield from sorted(keys)

    def digest(self, study: str) -> str:
        """Return a digest of which objects a study has."""
        names = sorted(path.name for path in (self.clips / study).glob("*.dcm"))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def keep(self, sink: Sink, object_uid: str, study_uid: str) -> Kept:
        """Put an object that has come whole on the disk for good. Raises OSError."""
        sink.finish()
        reached("received")
        os.fsync(sink.fileno())
        sink.close()
        reached("synced")
        key = key_of(object_uid)
        folder = self.clips / key_of(study_uid)
        with self._lock:  # so that two senders of one UID do not meet between look and rename
            former = self._places.get(key)
            if former is not None and not former.exists():  # somebody has taken it away
                former = None
            if former is None:
                folder.mkdir(mode=0o700, exist_ok=True)
                there = self._places[key] = folder / f"{key}.dcm"
                sink.path.rename(there)
                reached("renamed")
        kept = Kept.STORED
        if former is not None:
            kept, there = self._again(sink.path, former)
        # For a duplicate, too: its twin may have its name, but not yet on the disk.
        if there.parent not in self._named:
            sync_folder(there.parent.parent)
            self._named.add(there.parent)
        sync_folder(there.parent)
        reached("stored")
        return kept

    def _again(self, path: Path, there: Path) -> tuple[Kept, Path]:
        """Keep an object whose UID is known; return what it is and where it lies. Raises OSError.

        No lock: what has its name is never written again.
        """
        if (content := _content(path)) == _content(there):
            path.unlink()
            return Kept.DUPLICATE, there
        apart = self.conflicts / f"{there.stem}-{content[:DIGITS]}.dcm"
        kept = Kept.DUPLICATE if apart.exists() else Kept.CONFLICT
        path.rename(apart)
        return kept, apart


def _content(path: Path) -> str:
    """Return the SHA-256 of an object: transfer syntax, and bytes after the meta information.

    The rest of that is the receiver's own, with its version (PS3.10 7.1).
    """
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    digest = hashlib.sha256(str(meta.TransferSyntaxUID).encode())
    with path.open("rb") as file:
        # Preamble and magic word; then the element that holds the length of all others
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
