"""From outlines to pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Sub-pixels along each axis; fewer where an outline spans a very large frame. Even, so that none
# lies on an edge that runs through pixel centres or between pixels.
FINE = 8
MAX_SUBPIXELS = 40_000_000


def coverage(
    contours: Sequence[NDArray[np.floating]], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return how much of every pixel lies inside closed contours: float64 (rows, columns), 0 to 1.

    `contours` are (n, 2) points (row, column) in pixels, whole numbers at pixel centres; a contour
    inside another is a hole (even-odd rule). What lies outside the frame is left out. Pixels are
    sampled at FINE x FINE points, so that a line thinner than a pixel is not lost by chance.
    """
    from skimage.draw import polygon

    share = np.zeros(shape)
    contours = [np.asarray(contour, float) for contour in contours if len(contour)]
    if not contours:
        return share
    points = np.concatenate(contours)
    low = np.clip(np.floor(points.min(0) + 0.5), 0, shape).astype(int)
    high = np.clip(np.floor(points.max(0) + 0.5) + 1, 0, shape).astype(int)
    size = high - low
    if (size <= 0).any():
        return share
    fine = FINE if size.prod() * FINE**2 <= MAX_SUBPIXELS else 1
    inside = np.zeros(size * fine, bool)
    for contour in contours:
        at = (contour + 0.5 - low) * fine - 0.5
        inside[polygon(at[:, 0], at[:, 1], inside.shape)] ^= True
    blocks = inside.reshape(size[0], fine, size[1], fine)
    share[low[0] : high[0], low[1] : high[1]] = blocks.mean((1, 3))
    return share
