"""Clips with a made-up identity in every place that a scanner, or anybody, could write one.

Header: every element of the dictionary that holds text, dates or UIDs, sequences within sequences,
private blocks, overlays, icon, the region list, the file's meta information, its preamble, what
comes after the pixels. Pixels: the edges of the screen, beside the fan, and in it if asked for.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

Frames = NDArray[np.uint8]
PREFIX = "1.2.999.77"
"""What all planted UIDs begin with."""
DATES = ("19630717", "20190523")
"""Of birth and of everything else."""
# What a file needs to be read at all, and what says that nothing is planted in it.
NEEDED = frozenset({
    "SOPClassUID", "PhotometricInterpretation", "Modality", "SpecificCharacterSet",
    "PatientIdentityRemoved",
})  # fmt: skip
_TEXT = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "CS", "AE", "UR"}


@dataclass(frozen=True)
class Name:
    """A made-up person: words that nothing else has, and texts to draw."""

    words: tuple[str, ...]
    drawn: tuple[str, ...]


@dataclass
class Planted:
    """A file, and what must not be readable: `words`, `texts` with the size that they are drawn in,
    and whether one is `inside` the fan."""

    path: Path
    words: tuple[str, ...]
    texts: list[tuple[str, int]] = field(default_factory=list)
    inside: bool = False


def person(rng: np.random.Generator) -> Name:
    """Return a name, an id, an institution: pronounceable, and nobody's."""

    def word(n: int) -> str:
        return "".join(
            str(rng.choice(list("BDFGKLMNPRSTVZ" if i % 2 == 0 else "AEIOU"))) for i in range(n)
        )

    last, first, place, number = word(8), word(7), word(9), f"Q{rng.integers(10**8, 10**9)}"
    return Name((last, first, place, number), (f"{last}, {first}", number, f"{place} CLINIC"))


def plant_header(data: Dataset, name: Name, rng: np.random.Generator) -> None:
    """Write the identity into every element that can hold it."""
    last, first, place, number = name.words
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if tag >> 16 < 8 or tag >> 16 >= 0xFFFA or not keyword or keyword in NEEDED:
            continue
        value = _value(vr, keyword, name, rng)
        if value is not None:
            setattr(data, keyword, value)
    data.PatientName, data.PatientID = f"{last}^{first}", number
    data.PatientBirthDate, data.StudyDate = DATES
    data.add_new((0x0009, 0x0010), "LO", f"{place} PRIVATE")
    data.add_new((0x0009, 0x1001), "LO", f"{last} {first}")
    data.add_new((0x0009, 0x1002), "UN", f"{last}^{first}".encode("utf-16-le"))
    data.add_new((0x0029, 0x0010), "LO", "ENDOMETER TEST")
    inner = Dataset()
    inner.PatientComments = f"{last} again"
    inner.add_new((0x0029, 0x0010), "LO", "ENDOMETER TEST")
    inner.add_new((0x0029, 0x1001), "OB", number.encode())
    middle = Dataset()
    middle.PatientName, middle.ReferencedImageSequence = f"{last}^{first}", [inner]
    data.RequestAttributesSequence = data.OtherPatientIDsSequence = [middle]
    data.add_new((0x0029, 0x1003), "SQ", [middle])
    data.add_new((0x0029, 0x1004), "OB", f"<xml>{last}</xml>".encode() + b"\0")
    for item in data.get("SequenceOfUltrasoundRegions", []):
        item.PatientName, item.ImageComments = f"{last}^{first}", place
        item.add_new((0x0029, 0x0010), "LO", f"{place} X")
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.PixelData = (last.encode() * 8)[:64]
    icon["PixelData"].VR = "OB"
    data.IconImageSequence = [icon]
    bits = np.zeros((16, 16), np.uint8)
    data.add_new((0x6000, 0x0010), "US", 16)
    data.add_new((0x6000, 0x0011), "US", 16)
    data.add_new((0x6000, 0x0022), "LO", f"{last} overlay")
    data.add_new((0x6000, 0x3000), "OW", np.packbits(bits).tobytes() + last.encode() * 2)
    data.add_new((0x5000, 0x2600), "LO", f"{place} curve")
    data.add_new((0xFFFC, 0xFFFC), "OB", last.encode() * 2)


