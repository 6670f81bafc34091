"""Masks that people drew: label images beside scans."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MEANING = "0 background, 1 (or 255) endometrium, 2 fluid"


class MaskError(Exception):
    """A mask cannot be used; the message says what was found and what is expected."""


def read_mask(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Read a label image: 0 background, 1 endometrium, 2 fluid; 255 counts as 1.

    Returns endometrium and fluid as float64 (rows, columns) of 0 and 1; fluid is None where there
    is none. Raises MaskError for a file that is no image, has colour, or other values.
    """
    values = read_labels(path)
    if values.ndim == 3:
        raise MaskError(f"the image has colours. A mask has labels: {MEANING}.")
    if min(values.shape) < 2:
        raise MaskError(
            f"the image has shape {values.shape}; nothing can be measured in it. "
            f"A mask is as large as the scan: {MEANING}."
        )
    found = np.unique(values).tolist()
    unknown = [value for value in found if value not in (0, 1, 2, 255)]
    if unknown:
        some = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise MaskError(f"the image has the values {some}. A mask has only {MEANING}.")
    endometrium = ((values == 1) | (values == 255)).astype(float)
    fluid = (values == 2).astype(float)
    return endometrium, fluid if fluid.any() else None


def read_labels(path: Path) -> NDArray[np.integer]:
    """Read a label image whatever its numbers mean: whole numbers (rows, columns), or uint8 (rows,
    columns, 3) where the labels are told by colours.

    A palette of greys gives the greys, one of colours the numbers, because that is what each is
    there for. Raises MaskError for a file that is no image of labels.
    """
    try:
        with Image.open(path, formats=("PNG", "TIFF")) as image:
            mode, pages = image.mode, getattr(image, "n_frames", 1)
            values = np.asarray(image)
            palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    except FileNotFoundError:
        raise MaskError("there is no such file.") from None
    except UnidentifiedImageError:
        raise MaskError(f"this is no PNG or TIFF image. A mask has labels: {MEANING}.") from None
    except Exception as error:  # noqa: BLE001 - damaged images raise nearly anything
        raise MaskError(f"the image cannot be read: {error}") from None
    if pages > 1:
        raise MaskError(f"the image has {pages} pages. A mask has one.")
    if mode == "P" and values.max(initial=0) < len(palette):
        used = palette[np.unique(values)]
        if (used == used[:, :1]).all():  # greys by number; a coloured palette numbers the labels
            values = palette[values, 0]
    if values.ndim == 3 and mode in ("RGB", "RGBA", "LA"):
        # Drawing programs often save grey as colour.
        values = values[..., :3] if mode in ("RGB", "RGBA") else values[..., :1]
        if (values == values[..., :1]).all():
            values = values[..., 0]
    if values.dtype.kind not in "bui" or not (values.ndim == 2 or values.shape[2:] == (3,)):
        raise MaskError(
            f"the image has mode {mode} and shape {values.shape}. A mask is a grey image of whole "
            f"numbers: {MEANING}."
        )
    return values if values.dtype.kind != "b" else values.astype(np.uint8)
