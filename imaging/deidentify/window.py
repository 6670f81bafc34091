"""Where a clip shows ultrasound, and nothing else: the part of its frames that may stay.

The B-mode image within the regions that the header names (imaging.sector), found as measuring finds
it, so that the same is measured before and after.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.calibration import Box, tissue_boxes
from imaging.clip import Clip
from imaging.deidentify.inscription import find_inscriptions
from imaging.modality import bmode_refusal
from imaging.pixels import Mask
from imaging.probing import brightest
from imaging.screens import Screen, is_page
from imaging.sector import find_sector

# Writing is sought so many pixels beyond the window, so that a row that runs into it is seen whole.
MARGIN = 48
# What is blanked around writing in the window: strokes have soft edges, JPEG rings for 8 pixels.
HALO = 8


# Widths in pixels of the edge around the image that may stay with it, the narrowest that serves.
EDGES = (0, 4, 8, 12, 16)


@dataclass(frozen=True)
class Window:
    """What of every frame is the ultrasound image, and that with its edge: bool (rows, columns).

    Measuring finds the image from the levels around its edge, too. Without them it would find other
    bounds, by some pixels on most real images, and other thicknesses by some hundredths of a mm.
    """

    image: Mask
    edged: Mask


@dataclass(frozen=True)
class NoWindow:
    """Why a clip shows nothing that could stay, in a sentence."""

    why: str


def find_window(clip: Clip) -> Window | NoWindow:
    """Return what of every frame may stay.

    Raises ClipError if no frame is readable.
    """
    if refusal := bmode_refusal(clip.header):
        return NoWindow(refusal.message)
    shape = (clip.rows, clip.columns)
    seen = brightest(clip.frame, clip.frames, shape)
    window, edged = np.zeros(shape, bool), np.zeros(shape, bool)
    for box in tissue_boxes(clip.header, shape) or (Box(0, 0, shape[0] - 1, shape[1] - 1),):
        part = _part(box)
        sector = find_sector(seen.drawn[part])
        if sector.any() and is_page(Screen(seen.drawn[part], sector)):
            return NoWindow("The picture is writing or areas of one colour, not echoes.")
        window[part] |= sector
        edged[part] |= _with_edge(seen.drawn[part], sector)
    if not window.any():
        return NoWindow("No ultrasound image was found in the picture.")
    return Window(window, edged)


def _with_edge(luma: NDArray[np.uint8], sector: Mask) -> Mask:
    """Return the image with the narrowest edge with which it is found again, alone if none does."""
    outside = ndimage.distance_transform_edt(~sector) if not sector.all() else np.zeros(luma.shape)
    for width in EDGES:
        kept: Mask = outside <= width
        if (find_sector(np.where(kept, luma, np.uint8(0))) == sector).all():
            return kept
    return sector


def writing_in(clip: Clip, window: Mask) -> tuple[Mask, int]:
    """Return the pixels of the window on which any frame has writing, bool (rows, columns), and on
    how many frames there is some.

    Rows of characters that touch the window count, with all around them that HALO reaches. Raises
    ClipError if a frame is damaged.
    """
    rows, columns = (np.flatnonzero(window.any(axis)) for axis in (1, 0))
    seen = Box(
        max(0, int(rows[0]) - MARGIN),
        max(0, int(columns[0]) - MARGIN),
        int(rows[-1]) + MARGIN,
        int(columns[-1]) + MARGIN,
    )
    found = np.zeros(window.shape, bool)
    frames = 0
    for frame in clip:
        here = False
        for box in find_inscriptions(frame.luma[_part(seen)]):
            place = np.s_[
                seen.row_0 + box.row_0 : seen.row_0 + box.row_1 + 1,
                seen.column_0 + box.column_0 : seen.column_0 + box.column_1 + 1,
            ]
            if window[place].any():
                found[place] = here = True
        frames += here
    if frames:
        found = ndimage.binary_dilation(found, np.ones((3, 3)), HALO)
    return found & window, frames


def _part(box: Box) -> tuple[slice, slice]:
    return np.s_[box.row_0 : box.row_1 + 1, box.column_0 : box.column_1 + 1]
