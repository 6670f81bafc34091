"""Why an object is not kept, and the status that its sender hears."""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from imaging.dicom_file import inflated, parsing
from imaging.errors import ClipError
from imaging.identity import text
from inference.dicom.maker import NAME

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# PS3.5 section 9.1; leading zeros are wrong there, but scanners write them, and no path has a UID.
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


class Why(Enum):
    """A refusal: what the metrics call it, and the status (PS3.4 table B.2-1, PS3.7 annex C)."""

    DISK = ("disk", 0xA700)  # Refused: Out of Resources
    TOO_LARGE = ("too_large", 0xA700)
    OWN_RESULT = ("own_result", 0xA900)
    MISMATCH = ("mismatch", 0xA900)  # Error: Data Set does not match SOP Class
    UNREADABLE = ("unreadable", 0xC000)  # Error: Cannot understand
    INVALID_UID = ("invalid_uid", 0x0117)  # Invalid object instance
    INTERNAL = ("internal", 0x0110)  # Processing failure

    @property
    def reason(self) -> str:
        """The word for metrics and logs."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The status code for the sender."""
        return self.value[1]


class RefusedError(Exception):
    """An object is not kept; `why` says it in words without identity."""

    def __init__(self, why: Why) -> None:
        """Keep why."""
        super().__init__(why.reason)
        self.why = why


@dataclass(frozen=True)
class Names:
    """The UIDs of an object that has been looked at."""

    object_uid: str
    study_uid: str


def look_at(path: Path, sop_class: str, object_uid: str, limit: int) -> Names:
    """Compare an object with what its sender said of it; return its names.

    `sop_class` and `object_uid` are those of the request, `limit` the bytes that a deflated object
    may inflate to. Raises RefusedError; nothing of the pixels is read.
    """
    try:
        with parsing(), path.open("rb") as file:
            header = _header(file, limit)
            # What is no UID names no result, and no study could be told from another.
            found = [text(header, name) or "" for name in ("SOPInstanceUID", "StudyInstanceUID")]
            stated = text(header, "SOPClassUID")
            maker = text(header, "Manufacturer")
    except ClipError:
        raise RefusedError(Why.UNREADABLE) from None
    if stated != sop_class or found[0] != object_uid.strip("\0 "):
        raise RefusedError(Why.MISMATCH)
    if sop_class == SECONDARY_CAPTURE and maker == NAME:
        # An archive that forwards all it gets would have a drawing measured.
        raise RefusedError(Why.OWN_RESULT)
    if not all(len(uid) <= 64 and _UID.fullmatch(uid) for uid in found):
        raise RefusedError(Why.INVALID_UID)
    return Names(*found)


def _header(file: BinaryIO, limit: int) -> "Dataset":
    from pydicom import dcmread

    opened = inflated(file, limit)
    if opened is not None:
        return opened[1]
    file.seek(0)
    return dcmread(file, stop_before_pixels=True)
