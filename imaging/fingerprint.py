"""What a file is known by: its bytes, and the image in it whatever its patient is called.

Two files are duplicates if they have the same bytes, or if they are the same DICOM instance with
the same image: a copy that was sent again under a corrected name. The UID alone proves nothing:
some anonymisers give one to all files, and the number of one image must never go to another.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader, FileIO
from typing import BinaryIO

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence

from imaging.dicom_file import DicomFile, looks_like_dicom, open_dicom
from imaging.errors import ClipError
from imaging.identity import ClipIdentity, clip_identity, text
from imaging.source import Source

_PIECE = 2**20
_START = 132
_REGIONS = 0x00186011
# Beside all of group 0028 (Image Pixel, PixelSpacing, palettes): SOP class, modality, regions and
# the extended offset table. A test holds this against what reading and calibrating ask for.
_MEASURED = frozenset({0x00080016, 0x00080060, 0x7FE00001, 0x7FE00002})
_IMAGE_GROUP = 0x0028


@dataclass(frozen=True)
class Fingerprint:
    """What one reading of a file tells without decoding a pixel.

    Attributes:
        sha256: of the bytes, in hexadecimal.
        key: of the image, in hexadecimal. For DICOM the SHA-256 over SOP instance UID, transfer
            syntax, every header element that a measurement depends on, and the encoded pixel data
            to the end of the file; for all else, and for what cannot be parsed, `sha256` itself.
            Equal bytes have equal keys.
        identity: as `Clip.identity`; None if the file cannot be parsed.
    """

    sha256: str
    key: str
    identity: ClipIdentity | None

    def is_duplicate_of(self, other: "Fingerprint") -> bool:
        """Tell whether a measurement of the other file is one of this file, too."""
        return self.key == other.key


def fingerprint(source: Source) -> Fingerprint:
    """Read a source once, piece by piece (a deflated DICOM object is inflated in memory).

    Raises:
        ClipError: it cannot be read.
    """
    file = source.open()
    if isinstance(file, FileIO):
        file = BufferedReader(file)  # parsing a header asks for a few bytes at a time
    with file:
        try:
            return _fingerprint(file)
        except OSError as error:
            raise ClipError(f"The file cannot be read: {error.strerror}.") from None


def _fingerprint(file: BinaryIO) -> Fingerprint:
    if not looks_like_dicom(file.read(_START)):
        return _of_bytes(file, ClipIdentity())
    try:
        dicom = open_dicom(file)
        stated = _stated(dicom)
        identity = clip_identity(dicom.header)
    except ClipError:
        return _of_bytes(file, None)
    if stated is None:
        return _of_bytes(file, identity)
    whole, image = hashlib.sha256(), hashlib.sha256(stated)
    if dicom.file is not file:  # deflated
        for data in _pieces(dicom.file, dicom.start):
            image.update(data)
        return Fingerprint(_of_bytes(file, None).sha256, image.hexdigest(), identity)
    file.seek(0)
    whole.update(file.read(dicom.start))
    for data in _pieces(file, dicom.start):
        whole.update(data)
        image.update(data)
    return Fingerprint(whole.hexdigest(), image.hexdigest(), identity)


def _of_bytes(file: BinaryIO, identity: ClipIdentity | None) -> Fingerprint:
    digest = hashlib.sha256()
    for data in _pieces(file, 0):
        digest.update(data)
    return Fingerprint(digest.hexdigest(), digest.hexdigest(), identity)


def _pieces(file: BinaryIO, start: int) -> Iterator[bytes]:
    file.seek(start)
    while data := file.read(_PIECE):
        yield data


def _stated(dicom: DicomFile) -> bytes | None:
    """Return what the header says of the image, or None if it has no UID or is garbage there."""
    header = dicom.header
    parts = [dicom.syntax, str(dicom.little_endian), dicom.vr, str(dicom.length)]
    tags = [tag for tag in sorted(header.keys()) if tag >> 16 == _IMAGE_GROUP or tag in _MEASURED]
    try:
        elements = b"".join(_element(header, tag) for tag in tags)
        if _REGIONS in header:
            # last, because this converts elements that were raw; whichever way the sequence is
            # encoded, its items are the same
            elements += _sequence(header[_REGIONS].value)
    except Exception:  # noqa: BLE001 - pydicom converts on access, and garbage raises anything
        return None
    uid = text(header, "SOPInstanceUID")
    return None if uid is None else _framed(*(p.encode() for p in (uid, *parts)), elements)


def _element(dataset: Dataset, tag: int) -> bytes:
    """Return tag, VR and value, as they lie in the file unless they were converted before."""
    element = dataset.get_item(tag)
    vr = "" if element is None else str(element.VR)  # a damaged one makes the value unreadable
    if isinstance(element, RawDataElement):
        value = element.value or b""
    elif element is not None and isinstance(element.value, Sequence):
        value = _sequence(element.value)
    else:
        value = repr(element.value if element is not None else None).encode()
    return struct.pack("<L", tag) + _framed(vr.encode(), value)


def _sequence(items: Iterable[Dataset]) -> bytes:
    return _framed(
        *(b"".join(_element(item, tag) for tag in sorted(item.keys())) for item in items)
    )


def _framed(*parts: bytes) -> bytes:
    """Join parts so that no other parts give the same bytes."""
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)
