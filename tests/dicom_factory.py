"""DICOM files made up for tests: any transfer syntax, any photometric interpretation, any lie."""

import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

Array = NDArray[Any]

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
ULTRASOUND_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
SECRET_NAME = "SECRET^NAME"
SECRET_ID = "SECRET-ID-4711"


def speckle(rows: int = 48, columns: int = 64, seed: int = 0) -> Array:
    """Grey uint8 (rows, columns): black margin, smooth picture with every level up to white."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(20, 250, columns)[np.newaxis, :] * np.linspace(1, 0.4, rows)[:, np.newaxis]
    image = np.clip(ramp + random.normal(0, 3, (rows, columns)), 0, 255).astype(np.uint8)
    image[:4] = image[:, :6] = 0
    return image


def with_doppler(grey: Array) -> Array:
    """RGB (rows, columns, 3) of the grey picture with a red block at rows 16:32, columns 16:32."""
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    rgb[16:32, 16:32] = (200, 40, 30)
    return rgb


def to_ybr(rgb: Array) -> Array:
    """YBR_FULL by the formula of PS3.3 C.7.6.3.1.2, in floating point."""
    matrix = np.array(
        [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]]
    )
    return np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255).astype(np.uint8)


def header(rows: int, columns: int, **elements: Any) -> Dataset:
    """An ultrasound header: 8-bit MONOCHROME2 unless `elements` say otherwise; None removes."""
    found = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": ULTRASOUND,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "PatientName": SECRET_NAME,
        "PatientID": SECRET_ID,
        "Modality": "US",
        "Manufacturer": "Acme",
        "ManufacturerModelName": "Wave 3",
        "StudyDate": "20240503",
        "StudyTime": "140700",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        **elements,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(found, keyword, value)
    return found


def colour_header(rows: int, columns: int, photometric: str, **elements: Any) -> Dataset:
    """As `header`, three samples by pixel."""
    values = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": photometric,
        "PlanarConfiguration": 0,
        **elements,
    }
    return header(rows, columns, **values)


def region(
    box: Sequence[int] = (0, 0, 47, 63), delta: Sequence[float] = (0.01, 0.02), **elements: Any
) -> Dataset:
    """A tissue region; `box` row_0, column_0, row_1, column_1; `delta` cm (row, column)."""
    item = Dataset()
    values: dict[str, Any] = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 0,
        "RegionLocationMinY0": box[0],
        "RegionLocationMinX0": box[1],
        "RegionLocationMaxY1": box[2],
        "RegionLocationMaxX1": box[3],
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaY": delta[0],
        "PhysicalDeltaX": delta[1],
        **elements,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(item, keyword, value)
    return item


def encapsulate(
    frames: Sequence[Sequence[bytes]],
    *,
    table: Callable[[list[int]], Sequence[int]] | None = None,
) -> bytes:
    """Fragments of every frame as the value of PixelData (PS3.5 A.4); pydicom adds its end.

    `table` turns the true offsets into what the Basic Offset Table says; None leaves it empty.
    """
    offsets, items = [], b""
    for frame in frames:
        offsets.append(len(items))
        for fragment in frame:
            value = fragment + b"\0" * (len(fragment) % 2)
            items += struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value
    said = list(table(offsets)) if table else []
    return struct.pack(f"<HHL{len(said)}L", 0xFFFE, 0xE000, 4 * len(said), *said) + items


def write(
    path: Path, data: Dataset, pixels: bytes | None, syntax: str = ExplicitVRLittleEndian
) -> Path:
    """Write header and pixel bytes as they are, with a preamble."""
    data = data.copy()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(syntax)
    if pixels is not None:
        _put_pixels(data, pixels, UID(syntax))
    data.save_as(path, enforce_file_format=True)
    return path


def write_bare(path: Path, data: Dataset, pixels: bytes) -> Path:
    """Write implicit little endian without preamble and meta information."""
    data = data.copy()
    _put_pixels(data, pixels, ImplicitVRLittleEndian)
    data.save_as(path, implicit_vr=True, little_endian=True)
    return path


def _put_pixels(data: Dataset, pixels: bytes, syntax: UID) -> None:
    compressed = syntax.is_private or (syntax.is_transfer_syntax and syntax.is_encapsulated)
    pixels += b"\0" * (len(pixels) % 2)
    data.add_new(
        "PixelData", "OB" if compressed or data.get("BitsAllocated") == 8 else "OW", pixels
    )
    data["PixelData"].is_undefined_length = compressed


def jpeg(image: Array, quality: int = 95, **options: Any) -> bytes:
    """Baseline JPEG of grey or RGB, 4:2:0 with JFIF marker unless told otherwise."""
    return _pillow(image, "JPEG", quality=quality, **options)


def jpeg_without_jfif(ybr: Array) -> bytes:
    """Baseline JPEG of samples as they are, without a marker that names the colour space."""
    stream = _pillow(Image.fromarray(ybr, mode="YCbCr"), "JPEG", quality=95, subsampling=0)
    length = struct.unpack(">H", stream[4:6])[0]
    return stream[:2] + stream[4 + length :]


def jpeg_2000(image: Array, lossless: bool = True) -> bytes:
    """JPEG 2000 code stream; RGB is stored through RCT or ICT."""
    mct = {"mct": 1} if image.ndim == 3 else {}
    return _pillow(image, "JPEG2000", no_jp2=True, irreversible=not lossless, **mct)


def _pillow(image: Array | Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def compressed(path: Path, data: Dataset, frames: Array, syntax: UID) -> Path:
    """Write RLE or JPEG-LS through pydicom, JPEG lossless through gdcm."""
    if syntax == JPEGLosslessSV1:
        return _gdcm_lossless(path, write(path, data, frames.tobytes()))
    write(path, data, frames.tobytes())
    full = dcmread(path)
    full.compress(syntax)
    full.save_as(path)
    return path


def _gdcm_lossless(path: Path, native: Path) -> Path:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(native))
    if not reader.Read():
        raise RuntimeError("gdcm cannot read")
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError("gdcm cannot compress")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError("gdcm cannot write")
    return path


def jpeg_cine(
    path: Path, frames: int, *, rows: int = 48, columns: int = 64, **options: Any
) -> Path:
    """A grey JPEG baseline cine; frame n (from 1) shows `speckle(seed=n)`."""
    streams = [[jpeg(speckle(rows, columns, seed=number + 1))] for number in range(frames)]
    data = header(rows, columns, NumberOfFrames=frames, SOPClassUID=ULTRASOUND_MULTIFRAME)
    return write(path, data, encapsulate(streams, **options), JPEGBaseline8Bit)
