"""Where the B-mode image is within a frame, so that text, grey bar and ruler stay outside.

The region box of DICOM, where there is one, is only a rectangle around the fan and often holds
writing as well; the pixels decide.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

# Widths relative to the shorter side of the searched box: speckle has holes smaller than CLOSE,
# and writing, ticks and grey bars are narrower than 2 * OPEN.
CLOSE = 0.015
OPEN = 0.02
# A B-mode image fills at least this share of the box; less is writing or an empty screen.
MIN_SHARE = 0.04
# Grey levels above the background that count as lit.
LIT = 6
# Share of the border that must have one level for it to be the empty screen's; a linear probe's
# picture that fills its box has no such border.
FLAT_SHARE = 0.5
DARKER_SHARE = 0.15


def _disk(radius: int) -> NDArray[np.bool_]:
    r, c = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: NDArray[np.bool_] = r * r + c * c <= radius * radius
    return disk


def _background(luma: NDArray[np.uint8]) -> int:
    """Return the level of the empty screen: the commonest along the border, if it is flat."""
    border = np.concatenate([luma[0], luma[-1], luma[:, 0], luma[:, -1]])
    histogram = np.bincount(border, minlength=256)
    level = int(histogram.argmax())
    near = histogram[max(0, level - 3) : level + 4].sum()
    # Much that is darker than the border means that the border is a frame, not the screen.
    darker = np.count_nonzero(luma < level - LIT)
    empty = near > FLAT_SHARE * border.size and darker < DARKER_SHARE * luma.size
    return level if empty else 0


def find_sector(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the mask of the B-mode image, bool (rows, columns).

    `luma` is uint8 (rows, columns), already cut to the region box if the file has one. The mask is
    the convex hull of the largest lit area after closing the gaps of speckle and opening away
    everything as narrow as writing; it is empty where there is no such area. Dark parts (a
    bladder, a shadow that does not reach round the edge) stay inside because of the hull.
    """
    rows, columns = luma.shape
    empty = np.zeros(luma.shape, bool)
    if min(rows, columns) < 16:
        return empty
    # Work on about 160 rows: the shape of the fan needs no more, and a maximum over each block
    # keeps sparse speckle connected.
    factor = max(1, min(rows, columns) // 160)
    height, width = -(-rows // factor), -(-columns // factor)
    padded = np.pad(luma, ((0, height * factor - rows), (0, width * factor - columns)), "edge")
    small = padded.reshape(height, factor, width, factor).max((1, 3))
    small = ndimage.median_filter(small, 3)
    lit = small > _background(luma) + LIT
    side = min(small.shape)
    close, opening = (max(1, round(share * side)) for share in (CLOSE, OPEN))
    # Padding keeps both operations from treating the edge of the frame as part of the image.
    lit = np.pad(lit, 2 * opening)
    lit = ndimage.binary_fill_holes(ndimage.binary_closing(lit, _disk(close)))
    lit = ndimage.binary_opening(lit, _disk(opening))
    labels, count = ndimage.label(lit)
    if count == 0:
        return empty
    sizes = np.bincount(labels.ravel())[1:]
    lit = labels == sizes.argmax() + 1
    if lit.sum() < MIN_SHARE * small.size:
        return empty
    hull = convex_hull_image(lit)[2 * opening : -2 * opening, 2 * opening : -2 * opening]
    full: NDArray[np.bool_] = np.repeat(np.repeat(hull, factor, 0), factor, 1)
    return full[:rows, :columns]
