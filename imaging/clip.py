"""A clip: one ultrasound file, a still or a cine, whatever its format, frame by frame."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import SEEK_END
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from pydicom import Dataset

from imaging.decoding import DicomPixels
from imaging.dicom_file import looks_like_dicom, open_dicom
from imaging.errors import ClipError, cause
from imaging.identity import ClipIdentity, clip_identity
from imaging.pixels import Int8, Mask, Planes, Uint8, colour_mask, graphics_mask
from imaging.source import Source, as_source
from imaging.stills import StillPixels, looks_like_still

__all__ = ["Clip", "ClipError", "ClipIdentity", "Frame", "sha256"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        number: from 1, as in DICOM.
        luma: uint8 (rows, columns).
        colour: bool (rows, columns), True where the pixel is coloured: Doppler, coloured
            calipers and text, tinted grey maps.
        chroma: int8 (rows, columns, 2) of Cb and Cr around 0, or None for a grey image.
    """

    number: int
    luma: Uint8
    colour: Mask
    chroma: Int8 | None = None

    @cached_property
    def graphics(self) -> Mask:
        """Coloured pixels that a tinted grey map does not explain: bool (rows, columns)."""
        if self.chroma is None:
            return self.colour
        return graphics_mask(self.luma, self.chroma)


class Clip:
    """One DICOM object, or one PNG, JPEG or TIFF image.

    Holds the file open and decodes a frame when it is asked for, so that memory does not grow
    with the clip. Frames read by one thread at a time; use it as a context manager::

        with Clip.open("clip.dcm") as clip:
            for frame in clip:
                ...

    Attributes:
        rows, columns: size of every frame in pixels.
        frames: how many there are.
        header: the DICOM data set without its pixel data; None for PNG, JPEG and TIFF.
        identity: whose clip it is, and when it was taken.
        transfer_syntax: its name; None for PNG, JPEG and TIFF.
        dicom: the stored pixels, undecided what they show; None for PNG, JPEG and TIFF.
    """

    def __init__(self, file: BinaryIO, *, owns_file: bool = False) -> None:
        """Read the header from an open, seekable binary file; see `open`."""
        self._file = file
        self._owns_file = owns_file
        self.header: Dataset | None = None
        self.transfer_syntax: str | None = None
        self.dicom: DicomPixels | None = None
        self._pixels: DicomPixels | StillPixels
        start = _start_of(file)
        if looks_like_dicom(start):
            source = open_dicom(file)
            pixels = DicomPixels(source)
            self._pixels = self.dicom = pixels
            self.header = source.header
            self.transfer_syntax = pixels.name
            self.rows, self.columns = pixels.layout.rows, pixels.layout.columns
            self.frames = pixels.layout.frames
        elif looks_like_still(start):
            still = StillPixels(file)
            self._pixels = still
            self.rows, self.columns, self.frames = still.rows, still.columns, still.frames
        else:
            raise ClipError(
                "The file is no DICOM and no PNG, JPEG or TIFF image: neither the mark of DICOM "
                "at byte 128 nor a DICOM element or image signature at its start was found."
            )
        self.identity: ClipIdentity = clip_identity(self.header)

    @classmethod
    def open(cls, source: str | os.PathLike[str] | Source | BinaryIO) -> Self:
        """Open a path, a Source, or a seekable binary file that the caller keeps and closes.

        Raises:
            ClipError: the file cannot be read, is no image, or contradicts itself.
        """
        if not isinstance(source, str | os.PathLike | Source):
            return cls(source)
        file = as_source(source).open()
        try:
            return cls(file, owns_file=True)
        except BaseException:
            file.close()
            raise

    def frame(self, number: int) -> Frame:
        """Decode frame `number`, counted from 1, and no other.

        Raises:
            ClipError: there is no such frame, or it is damaged or contradicts the header.
        """
        if not 1 <= number <= self.frames:
            raise ClipError(f"There is no frame {number}: the clip has 1 to {self.frames}.")
        return _frame(number, self._pixels.frame(number))

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order, one at a time."""
        for number in range(1, self.frames + 1):
            yield self.frame(number)

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.frames

    def close(self) -> None:
        """Close the file, if it was opened here. More than once does no harm."""
        if self._owns_file:
            self._file.close()

    def __enter__(self) -> Self:
        """Return the clip itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the clip."""
        self.close()


def sha256(source: str | os.PathLike[str] | Source) -> str:
    """Return the SHA-256 of a file or a member in hexadecimal, read piece by piece.

    Raises:
        ClipError: the file cannot be read.
    """
    return as_source(source).sha256()


def _frame(number: int, found: Planes) -> Frame:
    if found.chroma is None:
        return Frame(number, found.luma, np.zeros(found.luma.shape, dtype=np.bool_))
    return Frame(number, found.luma, colour_mask(found.chroma), found.chroma)


def _start_of(file: BinaryIO) -> bytes:
    try:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        start = file.read(132)
    except OSError as error:
        raise ClipError(f"The file cannot be read: {cause(error)}.") from None
    if size == 0:
        raise ClipError("The file is empty (0 bytes). Copy or export the clip again.")
    return start
