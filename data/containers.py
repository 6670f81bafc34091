"""What a zip archive and a DICOMDIR hold."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data.found import (
    START,
    Found,
    Skipped,
    has_image_name,
    has_image_start,
    is_archive,
    is_hidden,
    is_zip,
)
from imaging.errors import ClipError
from imaging.source import Source
from imaging.zip_archive import Member, member_start, members

# A record of a DICOMDIR takes about 500 bytes, in memory twenty times as much.
MAX_DICOMDIR = 2**26
_INACTIVE = 0x0000


def zip_items(path: Path) -> Iterator[Found | Skipped]:
    """Yield the members of a zip archive, sorted by name.

    Hidden ones, links, archives and what is no image are yielded as Skipped. An archive that
    cannot be read is yielded with its problem; encrypted members are, all together, one problem of
    the archive.
    """
    try:
        found = members(path)
    except ClipError as error:
        yield Found(Source(path), problem=str(error))
        return
    encrypted = 0
    for member in found:
        if member.encrypted and not _is_hidden(member.name):
            encrypted += 1
        else:
            yield _look(path, member)
    if encrypted:
        yield Found(
            Source(path),
            problem=f"{encrypted:,} of the {len(found):,} files in the archive are encrypted. "
            "Unpack it with its password and name the folder.",
        )


def _look(path: Path, member: Member) -> Found | Skipped:
    source, name = Source(path, member.name), PurePosixPath(member.name)
    if _is_hidden(member.name) or member.link or name.name.upper() == "DICOMDIR":
        return Skipped(source)
    if is_zip(name) or is_archive(name):
        return Skipped(source, archive=True)
    if has_image_name(name):
        return Found(source)
    try:
        start = member_start(path, member.name, START)
    except ClipError:
        return Found(source)  # the reader will say what is wrong with it
    return Found(source) if has_image_start(start, name) else Skipped(source)


def _is_hidden(member: str) -> bool:
    return any(map(is_hidden, member.replace("\\", "/").split("/")))


def dicomdir_items(path: Path) -> Iterator[Found]:
    """Yield the files that a DICOMDIR refers to (PS3.3 F.3.2.2), in its order.

    One that is not there is yielded with its problem, as is the DICOMDIR itself if it cannot be
    read or refers to anything outside its folder. Names are tried as they stand and in lower case,
    as which some systems show a compact disc.
    """
    try:
        listed = _file_ids(path)
    except ClipError as error:
        yield Found(Source(path), problem=str(error))
        return
    outside = 0
    for parts in dict.fromkeys(listed):
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            outside += 1
            continue
        target, in_lower_case = path.parent.joinpath(*parts), [part.lower() for part in parts]
        if not target.exists() and path.parent.joinpath(*in_lower_case).exists():
            target = path.parent.joinpath(*in_lower_case)
        problem = None
        if not target.is_file():
            problem = "The DICOMDIR lists this file, but it is not there. Copy the whole medium."
        yield Found(Source(target), problem=problem)
    if outside:
        yield Found(
            Source(path),
            problem=f"The DICOMDIR refers to {outside:,} files outside its folder, which are not "
            "read. If it is to be trusted, name the folder that they lie in.",
        )


def _file_ids(path: Path) -> list[tuple[str, ...]]:
    """Return the components of every ReferencedFileID (0004,1500) of a record in use."""
    import pydicom

    try:
        size = path.stat().st_size
        if size > MAX_DICOMDIR:
            raise ClipError(
                f"The DICOMDIR has {size:,} bytes, more than {MAX_DICOMDIR:,}. Name the folder "
                "that it lies in."
            )
        found = []
        for record in pydicom.dcmread(path).DirectoryRecordSequence:
            file_id = record.get("ReferencedFileID")
            if file_id and record.get("RecordInUseFlag") != _INACTIVE:
                listed = [file_id] if isinstance(file_id, str) else file_id
                found.append(tuple("/".join(map(str, listed)).split("/")))
    except ClipError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile one raises anything, and quotes names
        cause = getattr(error, "strerror", None) or f"it is damaged or none, {type(error).__name__}"
        raise ClipError(
            f"The DICOMDIR cannot be read: {cause}. Name the folder that it lies in."
        ) from None
    return found