def _value(vr: str, keyword: str, name: Name, rng: np.random.Generator) -> str | None:
    last, first, place, number = name.words
    if vr == "PN":
        return f"{last}^{first}"
    if vr in ("CS", "SH", "AE"):
        return str(rng.choice([last, first, place, number]))[:16]
    if vr in _TEXT:
        return f"{place} {last} {number}"
    if vr == "UI":
        return f"{PREFIX}.{rng.integers(10**9)}"
    return {"DA": DATES[1], "DT": f"{DATES[1]}101112", "AS": "037Y"}.get(vr)


def draw_texts(
    frame: Frames, texts: list[tuple[str, int, tuple[int, int]]], fill: int = 255
) -> Frames:
    """Return a grey frame (rows, columns) with texts (text, size, (row, column)) drawn on it."""
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    for text, size, (row, column) in texts:
        draw.text((column, row), text, fill=fill, font=ImageFont.load_default(size=size))
    return np.asarray(picture)


def template(text: str, size: int) -> NDArray[np.float64]:
    """Return how a text looks, white on black, for those who search for it."""
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(picture).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(picture, float)


def _grey(frames: Frames) -> tuple[Frames, dict[str, object]]:
    return frames, {"PhotometricInterpretation": "MONOCHROME2"}


def _inverted(frames: Frames) -> tuple[Frames, dict[str, object]]:
    return 255 - frames, {"PhotometricInterpretation": "MONOCHROME1"}


def _rgb(frames: Frames) -> tuple[Frames, dict[str, object]]:
    return np.stack([frames] * 3, -1), {"PhotometricInterpretation": "RGB"}


def _ybr(frames: Frames) -> tuple[Frames, dict[str, object]]:
    middle = np.full_like(frames, 128)
    return np.stack([frames, middle, middle], -1), {"PhotometricInterpretation": "YBR_FULL"}


def _planar(frames: Frames) -> tuple[Frames, dict[str, object]]:
    return np.stack([frames] * 3, 1), {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 1}


def _ybr_422(frames: Frames) -> tuple[Frames, dict[str, object]]:
    packed = np.full((*frames.shape[:2], frames.shape[2] * 2), 128, np.uint8)
    packed[..., ::4], packed[..., 1::4] = frames[..., ::2], frames[..., 1::2]
    return packed, {"PhotometricInterpretation": "YBR_FULL_422"}


def _deep(frames: Frames) -> tuple[Frames, dict[str, object]]:
    words = frames.astype("<u2") << 4
    return words, {
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12,
        "HighBit": 11,
    }  # fmt: skip


def _palette(frames: Frames) -> tuple[Frames, dict[str, object]]:
    ramp = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()  # white at 0, black at 255
    tables: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = ramp
    return 255 - frames, tables


Layout = Callable[[Frames], tuple[Frames, dict[str, object]]]
# Every photometric interpretation with every transfer syntax that can be written here.
NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
LAYOUTS: dict[str, tuple[Layout, tuple[UID, ...]]] = {
    "MONOCHROME2": (_grey, (*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless,
                            JPEGBaseline8Bit)),
    "MONOCHROME1": (_inverted, (*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless,
                                JPEGBaseline8Bit)),
    "12 bits": (_deep, (*NATIVE[:2], NATIVE[3], RLELossless, JPEGLSLossless)),
    "RGB": (_rgb, (*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless)),
    "RGB planar": (_planar, NATIVE),
    "YBR_FULL": (_ybr, (*NATIVE, RLELossless)),
    "YBR_FULL_422": (_ybr_422, (*NATIVE, JPEGBaseline8Bit)),
    "PALETTE COLOR": (_palette, (*NATIVE, RLELossless, JPEGLSLossless)),
}  # fmt: skip
KINDS = [(name, syntax) for name, (_, syntaxes) in LAYOUTS.items() for syntax in syntaxes]


