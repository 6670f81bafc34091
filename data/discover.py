"""Finding what can be measured: files as they are named, folders as deep as they go."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What an image or a DICOM file is called, in lower case.
SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})
# A DICOM file says so at byte 128 (PS3.10 7.1); one without that preamble begins with a group of
# identifying elements, 0008, little or big endian.
_MAGIC_AT, _MAGIC = 128, b"DICM"
_BARE_STARTS = (b"\x08\x00", b"\x00\x08")


@dataclass(frozen=True)
class Found:
    """A file to measure; `named` by the user or found in a folder. With `problem`, a folder that
    cannot be read."""

    path: Path
    named: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A file in a folder that is neither DICOM nor an image."""

    path: Path


def discover(sources: Iterable[Path], leave_out: Path | None = None) -> Iterator[Found | Skipped]:
    """Yield every file to measure, folder by folder, names in order.

    A file named by the user is always yielded; in a folder, files that are no images are yielded
    as Skipped, hidden ones and DICOM directories likewise. A folder that cannot be listed is
    yielded with its problem. `leave_out` is the output folder, when it lies inside a source.
    """
    seen: set[Path] = set()
    barred = leave_out.resolve() if leave_out else None
    for source in sources:
        if not source.is_dir():
            known = source.resolve()
            if known not in seen:
                seen.add(known)
                yield Found(source, named=True)
            continue
        for item in _walk(source, barred):
            known = item.path.resolve()
            if known not in seen:
                seen.add(known)
                yield item


def _walk(folder: Path, barred: Path | None) -> Iterator[Found | Skipped]:
    problems: list[OSError] = []
    for name, folders, files in os.walk(folder, onerror=problems.append):
        here = Path(name)
        folders[:] = sorted(f for f in folders if (here / f).resolve() != barred)
        for file in sorted(files):
            path = here / file
            yield Found(path) if _is_candidate(path) else Skipped(path)
    for error in problems:
        yield Found(
            Path(error.filename or folder),
            problem=f"The folder cannot be listed: {error.strerror}. Check its permissions.",
        )


def _is_candidate(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
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
