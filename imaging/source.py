"""Where a clip comes from: a file, or a member of a zip archive, which is read in place."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

from imaging.errors import ClipError, cause
from imaging.zip_archive import member_pieces, member_size

ZIP = ".zip"
MAX_IN_MEMORY = 2**25
"""Bytes; a larger member is copied to a temporary file."""


@dataclass(frozen=True)
class Stamp:
    """What tells without reading that a file has changed; a member has its archive's time."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, order=True)
class Source:
    """A file by its path, or a member of the zip archive at that path.

    The member's name is only a name: `..` and `/` in it lead nowhere.
    """

    path: Path
    member: str | None = None

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Self:
        """Return the source of a name; `archive.zip/folder/clip.dcm` is a member of that zip."""
        path = Path(path)
        for parent in path.parents:
            if parent.suffix.lower() == ZIP and os.path.isfile(parent):  # noqa: PTH113 - never raises
                return cls(parent, path.relative_to(parent).as_posix())
        return cls(path)

    @property
    def name(self) -> str:
        """The POSIX path; a member's goes on after its archive's: `archive.zip/folder/clip.dcm`."""
        path = self.path.as_posix()
        return path if self.member is None else f"{path}/{self.member}"

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def open(self) -> BinaryIO:
        """Open it for reading from any place. The caller closes it.

        A member is copied, up to MAX_IN_MEMORY to memory, beyond to an unnamed temporary file.

        Raises:
            ClipError: it cannot be opened, or is a member that is damaged, encrypted or beyond the
                limits of `imaging.zip_archive`.
        """
        if self.member is None:
            try:
                # unbuffered: a buffer would fetch 8 kB for each 8-byte look at a fragment
                return self.path.open("rb", buffering=0)
            except (OSError, ValueError) as error:
                why = "is a directory" if self.path.is_dir() else cause(error)
                raise ClipError(f"The file cannot be opened: {why}.") from None
        size = member_size(self.path, self.member)
        try:
            # unnamed and unbuffered, and gone when it is closed
            small = size <= MAX_IN_MEMORY
            file = BytesIO() if small else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _no_room(size, error) from None
        try:
            for data in member_pieces(self.path, self.member):
                _write(file, data, size)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def sha256(self) -> str:
        """Return the SHA-256 of the content in hexadecimal, read piece by piece.

        Raises:
            ClipError: it cannot be read.
        """
        if self.member is not None:
            digest = hashlib.sha256()
            for data in member_pieces(self.path, self.member):
                digest.update(data)
            return digest.hexdigest()
        try:
            with self.path.open("rb", buffering=0) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            raise ClipError(f"The file cannot be read: {cause(error)}.") from None

    def stamp(self) -> Stamp:
        """Return size and time of change, without reading the content.

        Raises:
            ClipError: it cannot be looked at.
        """
        try:
            found = self.path.stat()
        except (OSError, ValueError) as error:
            raise ClipError(f"The file cannot be read: {cause(error)}.") from None
        size = found.st_size if self.member is None else member_size(self.path, self.member)
        return Stamp(size, found.st_mtime_ns)

    def discard(self) -> None:
        """Give back a copy that was made for this source alone: of a file there is none."""


def as_source(source: "str | os.PathLike[str] | Source") -> Source:
    """Return a path as a Source, a Source as it is."""
    return source if isinstance(source, Source) else Source(Path(source))


def _write(file: BinaryIO, data: bytes, size: int) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise _no_room(size, error) from None


def _no_room(size: int, error: OSError) -> ClipError:
    return ClipError(
        f"This member of the archive needs a temporary copy of {size:,} bytes, which failed: "
        f"{error.strerror}. Make room, or point TMPDIR at a folder that has it."
    )
