"""Writing a de-identified clip frame by frame, without loss: PS3.10 and the pixels of PS3.5.

What was uncompressed stays so, as explicit VR little endian; what was compressed becomes RLE
lossless (PS3.5 annex G), because a lossy picture that was compressed once more would be another.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from imaging.image_format import PALETTE, ImageFormat
from imaging.pixels import Palette, Samples

# 32-bit lengths end here; PS3.5 7.1.2
LARGEST_VALUE = 2**32 - 2
_LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
}


def target_syntax(source: UID, layout: ImageFormat) -> UID:
    """Return the transfer syntax to write, for pixels of one that was read."""
    small = layout.rows * layout.columns * layout.samples * layout.bits_allocated // 8
    if source.is_encapsulated or small * layout.frames > LARGEST_VALUE:
        return UID(RLELossless)
    return UID(ExplicitVRLittleEndian)


def write_clip(
    file: BinaryIO,
    header: Dataset,
    layout: ImageFormat,
    source: UID,
    frames: Iterable[tuple[Samples, str]],
    palette: Palette | None = None,
) -> None:
    """Write a clip: `header` (see `imaging.deidentify.headers`), completed by the Image Pixel
    Module of `layout`, and the frames, of which one at a time is held.

    `frames` are samples and their PhotometricInterpretation, which the first frame decides;
    `source` is the transfer syntax that they were read from.

    Raises:
        ValueError: there is no frame, or frames differ in their PhotometricInterpretation.
        OSError: the file cannot be written.
    """
    syntax = target_syntax(source, layout)
    photometric = None
    written = 0
    for samples, stated in frames:
        # decoded pixels have chroma of their own, each of them
        this = "YBR_FULL" if stated == "YBR_FULL_422" else stated
        if photometric is None:
            photometric = this
            _describe(header, layout, this, source, palette)
            _start(file, header, syntax, layout)
        elif this != photometric:
            raise ValueError(f"frames are {photometric} and {this}")
        stored = np.ascontiguousarray(samples).astype(samples.dtype.newbyteorder("<"), copy=False)
        if syntax == RLELossless:
            written += _fragment(file, _rle(stored.tobytes(), layout, this))
        else:
            written += file.write(stored.tobytes())
    if photometric is None:
        raise ValueError("a clip has at least one frame")
    if syntax == RLELossless:
        file.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    elif written % 2:
        file.write(b"\0")


def _describe(
    header: Dataset, layout: ImageFormat, photometric: str, source: UID, palette: Palette | None
) -> None:
    """Put the Image Pixel Module into the header, and what depends on the frames."""
    header.Rows, header.Columns = layout.rows, layout.columns
    header.SamplesPerPixel, header.PhotometricInterpretation = layout.samples, photometric
    if layout.samples > 1:
        header.PlanarConfiguration = 0
    header.BitsAllocated, header.BitsStored = layout.bits_allocated, layout.bits_stored
    header.HighBit, header.PixelRepresentation = layout.bits_stored - 1, int(layout.signed)
    if layout.frames > 1:
        header.NumberOfFrames = layout.frames
        times = [word for word in ("FrameTimeVector", "FrameTime") if word in header]
        if times:
            header.FrameIncrementPointer = Tag(times[0])
    if source in _LOSSY:
        header.LossyImageCompression = "01"
        header.setdefault("LossyImageCompressionMethod", _LOSSY[source])
    if photometric == PALETTE and palette is not None:
        _put_palette(header, palette)


def _put_palette(header: Dataset, palette: Palette) -> None:
    """Write the colour table anew, in 16-bit entries (PS3.3 C.7.6.3.1.5)."""
    entries = len(palette.table)
    vr = "SS" if palette.first < 0 else "US"
    for index, colour in enumerate(("Red", "Green", "Blue")):
        name = f"{colour}PaletteColorLookupTable"
        header.add_new(Tag(f"{name}Descriptor"), vr, [entries % 65536, palette.first, 16])
        words = palette.table[:, index].astype("<u2") * 257
        header.add_new(Tag(f"{name}Data"), "OW", words.astype("<u2").tobytes())


def _start(file: BinaryIO, header: Dataset, syntax: UID, layout: ImageFormat) -> None:
    """Write everything before the first frame."""
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = syntax
    dcmwrite(file, header, enforce_file_format=True, implicit_vr=False, little_endian=True)
    file.seek(0, 2)
    vr = b"OB" if layout.bits_allocated == 8 or syntax == RLELossless else b"OW"
    length = layout.rows * layout.columns * layout.samples * (layout.bits_allocated // 8)
    length *= layout.frames
    size = 0xFFFFFFFF if syntax == RLELossless else length + length % 2
    file.write(struct.pack("<HH2s2xL", 0x7FE0, 0x0010, vr, size))
    if syntax == RLELossless:
        _fragment(file, b"")  # the offset table may be empty: PS3.5 A.4


def _fragment(file: BinaryIO, data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    return file.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(data)) + data)


def _rle(frame: bytes, layout: ImageFormat, photometric: str) -> bytes:
    from pydicom.pixels.encoders.base import RLELosslessEncoder  # noqa: PLC0415

    return RLELosslessEncoder.encode(
        frame,
        index=0,
        rows=layout.rows,
        columns=layout.columns,
        number_of_frames=1,
        samples_per_pixel=layout.samples,
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        pixel_representation=int(layout.signed),
        photometric_interpretation=photometric,
        planar_configuration=0,
        encoding_plugin="pylibjpeg",
    )
