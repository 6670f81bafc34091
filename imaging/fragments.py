"""Where the frames of compressed (encapsulated) pixel data lie in the file: PS3.5 annex A.4.

The items are walked once, reading eight bytes each and seeking over the rest, so that afterwards
every frame is one read away, with or without an offset table and however long the cine is.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from imaging.errors import ClipError

_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# A long cine in small pieces has some ten thousand fragments; a hostile one could have millions
# of empty ones, each of which costs memory here.
MAX_FRAGMENTS = 500_000


@dataclass(frozen=True)
class Span:
    """A fragment's value: where its bytes begin in the file, and how many there are."""

    start: int
    length: int


FrameSpans = tuple[Span, ...]


def locate_frames(
    file: BinaryIO,
    start: int,
    size: int,
    frames: int,
    *,
    extended: Sequence[int] = (),
    one_each: bool = False,
) -> tuple[FrameSpans, ...]:
    """Return for every frame the fragments that hold it.

    Args:
        file: open, little endian (compressed data always is).
        start: where the PixelData value begins, in bytes.
        size: length of the file in bytes.
        frames: NumberOfFrames of the header.
        extended: values of the Extended Offset Table (PS3.3 C.7.6.3.1.8), empty if there is none.
        one_each: a frame is exactly one fragment, as in RLE (PS3.5 A.4.2).

    Raises:
        ClipError: the data ends inside a fragment, is no sequence of fragments, or holds another
            number of frames than the header says.
    """
    items = _items(file, start, size)
    if not items:
        raise ClipError("The compressed pixel data is empty. Export the clip again.")
    table, fragments = items[0], items[1:]
    offsets = list(extended) or _offset_table(file, table)
    origin = table.start + table.length
    if offsets and len(offsets) != frames:
        raise _contradiction(frames, f"the offset table lists {len(offsets)}")
    if len(fragments) == frames:
        return tuple((fragment,) for fragment in fragments)
    if len(fragments) < frames or one_each:
        raise _contradiction(frames, f"the data holds {len(fragments)} fragments")
    if frames == 1:
        begun = sum(_begins(file, fragment) for fragment in fragments)
        if begun > 1:
            raise _contradiction(frames, f"{begun} images begin in its fragments")
        return (tuple(fragments),)
    if offsets:
        return _by_offsets(fragments, [origin + offset for offset in offsets])
    return _by_end_marker(file, fragments, frames)


def _items(file: BinaryIO, start: int, size: int) -> list[Span]:
    found: list[Span] = []
    position = start
    while position + 8 <= size:
        file.seek(position)
        group, element, length = struct.unpack("<HHL", file.read(8))
        tag = group << 16 | element
        if tag == _DELIMITER:
            return found
        if tag != _ITEM or length == _UNDEFINED:
            raise ClipError(
                f"The compressed pixel data is damaged after {len(found)} items: at byte "
                f"{position} there is no item of defined length. Export the clip again."
            )
        if position + 8 + length > size:
            raise ClipError(
                f"The file is cut off: fragment {len(found)} needs {length:,} bytes, of which "
                f"{size - position - 8:,} are there. Copy or export the clip again."
            )
        found.append(Span(position + 8, length))
        if len(found) > MAX_FRAGMENTS:
            raise ClipError(
                f"The compressed pixel data has more than {MAX_FRAGMENTS:,} fragments, "
                "which no ultrasound clip needs. Export the clip again."
            )
        position += 8 + length
    # the end of the file without a delimiter: every fragment found is whole, so what is missing,
    # if anything, shows in the number of frames
    return found


def _offset_table(file: BinaryIO, table: Span) -> list[int]:
    if table.length % 4:
        raise ClipError("The offset table of the compressed pixel data is damaged.")
    file.seek(table.start)
    return list(struct.unpack(f"<{table.length // 4}L", file.read(table.length)))


def _by_offsets(fragments: list[Span], starts: list[int]) -> tuple[FrameSpans, ...]:
    index = {fragment.start - 8: number for number, fragment in enumerate(fragments)}
    first = [index.get(start, -1) for start in starts]
    if first[0] != 0 or any(a >= b for a, b in pairwise(first)):
        raise ClipError(
            "The offset table of the compressed pixel data does not point at its fragments, so "
            "the frames cannot be told apart. Export the clip again."
        )
    bounds = zip(first, [*first[1:], len(fragments)], strict=True)
    return tuple(tuple(fragments[begin:end]) for begin, end in bounds)


def _by_end_marker(file: BinaryIO, fragments: list[Span], frames: int) -> tuple[FrameSpans, ...]:
    """Group fragments at those that end with the end marker of JPEG, JPEG-LS and JPEG 2000."""
    found: list[FrameSpans] = []
    current: list[Span] = []
    for fragment in fragments:
        current.append(fragment)
        tail = min(fragment.length, 10)
        file.seek(fragment.start + fragment.length - tail)
        if b"\xff\xd9" in file.read(tail):
            found.append(tuple(current))
            current = []
    if current or len(found) != frames:
        raise _contradiction(
            frames, f"the data holds {len(found)} ends of a frame in {len(fragments)} fragments"
        )
    return tuple(found)


def _begins(file: BinaryIO, fragment: Span) -> bool:
    """Tell whether a JPEG, JPEG-LS or JPEG 2000 image begins with this fragment."""
    file.seek(fragment.start)
    return file.read(min(fragment.length, 3)) in (b"\xff\xd8\xff", b"\xff\x4f\xff")


def _contradiction(frames: int, found: str) -> ClipError:
    return ClipError(
        f"Header and pixel data contradict each other: NumberOfFrames is {frames}, but {found}. "
        "Export the clip again."
    )
