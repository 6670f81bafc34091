"""How a header says its pixels are laid out: the Image Pixel Module, PS3.3 C.7.6.3, checked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imaging.errors import ClipError
from imaging.identity import shown_code, text

if TYPE_CHECKING:
    from pydicom import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

# 4K television is 8.3 million pixels; no ultrasound frame comes near. What says more is a lie, and
# believing it would ask for gigabytes: a file of 3 MB can hold 33 million pixels of 16-bit colour.
MAX_FRAME_PIXELS = 2**23


@dataclass(frozen=True)
class ImageFormat:
    """Layout of the frames of one clip, as the header tells it."""

    rows: int
    columns: int
    frames: int
    samples: int
    """Samples per pixel: 1 or 3."""
    bits_allocated: int
    """8, 16 or 32."""
    bits_stored: int
    signed: bool
    planar: int
    """0: colour by pixel, 1: colour by plane."""
    photometric: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; YBR_FULL_422 shares chroma between two pixels."""
        length = self.rows * self.columns * self.samples * (self.bits_allocated // 8)
        return length // 3 * 2 if self.photometric == "YBR_FULL_422" else length

    def as_text(self) -> str:
        """Return the numbers for a message."""
        return (
            f"Rows {self.rows} x Columns {self.columns} x SamplesPerPixel {self.samples} x "
            f"BitsAllocated {self.bits_allocated} ({self.photometric})"
        )


def image_format(header: "Dataset") -> ImageFormat:
    """Read and check the layout.

    Raises:
        ClipError: a needed element is missing or unusable; the message names it and its value.
    """
    samples = _positive(header, "SamplesPerPixel")
    allocated = _positive(header, "BitsAllocated")
    photometric = (text(header, "PhotometricInterpretation") or "").upper()
    stored = integer(header, "BitsStored") or allocated
    layout = ImageFormat(
        rows=_positive(header, "Rows"),
        columns=_positive(header, "Columns"),
        frames=_frames(header),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=bool(integer(header, "PixelRepresentation")),
        planar=integer(header, "PlanarConfiguration") or 0,
        photometric=photometric,
    )
    _check(layout, integer(header, "HighBit"))
    return layout


def integer(header: "Dataset", keyword: str) -> int | None:
    """Return an element as a whole number, or None if it is absent, empty or no whole number."""
    value: Any = text(header, keyword)
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def _positive(header: "Dataset", keyword: str) -> int:
    value = integer(header, keyword)
    if value is None:
        raise ClipError(f"The header has no usable {keyword}, so its pixels cannot be laid out.")
    if not 0 < value < 65536:
        raise ClipError(f"The header says {keyword} {value}, which no image has.")
    return value


def _frames(header: "Dataset") -> int:
    if text(header, "NumberOfFrames") is None:
        return 1  # the element exists only in multi-frame objects
    value = integer(header, "NumberOfFrames")
    if value is None or value < 1:
        raise ClipError(
            f"The header says NumberOfFrames {'(no number)' if value is None else value}, "
            "which is no number of frames."
        )
    return value


def _check(layout: ImageFormat, high_bit: int | None) -> None:
    if layout.rows * layout.columns > MAX_FRAME_PIXELS:
        raise ClipError(
            f"The header says {layout.rows} x {layout.columns} pixels; more than "
            f"{MAX_FRAME_PIXELS:,} are not believed of an ultrasound frame."
        )
    if layout.bits_allocated not in (8, 16, 32):
        raise ClipError(f"BitsAllocated is {layout.bits_allocated}; 8, 16 and 32 can be read.")
    if not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise ClipError(
            f"BitsStored {layout.bits_stored} contradicts BitsAllocated {layout.bits_allocated}."
        )
    if layout.bits_allocated > 8 and high_bit not in (None, layout.bits_stored - 1):
        raise ClipError(
            f"HighBit {high_bit} contradicts BitsStored {layout.bits_stored} "
            "(PS3.3 C.7.6.3 wants it one less), so the grey levels have no known scale."
        )
    expected = 1 if layout.photometric in (*GREY, PALETTE) else 3
    if layout.photometric not in (*GREY, PALETTE, *COLOUR):
        raise ClipError(
            f"PhotometricInterpretation is {shown_code(layout.photometric)}; "
            f"{', '.join((*GREY, PALETTE, *COLOUR))} can be read."
        )
    if layout.samples != expected:
        raise ClipError(
            f"SamplesPerPixel {layout.samples} contradicts PhotometricInterpretation "
            f"{layout.photometric}, which has {expected}."
        )
