"""Frames of a DICOM file, one at a time, without reading or decoding the others."""

import struct
from typing import Any, BinaryIO

import numpy as np
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import JPEGLossless, JPEGLosslessSV1, RLELossless

from imaging.codestream import is_complete, read_codestream
from imaging.dicom_file import DicomFile, shown_uid, syntax_name
from imaging.errors import INTERRUPTS, ClipError
from imaging.fragments import FrameSpans, locate_frames
from imaging.image_format import PALETTE, ImageFormat, image_format
from imaging.palette import read_palette
from imaging.pixels import Palette, Planes, Samples, planes

# In this order, so that the grey levels of a file do not depend on what else is installed: first
# what the package itself requires. Pillow is also four times faster than gdcm on JPEG baseline.
_DECODER_ORDER = ("pillow", "pyjpegls", "pylibjpeg", "pydicom")
# gdcm aborts the process on some damaged streams, so it gets only what nothing else can read
_LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)


class DicomPixels:
    """The pixels of one open DICOM file.

    Creating it checks that header and pixel data tell the same story; see `frame` for what can
    only be seen later.

    Raises:
        ClipError: no decoder for the transfer syntax, an unusable header, or pixel data whose
            length or number of frames contradicts the header.
    """

    def __init__(self, source: DicomFile) -> None:
        """Check the layout and find the frames; reads eight bytes per compressed fragment."""
        self.layout: ImageFormat = image_format(source.header)
        self.name = syntax_name(source.syntax)
        self.syntax = source.syntax
        self._source = source
        self._decoder = _decoder(source, self.name)
        self._frames: tuple[FrameSpans, ...] = ()
        if self._decoder.is_encapsulated:
            self._frames = _compressed_frames(source, self.layout, self.name)
        else:
            _check_native(source, self.layout, self.name)
        self.palette: Palette | None = None
        if self.layout.photometric == PALETTE:
            self.palette = read_palette(source.header, source.little_endian)

    def frame(self, number: int) -> Planes:
        """Decode frame `number` (from 1, within the clip).

        Raises:
            ClipError: the frame is damaged, or its code stream has another size than the header.
        """
        try:
            samples, photometric = self._samples(number)
            return planes(
                samples, photometric, self.layout.bits_stored, self.layout.signed, self.palette
            )
        except ClipError:
            raise
        except Exception as error:
            raise self._damaged(number, error) from error

    def samples(self, number: int) -> tuple[Samples, str]:
        """Decode frame `number` as it is stored: integers (rows, columns) or (rows, columns, 3),
        unused bits cleared, and their true PhotometricInterpretation; YBR stays YBR.

        Raises:
            ClipError: as `frame`.
        """
        try:
            return self._samples(number)
        except ClipError:
            raise
        except Exception as error:
            raise self._damaged(number, error) from error

    def _damaged(self, number: int, error: Exception) -> ClipError:
        return ClipError(
            f"Frame {number} of {self.layout.frames} cannot be decoded ({self.name}): "
            f"{type(error).__name__}: {error}"
        )

    def _samples(self, number: int) -> tuple[Samples, str]:
        if self._decoder.is_encapsulated:
            return self._compressed(number)
        return self._native(number)

    def _options(self, frames: int) -> dict[str, Any]:
        layout = self.layout
        return {
            "number_of_frames": frames,
            "rows": layout.rows,
            "columns": layout.columns,
            "samples_per_pixel": layout.samples,
            "bits_allocated": layout.bits_allocated,
            "bits_stored": layout.bits_stored,
            "pixel_representation": int(layout.signed),
            "photometric_interpretation": layout.photometric,
            "planar_configuration": layout.planar,
            "pixel_keyword": "PixelData",
            "pixel_vr": self._source.vr,
            "raw": True,  # YBR stays YBR
        }

    def _native(self, number: int) -> tuple[Samples, str]:
        self._source.file.seek(self._source.start)
        samples, found = self._decoder.as_array(
            self._source.file,
            index=number - 1,
            **self._options(frames=self.layout.frames),
        )
        return samples, str(found["photometric_interpretation"])

    def _compressed(self, number: int) -> tuple[Samples, str]:
        data = _read(self._source.file, self._frames[number - 1])
        adobe = False
        if self._source.syntax != RLELossless:
            adobe = _check_codestream(data, self._source, self.layout, number)
        data += b"\0" * (len(data) % 2)
        one_frame = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(data)) + data
        causes = []
        for plugin in _in_order(self._decoder):
            try:
                samples, found = self._decoder.as_array(
                    one_frame,
                    index=0,
                    decoding_plugin=plugin,
                    **self._options(frames=1),
                )
            except INTERRUPTS:
                raise
            except BaseException as error:  # noqa: BLE001 - the other decoders are still to be tried
                causes.append(f"{plugin}: {_cause(error)}")
                continue
            # With Adobe's marker Pillow gives RGB whatever the tag says
            rgb = adobe and plugin == "pillow" and self.layout.samples == 3
            return samples, "RGB" if rgb else str(found["photometric_interpretation"])
        causes += [f"not installed: {missing}" for missing in self._decoder.missing_dependencies]
        raise ClipError(
            f"Frame {number} of {self.layout.frames} cannot be decoded ({self.name}). "
            f"Tried: {'; '.join(causes)}. The frame is damaged or of an unusual kind; export the "
            "clip again, uncompressed if the scanner offers it."
        )


