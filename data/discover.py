"""Finding what can be measured: files as they are named, folders as deep as they go."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What an image or a DICOM file is called, in lower case.
SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"})
# Where a run puts its pictures, inside its output folder: they are never taken for input.
OVERLAYS = "overlays"
# A DICOM file says so at byte 128 (PS3.10 7.1); one without that preamble begins with a group of
# identifying elements, 0008, little or big endian.
_MAGIC_AT, _MAGIC = 128, b"DICM"
_BARE_STARTS = (b"\x08\x00", b"\x00\x08")
_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP)  # links to what is not there, or to themselves


@dataclass(frozen=True)
class Found:
    """A file to measure; `named` by the user or found in a folder.

    With `problem`, a file or a folder that cannot be read, and why.
    """

    path: Path
    named: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A file in a folder that is neither DICOM nor an image; an archive might hold some."""

    path: Path
    archive: bool = False


@dataclass(frozen=True)
class Searched:
    """A folder named by the user has been searched to its end.

    `files` to measure were found in it, also those that another source had yielded before.
    """

    folder: Path
    files: int


def discover(
    sources: Iterable[Path], leave_out: Path | None = None
) -> Iterator[Found | Skipped | Searched]:
    """Yield every file to measure, folder by folder, names in order; never raises for a source.

    A file named by the user is always yielded, with its problem if it cannot be one to measure.
    In a folder, files that are no images are yielded as Skipped, hidden ones, DICOM directories,
    links that lead nowhere and what is no regular file likewise. A folder that cannot be listed
    and a file that cannot be looked at are yielded with their problem. Every folder that was named
    ends with a Searched. `leave_out` is the output folder: below a source it is not entered, and
    its overlays are left out even if it is a source itself.
    """
    seen: set[str] = set()
    output = _real(leave_out) if leave_out else None
    overlays = _real(leave_out / OVERLAYS) if leave_out else None
    for source in sources:
        named = _named(source)
        if named is not None:
            if _is_new(source, seen):
                yield named
            continue
        files = 0
        if _real(source) != overlays:
            for item in _walk(source, {output, overlays}):
                files += isinstance(item, Found)
                if _is_new(item.path, seen):
                    yield item
        yield Searched(source, files)


def _real(path: Path) -> str:
    try:
        return os.path.realpath(path)  # Path.resolve raises for links in a circle
    except (OSError, ValueError):
        return str(path)


def _is_new(path: Path, seen: set[str]) -> bool:
    """Tell whether a file was not there before, under any name, and keep it in `seen`."""
    before = len(seen)
    seen.add(_real(path))
    return len(seen) > before


def _named(source: Path) -> Found | None:
    """Return what the user named; None for a folder, which is to be searched."""
    problem = None
    try:
        mode = source.stat().st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Found(source, True, f"The file cannot be read: {why}. Check name and permissions.")
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        problem = "This is a pipe, a socket or a device. Save the clip as a file and name that."
    elif source.name.upper() == "DICOMDIR":
        problem = "endometer does not read a DICOMDIR yet: name the folder that it lies in."
    elif source.suffix.lower() in ARCHIVES:
        problem = "endometer does not read inside archives yet: unpack it and name the folder."
    return Found(source, True, problem)


def _walk(folder: Path, barred: set[str | None]) -> Iterator[Found | Skipped]:
    problems: list[OSError] = []
    for name, folders, files in os.walk(folder, onerror=problems.append):
        here = Path(name)
        folders[:] = sorted(f for f in folders if _real(here / f) not in barred)
        for file in sorted(files):
            yield _look(here / file)
    for error in problems:
        yield Found(
            Path(error.filename or folder),
            problem=f"The folder cannot be listed: {error.strerror}. Check its permissions.",
        )


def _look(path: Path) -> Found | Skipped:
    """Decide about a file in a folder."""
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return Skipped(path)
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno not in _LEADS_NOWHERE:
            return Found(path, problem=f"The file cannot be read: {error.strerror}.")
        is_file = False
    if not is_file or path.suffix.lower() in ARCHIVES:
        return Skipped(path, archive=is_file)
    return Found(path) if _is_image(path) else Skipped(path)


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_AT + len(_MAGIC))
    except OSError:
        return True  # the reader will say what is wrong with it
    return start[_MAGIC_AT:] == _MAGIC or (
        start[:2] in _BARE_STARTS and path.suffix == "" and len(start) > _MAGIC_AT
    )
