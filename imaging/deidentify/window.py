"""Where a clip shows ultrasound, and nothing else: the part of its frames that may stay.

The B-mode image within the regions that the header names (imaging.sector), found as measuring finds
it, so that the same is measured before and after.
"""

from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class NoWindow:
    """Why a clip shows nothing that could stay, in a sentence."""

    why: str


def find_window(clip: Clip) -> Mask | NoWindow:
    """Return what of every frame may stay, bool (rows, columns).

    Raises ClipError if no frame is readable.
    """
    if refusal := bmode_refusal(clip.header):
        return NoWindow(refusal.message)
    shape = (clip.rows, clip.columns)
    seen = brightest(clip.frame, clip.frames, shape)
    window = np.zeros(shape, bool)
    for box in tissue_boxes(clip.header, shape) or (Box(0, 0, shape[0] - 1, shape[1] - 1),):
        part = _part(box)
        sector = find_sector(seen.drawn[part])
        if sector.any() and is_page(Screen(seen.drawn[part], sector)):
            return NoWindow("The picture is writing or areas of one colour, not echoes.")
        window[part] |= sector
    if not window.any():
        return NoWindow("No ultrasound image was found in the picture.")
    return window


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
