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
    inside = _inside([(contour + 0.5 - low) * fine - 0.5 for contour in contours], size * fine)
    blocks = inside.reshape(size[0], fine, size[1], fine)
    share[low[0] : high[0], low[1] : high[1]] = blocks.mean((1, 3))
    return share


def _inside(contours: Sequence[NDArray[np.float64]], shape: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return which whole (row, column) of a grid lie inside closed contours (n, 2), even-odd.

    Scanlines: in every row each edge that crosses it flips all that lies to the right, so that the
    time follows the length of the edges and not, as in skimage.draw, their number times the area.
    """
    rows, columns = (int(n) for n in shape)
    flips = np.zeros((rows, columns + 1), np.int32)
    start = np.concatenate(contours)
    end = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours])
    down = start[:, 0] < end[:, 0]
    top, bottom = np.where(down[:, None], start, end), np.where(down[:, None], end, start)
    # Half open, so that a corner on a row counts once.
    first = np.clip(np.ceil(top[:, 0]), 0, rows).astype(int)
    last = np.clip(np.ceil(bottom[:, 0]), 0, rows).astype(int)
    count = last - first
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    share = (row - top[edge, 0]) / (bottom[edge, 0] - top[edge, 0])
    column = top[edge, 1] + share * (bottom[edge, 1] - top[edge, 1])
    np.add.at(flips, (row, np.clip(np.ceil(column), 0, columns).astype(int)), 1)
    inside: NDArray[np.bool_] = np.cumsum(flips, axis=1)[:, :columns] % 2 == 1
    return inside
