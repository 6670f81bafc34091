"""Mutations: bytes without a thought, and lies that know the format.

Every function takes the random numbers of one input, so that seed and number give the same bytes.
"""

import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]

# Numbers at which counters, signs and limits break.
EDGES = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS = (*EDGES, -1, 2**63, 2**64, 1e308, -1e308, 1e-320, 0.5, math.nan, math.inf, -math.inf)
TEXTS = (
    "",
    " ",
    "NaN",
    "inf",
    "1e400",
    "0.0",
    "-0.05",
    "0,05",
    "0.05\\",
    "\\\\\\",
    "line\nbreak\r\n\x1b[31m\x00",
    "M\u00fcller^\u202e\u5b50\u5bab \U0001f642",
    "x" * 70_000,
    "..\\..\\..\\etc",
    "9" * 400,
)
DEEP = 1000
_LAYOUT = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
)
_REGION = (
    "RegionSpatialFormat",
    "RegionDataType",
    "RegionFlags",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
)
_WORDS = (
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "Manufacturer",
    "Modality",
    "SOPClassUID",
    "SOPInstanceUID",
    "PhotometricInterpretation",
    "SpecificCharacterSet",
    "PixelSpacing",
    "AcquisitionDateTime",
    "TimezoneOffsetFromUTC",
)


