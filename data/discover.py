"""Finding what can be measured: files as they are named, folders as deep as they go, zips.

Memory does not grow with the archive: it holds the names in one folder (or in one zip) at a time,
and of the past only the links that were followed. That is enough to yield no file twice: two plain
paths lead to one file only if their sources overlap, which is seen by folder.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.containers import dicomdir_items, zip_items
from data.found import DICOMDIR, Found, Searched, Skipped, is_archive, is_hidden, is_zip, look
from imaging.source import Source

__all__ = ["OVERLAYS", "Found", "Searched", "Skipped", "discover"]

# Where a run puts its pictures, inside its output folder: they are never taken for input.
OVERLAYS = "overlays"


def discover(
    sources: Iterable[Path], leave_out: Path | None = None
) -> Iterator[Found | Skipped | Searched]:
    """Yield every file to measure, folder by folder, names in order; never raises for a source.

    A file named by the user is always yielded, with its problem if it cannot be one to measure; so
    is a member, named as `archive.zip/folder/clip.dcm`. A zip is searched, wherever it is. A
    DICOMDIR that is named yields the files that it lists; in a folder it is skipped, because its
    files lie there too.
    In a folder, files that are no images are yielded as Skipped; hidden files and folders, links
    that lead nowhere and what is no regular file likewise. A folder that cannot be listed and a
    file that cannot be looked at are yielded with their problem. Every folder, zip and DICOMDIR
    that was named ends with a Searched.
    Links to files and folders are followed, except to a folder in which the link itself lies. What
    they lead to is yielded once, by its own name if it lies in a source; a hard link is a name of
    its own. `leave_out` is the output folder: below a source it is not entered, and its overlays
    are left out even if it is a source itself.
    """
    search = _Search(tuple(sources), leave_out)
    for number, source in enumerate(search.sources):
        yield from search.source(number, source)


class _Search:
    """What a search has to remember."""

    def __init__(self, sources: tuple[Path, ...], leave_out: Path | None) -> None:
        self.sources = sources
        self.files, self.elsewhere = 0, False  # as in Searched, of the source at hand
        self._overlays = _real(leave_out / OVERLAYS) if leave_out else None
        barred = (_real(leave_out), self._overlays) if leave_out else ()
        self._barred = frozenset(barred)
        # Folders to search by their real paths, in order: those named, then those links lead to.
        self._roots: dict[Path, int] = {}
        self._named: set[Path] = set()  # real paths of the files among the sources
        self._next = len(sources)
        for number, source in enumerate(sources):
            real = _real(source)
            if os.path.isdir(source):  # noqa: PTH112 - never raises
                self._roots.setdefault(real, number)
            else:
                self._named.add(real)
        self._done: set[Path] = set()  # those of `named` that had their turn
        self._linked: set[bytes] = set()  # digests of real paths that links or DICOMDIRs led to

    def source(self, number: int, source: Path) -> Iterator[Found | Skipped | Searched]:
        """Search what the user named."""
        self.files, self.elsewhere = 0, False
        real = _real(source)
        named = _named(source)
        if named is None:
            if real != self._overlays:
                yield from self._walk(source, real, number)
            yield Searched(source, self.files, self.elsewhere)
            return
        is_new = real not in self._done
        self._done.add(real)
        if named.problem is None and named.source.member is None and is_zip(source):
            yield from self._counted(zip_items(source), is_new)
        elif named.problem is None and source.name.upper() == DICOMDIR:
            for item in dicomdir_items(source):
                is_own = item.source.path == source  # a fault of the DICOMDIR itself
                yield from self._counted([item], is_new and (is_own or self._is_first(item)))
        else:
            if is_new:
                yield named
            return
        yield Searched(source, self.files)

    def _counted(self, items: Iterable[Found | Skipped], is_new: bool) -> Iterator[Found | Skipped]:
        for item in items:
            self.files += isinstance(item, Found)
            if is_new:
                yield item

    def _walk(self, folder: Path, real: Path, number: int) -> Iterator[Found | Skipped]:
        """Search a folder: its files, then its folders. `number` is that of its root."""
        pending = [(folder, real, number)]
        while pending:
            folder, real, number = pending.pop()
            owner = self._owner(real)
            if owner != number and number >= len(self.sources):
                continue  # a link led here around a source; those named are counted all the same
            files, folders, error = _list(folder)
            if error and owner == number:
                yield Found(
                    Source(Path(error.filename or folder)),
                    problem=f"The folder cannot be listed: {error.strerror}. "
                    "Check its permissions.",
                )
            for name, is_link in files:
                yield from self._file(folder / name, real, is_link, owner == number)
            below = []
            for name, is_link in folders:
                if is_hidden(name):
                    if owner == number:
                        yield Skipped(Source(folder / name))
                elif is_link:
                    below += self._linked_folder(folder / name, real)
                elif real / name not in self._barred:
                    below.append((folder / name, real / name, number))
            pending += reversed(below)

    def _linked_folder(self, link: Path, holder: Path) -> list[tuple[Path, Path, int]]:
        """Return the folder that a link in the real folder `holder` leads to, if it is new."""
        real = _real(link)
        if real in (holder, *holder.parents) or self._is_barred(real):
            return []
        if self._owner(real) is not None:
            self.elsewhere = True
            return []
        self._roots[real] = self._next
        self._next += 1
        return [(link, real, self._roots[real])]

    def _file(
        self, path: Path, folder: Path, is_link: bool, is_new: bool
    ) -> Iterator[Found | Skipped]:
        """Decide about a file in a real folder, `is_new` unless another source yields that."""
        item = look(path)
        if isinstance(item, Skipped):
            if is_new:
                yield item
            return
        if is_link:
            real = _real(path)
            if self._is_barred(real.parent):
                return
            is_new = is_new and self._is_first(item)
        else:
            real = folder / path.name
            is_new = is_new and real not in self._named
            is_new = is_new and not (self._linked and _digest(real) in self._linked)
        whole = item.problem is None and is_zip(path)
        yield from self._counted(zip_items(path) if whole else [item], is_new)

    def _is_first(self, item: Found) -> bool:
        """Tell whether a file behind a link or a DICOMDIR comes by no other way, and remember it.

        It comes by its own name if it lies in a folder that is searched, and is found there.
        """
        real = _real(item.source.path)
        if real in self._named:
            return False
        if self._owner(real.parent) is not None and isinstance(look(real), Found):
            return False
        before = len(self._linked)
        self._linked.add(_digest(real))
        return len(self._linked) > before

    def _owner(self, real: Path) -> int | None:
        """Return the first root that searches a real folder, None if none does."""
        owners = []
        for folder in (real, *real.parents):
            if folder in self._roots:
                owners.append(self._roots[folder])
            if folder in self._barred or is_hidden(folder.name):
                break
        return min(owners, default=None)

    def _is_barred(self, real: Path) -> bool:
        """Tell whether a real folder lies in the output, and in no source within that."""
        for folder in (real, *real.parents):
            if folder == self._overlays or folder in self._roots:
                return folder == self._overlays
            if folder in self._barred:
                return True
        return False


def _list(
    folder: Path,
) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]], OSError | None]:
    """Return the files and the folders in a folder, sorted, each with whether it is a link."""
    files: list[tuple[str, bool]] = []
    folders: list[tuple[str, bool]] = []
    problem = None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    is_folder = entry.is_dir()
                except OSError:
                    is_folder = False  # looking at it as a file will say why
                (folders if is_folder else files).append((entry.name, entry.is_symlink()))
    except OSError as error:
        problem = error
    return sorted(files), sorted(folders), problem


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))  # Path.resolve raises for links in a circle
    except (OSError, ValueError):
        return path


def _digest(real: Path) -> bytes:
    """Return what is remembered of a path: a third of its size, and nobody's name."""
    return hashlib.blake2b(os.fsencode(real), digest_size=16).digest()


def _named(path: Path) -> Found | None:
    """Return what the user named; None for a folder, which is to be searched."""
    source = Source.at(path)
    problem = None
    try:
        mode = source.path.stat().st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Found(source, True, f"The file cannot be read: {why}. Check name and permissions.")
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        problem = "This is a pipe, a socket or a device. Save the clip as a file and name that."
    elif source.member is None and is_archive(path):
        problem = "endometer reads zip archives only: unpack it and name the folder."
    return Found(source, True, problem)