def encode(data: Dataset, frames: Frames, kind: str, syntax: UID, path: Path) -> None:
    """Write grey frames, uint8 (n, rows, columns), with the header `data` as `kind` of LAYOUTS."""
    values, elements = LAYOUTS[kind][0](frames)
    data.Rows, data.Columns = frames.shape[1:]
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.SamplesPerPixel = 3 if str(elements["PhotometricInterpretation"])[:3] in "RGB YBR" else 1
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    if len(frames) > 1:
        data.NumberOfFrames = len(frames)
        data.FrameTime, data.FrameIncrementPointer = 40, 0x00181063
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.file_meta = getattr(data, "file_meta", None) or FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    little = syntax != ExplicitVRBigEndian
    vr = "OB" if data.BitsAllocated == 8 else "OW"
    if syntax in (JPEG2000Lossless, JPEGBaseline8Bit):
        drawn = values if values.ndim == 4 or data.SamplesPerPixel == 1 else _rgb(frames)[0]
        data.add_new("PixelData", "OB", encapsulate([_pillow(one, syntax) for one in drawn]))
        data["PixelData"].is_undefined_length = True
        if syntax == JPEG2000Lossless and data.SamplesPerPixel == 3:
            data.PhotometricInterpretation = "YBR_RCT"
    else:
        stored = values if little or values.dtype.itemsize == 1 else values.astype(">u2")
        raw = stored.tobytes()
        data.add_new("PixelData", vr, raw + b"\0" * (len(raw) % 2))
        if syntax.is_encapsulated:
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.compress(syntax, generate_instance_uid=False)
    if not little:
        for colour in ("Red", "Green", "Blue"):
            if table := data.get(f"{colour}PaletteColorLookupTableData"):
                swapped = np.frombuffer(table, "<u2").astype(">u2").tobytes()
                setattr(data, f"{colour}PaletteColorLookupTableData", swapped)
    data.save_as(path, enforce_file_format=True)


def _pillow(frame: Frames, syntax: UID) -> bytes:
    buffer = io.BytesIO()
    if syntax == JPEG2000Lossless:
        mct = {"mct": 1} if frame.ndim == 3 else {}
        Image.fromarray(frame).save(buffer, "JPEG2000", no_jp2=True, irreversible=False, **mct)
    else:
        Image.fromarray(frame).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def stamp_file(path: Path, name: Name) -> None:
    """Write the name where no element is: the preamble, and the end of the file."""
    content = bytearray(path.read_bytes())
    words = name.words[0].encode()
    content[: len(words)] = words
    path.write_bytes(bytes(content))


def words_in(path: Path, words: tuple[str, ...]) -> list[str]:
    """Return the planted words, UIDs and dates that any byte or element of a file still has.

    An independent reading: of the bytes in three encodings, and of what pydicom makes of them.
    """
    content = path.read_bytes()
    lower = content.lower()
    wanted = [*words, PREFIX, *DATES]
    found = []
    for word in wanted:
        shapes = (word.lower().encode(), word.lower().encode("utf-16-le"),
                  word.lower().encode("utf-16-be"))  # fmt: skip
        if any(shape in lower for shape in shapes):
            found.append(word)
    data = dcmread(path, force=True)
    for element in [*data.file_meta, *data.iterall()]:
        if element.keyword == "PixelData":
            continue
        said = str(element.value).lower()
        found += [f"{word} in {element.tag}" for word in wanted if word.lower() in said]
        if element.tag.is_private:
            found.append(f"private {element.tag}")
    return found