def flip(data: bytes, rng: Rng) -> bytes:
    """Flip some bits, half of the time near the start, where formats say what they are."""
    changed = bytearray(data)
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 2048)
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 64]))):
        if reach:
            changed[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncate(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def chunk(data: bytes, rng: Rng) -> bytes:
    """Take a piece out, double it, or put zeros, ones or noise in its place."""
    start = int(rng.integers(max(len(data), 1)))
    end = min(len(data), start + int(2 ** rng.uniform(0, 12)))
    piece = data[start:end]
    size = len(piece)
    instead = [b"", piece * 2, b"\0" * size, b"\xff" * size, rng.bytes(size), piece[::-1]]
    return data[:start] + instead[int(rng.integers(len(instead)))] + data[end:]


def edge(data: bytes, rng: Rng) -> bytes:
    """Put a number at which things break over two or four bytes: lengths, counts, offsets."""
    width, endian = int(rng.choice([2, 4])), str(rng.choice(["<", ">"]))
    reach = min(len(data), 4096 if rng.random() < 0.7 else len(data)) - width
    if reach <= 0:
        return data
    value = int(rng.choice(EDGES)) & (2 ** (8 * width) - 1)
    at = int(rng.integers(reach))
    return (
        data[:at] + struct.pack(endian + ("H" if width == 2 else "L"), value) + data[at + width :]
    )


def _dataset(change: Callable[[Dataset, Rng], None]) -> Mutation:
    """A change to the parsed data set; what cannot be parsed or written is flipped instead."""

    def mutate(data: bytes, rng: Rng) -> bytes:
        try:
            with config.disable_value_validation():
                found = dcmread(io.BytesIO(data), force=True)
                change(found, rng)
                out = io.BytesIO()
                found.save_as(out, enforce_file_format=bool(rng.random() < 0.9))
                return out.getvalue()
        except Exception:  # noqa: BLE001 - whatever is wrong with an input, it is still an input
            return flip(data, rng)

    return mutate


def _number(rng: Rng) -> int | float:
    kind = rng.random()
    if kind < 0.5:
        return NUMBERS[int(rng.integers(len(NUMBERS)))]
    if kind < 0.8:
        return int(rng.integers(0, 300))
    return float(10 ** rng.uniform(-6, 6) * rng.choice([-1, 1]))


def _put(found: Dataset, keyword: str, value: Any) -> None:
    try:
        setattr(found, keyword, value)
    except Exception:  # noqa: BLE001 - a value that the library refuses is written as raw bytes
        found.add_new(keyword, "UN", str(value).encode("utf-8", "surrogateescape")[:60_000])


def _lie_about_layout(found: Dataset, rng: Rng) -> None:
    for keyword in rng.choice(_LAYOUT, int(rng.integers(1, 4))):
        value = _number(rng)
        whole = int(value) if math.isfinite(value) else 65535
        _put(found, str(keyword), str(value) if keyword == "NumberOfFrames" else whole & 0xFFFF)


def _lie_about_regions(found: Dataset, rng: Rng) -> None:
    listed = list(found.get("SequenceOfUltrasoundRegions") or [Dataset()])
    for _ in range(int(rng.integers(1, 4))):
        item = listed[int(rng.integers(len(listed)))]
        keyword, value = str(rng.choice(_REGION)), _number(rng)
        if not keyword.startswith("PhysicalDelta"):
            value = (int(value) if math.isfinite(value) else 2**31) % 2**31
        _put(item, keyword, value)
    kind = rng.random()
    if kind < 0.1:
        listed *= int(rng.choice([2, 50, 2000]))
    elif kind < 0.2:
        listed.append(Dataset())
    found.SequenceOfUltrasoundRegions = Items(listed)
    if rng.random() < 0.2:
        found.PixelSpacing = [str(abs(_number(rng)))[:16], str(abs(_number(rng)))[:16]]


def _garble_words(found: Dataset, rng: Rng) -> None:
    for keyword in rng.choice(_WORDS, int(rng.integers(1, 4))):
        value = TEXTS[int(rng.integers(len(TEXTS)))]
        if rng.random() < 0.3:
            value = rng.bytes(int(rng.integers(1, 64))).decode("latin-1")
        vr = "UN" if rng.random() < 0.2 else "UT" if rng.random() < 0.2 else None
        if vr:
            found.add_new(str(keyword), vr, value.encode() if vr == "UN" else value)
        else:
            _put(found, str(keyword), value)


def _drop(found: Dataset, rng: Rng) -> None:
    tags = list(found.keys())
    for tag in rng.choice(tags, min(len(tags), int(rng.integers(1, 5))), replace=False):
        del found[Tag(int(tag))]


def nested(data: bytes, rng: Rng) -> bytes:
    """Put a sequence within a sequence, DEEP times, before the data set's end."""
    head = struct.pack("<HH2sHL", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF)
    head += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    tail = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    depth = int(rng.choice([10, 100, DEEP, 20 * DEEP]))
    if rng.random() < 0.3:
        tail = b""
    at = max(data.find(b"\x28\x00\x02\x00"), 0)  # before SamplesPerPixel
    return data[:at] + head * depth + tail * depth + data[at:]


BYTES: tuple[Mutation, ...] = (flip, truncate, chunk, edge)
DICOM: tuple[Mutation, ...] = (
    *BYTES,
    _dataset(_lie_about_layout),
    _dataset(_lie_about_layout),
    _dataset(_lie_about_regions),
    _dataset(_lie_about_regions),
    _dataset(_garble_words),
    _dataset(_drop),
    nested,
)


def tree(data: bytes, rng: Rng) -> bytes:
    """Change a value of a JSON document, whatever it was."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, rng)
    places = list(_places(document)) if isinstance(document, dict | list) else []
    if not places:
        return flip(data, rng)
    for _ in range(int(rng.integers(1, 4))):
        holder, key = places[int(rng.integers(len(places)))]
        others: list[Any] = [
            None, True, [], {}, -1, 0, 1e308, 10**30, "..", "/etc/passwd", "a\n\u202eb", [[[]]],
            _number(rng), TEXTS[int(rng.integers(len(TEXTS)))], [0] * 10_000,
        ]  # fmt: skip
        kind = rng.random()
        try:
            if kind < 0.15 and isinstance(holder, dict):
                del holder[key]
            elif kind < 0.3 and isinstance(holder, list):
                holder.extend(holder[:50])
            else:
                holder[key] = others[int(rng.integers(len(others)))]
        except (KeyError, IndexError):
            continue
    if rng.random() < 0.02:
        return b"[" * 20 * DEEP + json.dumps(document).encode()
    return json.dumps(document).encode()


def _places(node: Any) -> Any:
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(steps):
        yield node, key
        if isinstance(value, dict | list) and value:
            yield from _places(value)


def markup(data: bytes, rng: Rng) -> bytes:
    """Change the numbers of an XML, or give it entities and depth."""
    kind = rng.random()
    if kind < 0.1:
        bomb = b"<!DOCTYPE a [<!ENTITY x0 'ha'>"
        for level in range(1, 20):
            bomb += b"<!ENTITY x%d '%s'>" % (level, b"&x%d;" % (level - 1) * 10)
        return data.replace(b"?>", b"?>" + bomb + b"]>", 1).replace(b"a.png", b"&x19;", 1)
    if kind < 0.2:
        return data.replace(
            b"?>", b"?><!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>", 1
        ).replace(b"a.png", b"&f;", 1)
    if kind < 0.25:
        return data.replace(b"<image", b"<g>" * 20 * DEEP + b"<image", 1)
    words = data.split(b'"')
    at = int(rng.integers(len(words)))
    words[at] = str(rng.choice([str(_number(rng)), *map(str, TEXTS)])).encode("utf-8", "replace")
    return b'"'.join(words)


def mutated(data: bytes, among: Sequence[Mutation], rng: Rng) -> bytes:
    """Return the data after one to three mutations."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        data = among[int(rng.integers(len(among)))](data, rng)
    return data
