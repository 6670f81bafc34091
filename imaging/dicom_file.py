"""Opening a DICOM file up to its pixels: header, transfer syntax, and where the pixel data lie."""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging.errors import INTERRUPTS, ClipError, NotAnImageError
from imaging.identity import text

# pydicom's warnings quote the value they are about, which may be a patient's name, both on
# standard error and in the log of whoever configures logging
logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")

# PS3.6 table A-1; newer than the dictionary of pydicom 3.0
_NEW_NAMES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}
UNDEFINED = 0xFFFFFFFF
# A deflated object has to be inflated whole; a small file can hide a very large one.
MAX_INFLATED = 2**29

MAX_REGIONS = 2**20
"""Bytes of SequenceOfUltrasoundRegions; a region has about 200, and a screen few of them."""
_REGIONS = 0x00186011

_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1
_PIXEL_DATA = (0x7FE0, 0x0010)
_LONG_VRS = {b"OB", b"OW", b"UN", b"OD", b"OF", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT"}


@dataclass(frozen=True)
class DicomFile:
    """A parsed header and the place of the pixels, which are still unread."""

    file: BinaryIO
    """Where `start` counts from: the file itself, or the inflated copy of a deflated one."""
    size: int
    header: Dataset
    syntax: UID
    little_endian: bool
    vr: str
    start: int
    """First byte of the PixelData value."""
    length: int | None
    """Bytes of the PixelData value, None for compressed (undefined length)."""


def syntax_name(uid: str) -> str:
    """Return the name of a transfer syntax, or the UID itself if nobody has named it."""
    return _NEW_NAMES.get(uid) or UID(shown_uid(uid)).name


def shown_uid(uid: str) -> str:
    """Return a UID for a message; garbage, which may be the rest of the header, is only told of."""
    return uid if _UID.fullmatch(uid) else "not a UID"


def looks_like_dicom(start: bytes) -> bool:
    """Tell from its first 132 bytes whether a file can be DICOM.

    Either the magic word stands after the preamble (PS3.10 7.1), or, as old software writes it,
    the first element is one of group 0002 or 0008.
    """
    if start[128:132] == b"DICM":
        return True
    first = start[:2]
    return len(start) >= 8 and first in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def open_dicom(file: BinaryIO) -> DicomFile:
    """Parse the header and find the pixel data, reading nothing of it.

    A deflated file (PS3.5 A.5) is the exception: its data set is inflated into memory as a whole.

    Raises:
        ClipError: the header cannot be parsed, or there are no pixel data.
    """
    with parsing():
        file, header = inflated(file) or (file, _header(file))
        size = _size(file)
        implicit, little = header.original_encoding
        if implicit is None or little is None:
            raise ClipError("The header is empty. Export the clip again.")
        _check_regions(header)
        tag, vr, start, length = _element(file, implicit, little)
        syntax = _syntax(header, implicit, little)
    if tag != _PIXEL_DATA:
        raise _no_pixels(header, tag)
    return DicomFile(
        file=file,
        size=size,
        header=header,
        syntax=syntax,
        little_endian=little,
        vr=vr,
        start=start,
        length=None if length == UNDEFINED else length,
    )


def _check_regions(header: Dataset) -> None:
    """Raise ClipError for a list of regions that would take minutes to parse (found by fuzzing)."""
    listed = header.get_item(_REGIONS)
    size = len(listed.value or b"") if isinstance(listed, RawDataElement) else 0
    if size > MAX_REGIONS:
        raise ClipError(
            f"The list of ultrasound regions has {size:,} bytes; more than {MAX_REGIONS:,} are not "
            "believed. Export the clip again."
        )


@contextmanager
def parsing() -> Iterator[None]:
    """Turn whatever parsing a damaged or hostile header raises into a ClipError.

    Neither the text nor the chain of the original is kept: both can quote the header's values.
    """
    try:
        yield
    except (ClipError, *INTERRUPTS):
        raise
    except BaseException as error:  # noqa: BLE001 - a hostile header can raise anything
        raise ClipError(
            f"The DICOM header cannot be parsed ({type(error).__name__}). "
            "The file is damaged or no DICOM; export the clip again."
        ) from None


def _size(file: BinaryIO) -> int:
    here = file.tell()
    size = file.seek(0, SEEK_END)
    file.seek(here)
    return size


def _header(file: BinaryIO) -> Dataset:
    file.seek(0)
    return dcmread(file, stop_before_pixels=True, force=True)


def inflated(file: BinaryIO, limit: int = MAX_INFLATED) -> tuple[BinaryIO, Dataset] | None:
    """Return a deflated file as an open, inflated one with its header; None if not deflated.

    Raises:
        ClipError: it inflates to more than `limit` bytes, or is cut off.
    """
    file.seek(128)
    if file.read(4) != b"DICM":
        return None
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = BytesIO(inflater.decompress(file.read(), limit))
    if inflater.unconsumed_tail:
        raise ClipError(f"The deflated file inflates to more than {limit:,} bytes.")
    if not inflater.eof:
        raise ClipError("The deflated file is cut off. Copy or export the clip again.")
    header = dcmread(inflated, stop_before_pixels=True, force=True)
    header.file_meta = FileMetaDataset(meta)
    return inflated, header


def _element(
    file: BinaryIO, implicit: bool, little: bool
) -> tuple[tuple[int, int] | None, str, int, int]:
    """Read tag, VR, place of the value and length of the element at the file's position."""
    endian = "<" if little else ">"
    start = file.read(8)
    if len(start) < 8:
        return None, "", file.tell(), 0
    group, element, vr = struct.unpack(f"{endian}HH2s", start[:6])
    if implicit or not vr.isalpha():
        (length,) = struct.unpack(f"{endian}L", start[4:])
        return (group, element), "OW", file.tell(), length
    if vr in _LONG_VRS:
        (length,) = struct.unpack(f"{endian}L", file.read(4))
    else:
        (length,) = struct.unpack(f"{endian}H", start[6:])
    return (group, element), vr.decode("ascii"), file.tell(), length


def _syntax(header: Dataset, implicit: bool, little: bool) -> UID:
    stated = header.file_meta.get("TransferSyntaxUID")
    if stated:
        # after inflating, the rest of the way is that of explicit little endian
        return UID(stated)
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _no_pixels(header: Dataset, tag: tuple[int, int] | None) -> ClipError:
    if tag is not None and tag[0] == 0x7FE0:
        return ClipError("The pixels are floating-point numbers, which no ultrasound clip has.")
    if not len(header):
        return ClipError("The file is no DICOM and no PNG, JPEG or TIFF image.")
    uid = text(header, "SOPClassUID") or text(header.file_meta, "MediaStorageSOPClassUID")
    known = uid is not None and _UID.fullmatch(uid) is not None
    named = UID(uid).name if uid and known else "unknown"
    # Only a known class that has no pixels by its nature is sound without them.
    if not known or named == uid or "Image" in named or "Volume" in named or "Rows" in header:
        return ClipError(
            f"The object should be an image (SOP class {named}), but no pixel data were found: it "
            "is cut off or damaged. Copy or export the clip again."
        )
    return NotAnImageError(
        f"The object has no pixel data (SOP class {named}). Choose an ultrasound image or cine."
    )
