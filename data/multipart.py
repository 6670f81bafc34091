"""The parts of a multipart/related answer (RFC 2046, 5.1; PS3.18 8.6.1), as they come."""

from collections.abc import Iterator
from email.message import Message

MAX_HEADER = 2**16
"""Bytes before a part's content."""


class MultipartError(Exception):
    """An answer is not what its type says, or ended early."""


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that a Content-Type names; None if it is of another type.

    Raises MultipartError for multipart/related without one.
    """
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/related":
        return None
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 200 or not boundary.isascii():
        raise MultipartError("its boundary is missing")
    return boundary.encode()


def first_part(pieces: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the content of the first part, piece by piece.

    What is held is a piece and a boundary, whatever the length of the part. Raises MultipartError
    if there is no part, or if no boundary ends it: it is cut off.
    """
    held = _content_start(pieces, b"--" + boundary)
    end = b"\r\n--" + boundary
    while (at := held.find(end)) < 0:
        keep = len(end) - 1
        if len(held) > keep:
            yield held[:-keep]
            held = held[-keep:]
        piece = next(pieces, None)
        if piece is None:
            raise MultipartError("it ended before the part did")
        held += piece
    if at:
        yield held[:at]


def _content_start(pieces: Iterator[bytes], start: bytes) -> bytes:
    """Return what was read of the first part's content, after its header."""
    held = b""
    while True:
        at = held.find(start)
        if at >= 0:
            empty = held[at + len(start) :].startswith(b"\r\n\r\n")  # a part without header lines
            end = at + len(start) if empty else held.find(b"\r\n\r\n", at + len(start))
            if end >= 0:
                return held[end + 4 :]
        if len(held) > MAX_HEADER:
            raise MultipartError("it does not begin with a part")
        piece = next(pieces, None)
        if piece is None:
            raise MultipartError("it ended before its first part")
        held += piece
