"""Frames of a PNG, JPEG or TIFF image: no header, no calibration, the same road afterwards."""

from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from imaging.errors import ClipError
from imaging.image_format import MAX_FRAME_PIXELS
from imaging.pixels import Planes, planes

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def looks_like_still(start: bytes) -> bool:
    """Tell from its first bytes whether a file is a PNG, JPEG or TIFF (BigTIFF too)."""
    return start.startswith(_MAGIC)


class StillPixels:
    """The pixels of one open image file; the pages of a TIFF count as frames.

    Grey of 1, 8 and 16 bits, colour and indexed colour are read; transparency and EXIF rotation
    are ignored, so that a pixel is where the file has it.

    Raises:
        ClipError: the file is damaged, too large, or of a kind without a known grey scale.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the image's header; no pixels yet."""
        try:
            self._image = Image.open(file, formats=("PNG", "JPEG", "TIFF"))
            self.columns, self.rows = self._image.size
            pages = getattr(self._image, "n_frames", 1) if self._image.format == "TIFF" else 1
        except Exception as error:
            raise ClipError(f"The image cannot be opened: {_cause(error)}") from error
        self.frames = int(pages)
        if self.rows * self.columns > MAX_FRAME_PIXELS:
            raise ClipError(
                f"The image says {self.rows} x {self.columns} pixels; more than "
                f"{MAX_FRAME_PIXELS:,} are not believed of an ultrasound frame."
            )

    def frame(self, number: int) -> Planes:
        """Decode the image, or page `number` (from 1) of a TIFF.

        Raises:
            ClipError: the image is damaged, or a page has another size than the first.
        """
        try:
            if self.frames > 1:
                self._image.seek(number - 1)
            if self._image.size != (self.columns, self.rows):
                raise ClipError(
                    f"Page {number} is {self._image.height} x {self._image.width} pixels, the "
                    f"first is {self.rows} x {self.columns}. Save the pages as separate files."
                )
            return _planes(self._image)
        except ClipError:
            raise
        except Exception as error:
            raise ClipError(f"The image cannot be decoded: {_cause(error)}") from error


def _planes(image: ImageFile.ImageFile) -> Planes:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.info.get("adobe_transform", 1):
        image.draft("YCbCr", image.size)  # the stored Y, as for a DICOM file with the same JPEG
    mode = image.mode
    if mode.startswith("I;16"):
        return planes(np.asarray(image).astype(np.uint16), "MONOCHROME2", 16)
    if mode in ("I", "F"):
        raise ClipError(
            f"The image has grey levels of 32 bits (Pillow mode {mode}), whose range nobody "
            "states. Save it with 8 or 16 bits."
        )
    if mode in ("1", "L", "LA", "La"):
        return planes(np.asarray(image.convert("L")), "MONOCHROME2")
    if mode == "YCbCr":
        return planes(np.asarray(image), "YBR_FULL")
    return planes(np.asarray(image.convert("RGB")), "RGB")


def _cause(error: Exception) -> str:
    # Pillow may quote the file object's name; its path is the caller's to tell
    return f"{type(error).__name__}, {str(error).split('<', maxsplit=1)[0].strip()}"
