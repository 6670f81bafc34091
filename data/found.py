"""What a search comes upon, and what name and first bytes tell about a file."""

import errno
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from imaging.source import ZIP, Source

# What an image or a DICOM file is called, in lower case.
SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})
# Archives that are not read; a zip is.
ARCHIVES = frozenset({".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"})
DICOMDIR = "DICOMDIR"
# A DICOM file says so at byte 128 (PS3.10 7.1); one without that preamble begins with a group of
# identifying elements, 0008, little or big endian.
_MAGIC_AT, _MAGIC = 128, b"DICM"
_BARE_STARTS = (b"\x08\x00", b"\x00\x08")
START = _MAGIC_AT + len(_MAGIC)
_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP)  # links to what is not there, or to themselves


@dataclass(frozen=True)
class Found:
    """A file to measure; `named` by the user or found in a folder or an archive.

    With `problem`, a file, a folder or an archive that cannot be read, and why. `fetch` brings what
    lies elsewhere to the source's path, if it is not there; it raises ClipError.
    """

    source: Source
    named: bool = False
    problem: str | None = None
    fetch: Callable[[], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Skipped:
    """Neither DICOM nor an image, or hidden; an `archive` of a kind that is not read might hold
    some."""

    source: Source
    archive: bool = False


@dataclass(frozen=True)
class Searched:
    """A folder, a zip, a DICOMDIR or a server named by the user has been searched to its end.

    `files` to measure were found in it, also those that another source yields. `elsewhere`: links
    in it lead to folders that are searched by another name.
    """

    path: Path | str
    files: int
    elsewhere: bool = False


def is_hidden(name: str) -> bool:
    """Tell whether a file or a folder is not meant to be seen; __MACOSX holds a Mac's notes."""
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def is_zip(path: PurePath) -> bool:
    """Tell from its name whether a file is a zip archive."""
    return path.suffix.lower() == ZIP


def is_archive(path: PurePath) -> bool:
    """Tell from its name whether a file is an archive of a kind that is not read."""
    return path.suffix.lower() in ARCHIVES


def look(path: Path) -> Found | Skipped:
    """Decide about a file in a folder; a zip is found, not opened."""
    if is_hidden(path.name) or path.name.upper() == DICOMDIR:
        return Skipped(Source(path))
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno not in _LEADS_NOWHERE:
            return Found(Source(path), problem=f"The file cannot be read: {error.strerror}.")
        is_file = False
    if not is_file or is_archive(path):
        return Skipped(Source(path), archive=is_file)
    return Found(Source(path)) if is_zip(path) or _is_image(path) else Skipped(Source(path))


def has_image_name(path: PurePath) -> bool:
    """Tell from its name alone that a file is meant as an image."""
    return path.suffix.lower() in SUFFIXES


def has_image_start(start: bytes, path: PurePath) -> bool:
    """Tell from its first START bytes whether a file is DICOM, whatever its name."""
    return start[_MAGIC_AT:] == _MAGIC or (
        start[:2] in _BARE_STARTS and path.suffix == "" and len(start) > _MAGIC_AT
    )


def _is_image(path: Path) -> bool:
    if has_image_name(path):
        return True
    try:
        with path.open("rb") as file:
            return has_image_start(file.read(START), path)
    except OSError:
        return True  # the reader will say what is wrong with it
