"""What a compressed frame says about itself, read from its first bytes without decoding.

Decoders believe the code stream, the rest of the program believes the DICOM header. A frame whose
two stories differ must not be measured, and pydicom compares only the number of bytes, so that
480 x 640 passes for 640 x 480.
"""

import struct
from dataclasses import dataclass, replace

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ (ISO/IEC 15444-1 A.4 and A.5)
_JP2_BOX_START = b"\x00\x00\x00\x0cjP  "
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000

# Start-of-frame markers with the size: ISO/IEC 10918-1 table B.1, SOF55 of JPEG-LS (14495-1 C.1)
_SOF = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SOF_LOSSLESS = 0xC3
_DHT, _SOS, _APP14 = 0xC4, 0xDA, 0xEE
# What may stand before the scan: tables, restart interval, application data, comment (B.2.4),
# and the presets of JPEG-LS. Anything else makes gdcm abort the whole process.
_SEGMENTS = {_DHT, 0xCC, 0xDB, 0xDD, 0xFE, 0xF8, *range(0xE0, 0xF0)}


@dataclass(frozen=True)
class Codestream:
    """What one compressed frame states."""

    rows: int
    columns: int
    samples: int
    precision: int
    """Bits of a sample."""
    lossless_jpeg: bool = False
    adobe: bool = False
    """Whether a JPEG carries Adobe's APP14 marker."""


def read_codestream(data: bytes) -> Codestream | None:
    """Return the size that a JPEG, JPEG-LS or JPEG 2000 stream states, None if it is neither."""
    try:
        if data.startswith(_JPEG_START):
            return _jpeg(data)
        if data.startswith(_JP2_BOX_START):
            return _jpeg_2000(data, data.find(_JPEG_2000_START, 0, 4096))
        return _jpeg_2000(data, 0) if data.startswith(_JPEG_2000_START) else None
    except (struct.error, IndexError):
        return None


def is_complete(data: bytes) -> bool:
    """Tell whether the stream ends with its end marker, apart from padding.

    Some decoders fill a stream that was cut off with grey, so the end has to be looked for.
    """
    return _END in data.rstrip(b"\0")[-16:]


def _jpeg(data: bytes) -> Codestream | None:
    position, adobe = 2, False
    found: Codestream | None = None
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _SOS:
            return replace(found, adobe=adobe) if found is not None else None
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if len(body) != length - 2:
            return None
        if marker in _SOF and found is None:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
            if len(body) != 6 + 3 * samples:
                return None
            lossless = marker == _SOF_LOSSLESS
            found = Codestream(rows, columns, samples, precision, lossless)
        elif marker not in _SEGMENTS or (marker == _DHT and not _valid_tables(body)):
            return None
        adobe = adobe or (marker == _APP14 and body.startswith(b"Adobe"))
        position += 2 + length
    return None


def _valid_tables(body: bytes) -> bool:
    """Tell whether Huffman tables (B.2.4.2) hold as many codes as they announce."""
    position = 0
    while position < len(body):
        codes = sum(body[position + 1 : position + 17])
        if codes > 256 or body[position] & 0x0F > 3 or body[position] >> 4 > 1:
            return False
        position += 17 + codes
    return position == len(body)


def _jpeg_2000(data: bytes, start: int) -> Codestream | None:
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    samples, depth = struct.unpack_from(">HB", data, start + 40)
    return Codestream(bottom - top, right - left, samples, (depth & 0x7F) + 1)