def _decoder(source: DicomFile, name: str) -> Decoder:
    uid = shown_uid(source.syntax)
    try:
        decoder = get_decoder(source.syntax)
    except NotImplementedError:
        raise ClipError(
            f"The pixels are compressed as {name} ({uid}), for which there is no "
            "decoder here. Export the clip uncompressed, as JPEG, or as RLE."
        ) from None
    if not decoder.is_available:
        raise ClipError(
            f"The pixels are compressed as {name} ({uid}), and every decoder for it "
            f"is missing: {'; '.join(decoder.missing_dependencies)}. Install one of them, or "
            "export the clip uncompressed."
        )
    return decoder


def _cause(error: BaseException) -> str:
    # pydicom wraps a plugin's error in a sentence of its own, with the cause in the last line
    lines = str(error).splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _in_order(decoder: Decoder) -> list[str]:
    order = ("gdcm", "pylibjpeg") if decoder.UID in _LOSSLESS_JPEG else _DECODER_ORDER
    return [name for name in order if name in decoder.available_plugins]


def _read(file: BinaryIO, spans: FrameSpans) -> bytes:
    parts = []
    for span in spans:
        file.seek(span.start)
        parts.append(file.read(span.length))
    return b"".join(parts)


def _compressed_frames(source: DicomFile, layout: ImageFormat, name: str) -> tuple[FrameSpans, ...]:
    if source.length is not None:
        raise ClipError(
            f"The transfer syntax {name} is compressed, but the pixel data are not: header and "
            "data contradict each other. Export the clip again."
        )
    extended: tuple[int, ...] = ()
    table = source.header.get("ExtendedOffsetTable")
    if isinstance(table, bytes) and len(table) % 8 == 0:
        extended = tuple(int(offset) for offset in np.frombuffer(table, dtype="<u8"))
    return locate_frames(
        source.file,
        source.start,
        source.size,
        layout.frames,
        extended=extended,
        one_each=source.syntax == RLELossless,
    )


def _check_native(source: DicomFile, layout: ImageFormat, name: str) -> None:
    """Compare the length of uncompressed pixel data with what the header asks for.

    Too little is an error. Too much is tolerated only as padding: less than one row and less than
    one column of the image, because more could as well be a wrong Rows or Columns, with which the
    picture would be sheared or cut and its millimetres wrong.
    """
    length = source.length
    if length is None:
        raise ClipError(
            f"The transfer syntax {name} is uncompressed, but the pixel data are compressed: "
            "header and data contradict each other. Export the clip again."
        )
    there = source.size - source.start
    if there < length:
        raise ClipError(
            f"The file is cut off: the pixel data need {length:,} bytes, of which {there:,} are "
            "there. Copy or export the clip again."
        )
    expected = layout.frame_bytes * layout.frames
    padding = min(layout.rows, layout.columns) * (layout.bits_allocated // 8)
    if not expected <= length < expected + padding:
        raise ClipError(
            f"Header and pixel data contradict each other: {layout.as_text()} x NumberOfFrames "
            f"{layout.frames} is {expected:,} bytes, but there are {length:,}, enough for "
            f"{length / layout.frame_bytes:.4g} frames. Export the clip again."
        )
    if layout.samples == 3 and "PlanarConfiguration" not in source.header:
        raise ClipError("The header has no PlanarConfiguration, so colour cannot be laid out.")


def _check_codestream(data: bytes, source: DicomFile, layout: ImageFormat, number: int) -> bool:
    """Compare a compressed frame's own size with the header; return whether it has Adobe's marker.

    The decoders allocate what the code stream says, so this also stops an absurd one.
    """
    name = syntax_name(source.syntax)
    stream = read_codestream(data)
    unfit = stream is not None and (
        not 2 <= stream.precision <= layout.bits_allocated
        or (source.syntax in _LOSSLESS_JPEG) != stream.lossless_jpeg
    )
    if stream is None or unfit:
        raise ClipError(
            f"Frame {number} of {layout.frames} is no {name} code stream. The file is damaged or "
            "its transfer syntax is wrong; export the clip again."
        )
    found = (stream.rows, stream.columns, stream.samples)
    if found != (layout.rows, layout.columns, layout.samples):
        raise ClipError(
            f"Header and pixel data contradict each other: the header says {layout.rows} rows x "
            f"{layout.columns} columns x {layout.samples} samples, the code stream of frame "
            f"{number} says {found[0]} x {found[1]} x {found[2]}. Export the clip again."
        )
    if not is_complete(data):
        raise ClipError(
            f"Frame {number} of {layout.frames} is cut off: its {name} code stream has no end "
            "marker. Copy or export the clip again."
        )
    return stream.adobe
