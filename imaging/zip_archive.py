"""Zip archives read in place: what is in them, and the bytes of one member.

Nothing is unpacked to a name that an archive chooses. An archive may be made to harm, so its
directory, the number of its members and what they expand to are limited, and no archive inside
another is entered. Only plain Deflate is read: of the other methods zipfile expands a piece of
any size at once.
"""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from imaging.errors import ClipError

MAX_DIRECTORY = 2**24  # bytes; 100,000 members with long names fit, and it is parsed as a whole
MAX_MEMBERS = 100_000
MAX_MEMBER = 2**33  # bytes; a long uncompressed cine has 1.4 GB
# A speckled picture deflates to a half or a third, a drawn one to a hundredth; a bomb to a
# thousandth. What expands to little does no harm whatever its ratio.
MAX_RATIO, RATIO_FROM = 200, 2**26
# Deflate cannot do better than 1032 : 1; members that overlap can.
MAX_TOTAL_RATIO = 1100

_PIECE = 2**20
_ENCRYPTED = 0x1
_UNIX = 3


@dataclass(frozen=True)
class Member:
    """An entry of an archive that is a file. `size` is what the archive says, in bytes."""

    name: str
    size: int
    encrypted: bool
    link: bool


class _Guarded(io.BufferedReader):
    """A file of which nobody can read much at once: zipfile reads a directory of any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        unlimited = size is None or not 0 <= size <= MAX_DIRECTORY
        data = super().read(MAX_DIRECTORY + 1 if unlimited else size)
        if len(data) > MAX_DIRECTORY:
            raise ClipError(
                f"The archive's directory has more than {MAX_DIRECTORY:,} bytes. "
                "Unpack the archive and name the folder."
            )
        return data


class _Archive(zipfile.ZipFile):
    """An open archive that closes its file when nobody uses it any more."""

    def __init__(self, path: str) -> None:
        self._guarded = _Guarded(io.FileIO(path))
        try:
            super().__init__(self._guarded)
        except BaseException:
            self._guarded.close()
            raise

    def close(self) -> None:
        super().close()
        self._guarded.close()


def members(path: Path) -> list[Member]:
    """Return the files in an archive, sorted by name; of several of one name, the last counts.

    Raises:
        ClipError: the archive is damaged, or beyond the limits above.
    """
    archive = _open(path)
    return [
        Member(name, info.file_size, bool(info.flag_bits & _ENCRYPTED), _is_link(info))
        for name, info in sorted(archive.NameToInfo.items())
        if name and not info.is_dir()  # zipfile looks at the last letter of the name
    ]


def member_size(path: Path, name: str) -> int:
    """Return the size of a member as the archive states it, in bytes, within the limits.

    Raises:
        ClipError: there is no such member, or it is encrypted, compressed in another way than
            Deflate, or beyond the limits.
    """
    return _checked(_open(path), name).file_size


def member_pieces(path: Path, name: str, piece: int = _PIECE) -> Iterator[bytes]:
    """Yield the bytes of a member, piece by piece; its checksum is compared at the end.

    Raises:
        ClipError: as `member_size`, or the member is damaged.
    """
    archive = _open(path)
    info = _checked(archive, name)
    there = 0
    try:
        with archive.open(info) as file:
            while data := file.read(piece):
                there += len(data)
                yield data
    except OSError as error:
        raise ClipError(f"The archive cannot be read: {error.strerror}.") from None
    except ClipError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes raise anything; names may be quoted
        raise _damaged(f"This member of the archive ({type(error).__name__})") from None
    if there != info.file_size:
        raise _damaged(f"This member has {there:,} bytes instead of {info.file_size:,}: it")


def member_start(path: Path, name: str, size: int) -> bytes:
    """Return the first bytes of a member, at most `size`; raises ClipError as `member_pieces`."""
    for data in member_pieces(path, name, size):
        return data
    return b""


def _open(path: Path) -> zipfile.ZipFile:
    try:
        found = path.stat()
        version = (found.st_mtime_ns, found.st_size, found.st_ino, os.getpid())
        return _opened(os.fspath(path), version)
    except OSError as error:
        raise ClipError(f"The archive cannot be read: {error.strerror}.") from None
    except ClipError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _damaged(f"The zip archive ({type(error).__name__})") from None


@lru_cache(maxsize=2)
def _opened(path: str, version: tuple[int, ...]) -> zipfile.ZipFile:
    """Open and check an archive; kept, because a directory of many members takes a second to read.

    The process is part of the key: after a fork both would move the one position of one file.
    """
    archive = _Archive(path)
    count, total = len(archive.filelist), sum(info.file_size for info in archive.filelist)
    if count > MAX_MEMBERS:
        raise ClipError(
            f"The archive has {count:,} members, more than {MAX_MEMBERS:,}. "
            "Unpack it and name the folder."
        )
    if total > MAX_TOTAL_RATIO * version[1]:
        raise ClipError(
            f"The archive of {version[1]:,} bytes says that it expands to {total:,}, which is "
            "impossible without a trick: it may be made to harm and is not read."
        )
    return archive


def _checked(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ClipError("There is no member of this name in the archive.") from None
    if info.flag_bits & _ENCRYPTED:
        raise ClipError(
            "This member of the archive is encrypted. Unpack it with its password and name the "
            "folder."
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ClipError(
            f"This member of the archive is compressed by method {info.compress_type}; only "
            "Deflate is read inside archives. Unpack it and name the folder."
        )
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > MAX_MEMBER or (info.file_size > RATIO_FROM and ratio > MAX_RATIO):
        raise ClipError(
            f"This member of the archive expands from {info.compress_size:,} to "
            f"{info.file_size:,} bytes, which is not believed of a clip. If it is one, unpack it "
            "and name the folder."
        )
    return info


def _is_link(info: zipfile.ZipInfo) -> bool:
    return info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16)


def _damaged(what: str) -> ClipError:
    return ClipError(f"{what} is damaged or no zip. Copy or export it again.")
