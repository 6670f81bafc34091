"""Measures of a strip over time: M-mode and Doppler spectra, with time along the columns.

All take float32 (rows, columns) and nothing else; imaging.screens has the limits.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Picture = NDArray[np.float32]


def flow_direction(strip: Picture, dark: float) -> float:
    """Return how far texture runs one way, 0 to 1: the median coherence of the structure tensor
    (Weickert 1999, Int J Comput Vis 31:111) over the places brighter than `dark`.
    """
    down, across = np.gradient(ndimage.gaussian_filter(strip, 1.0))
    reach = max(4, round(0.03 * min(strip.shape)))

    def around(values: Picture) -> Picture:
        mean: Picture = ndimage.uniform_filter(values, 2 * reach + 1)[::reach, ::reach]
        return mean

    a, b, c = around(down * down), around(across * across), around(down * across)
    lit = around(strip) > dark
    coherence = np.sqrt((a - b) ** 2 + 4 * c * c) / (a + b + 1)
    return float(np.median(coherence[lit])) if lit.sum() >= 20 else 0.0


def steadiness(strip: Picture, passes: int = 3) -> float:
    """Return how alike the columns are once each is shifted onto the mean of the others, -1 to 1.

    Shifts change little from column to column, as tissue moves. What an M-mode trace shows at one
    time it shows at every other; a picture of tissue changes from side to side.
    """
    detail = _detail(_shrunk(strip, 160, 80))
    rows, columns = detail.shape
    reach, step = max(3, round(0.12 * rows)), max(1, round(0.02 * rows))
    height = rows - 2 * reach
    shift = np.full(columns, reach)
    score = np.zeros(columns)
    for _ in range(passes):
        aligned = np.take_along_axis(detail, np.arange(height)[:, None] + shift, 0)
        others = (aligned.sum(1, keepdims=True) - aligned) / (columns - 1)
        likeness = np.stack(
            [_correlation(detail[s : s + height], others) for s in range(2 * reach + 1)]
        )
        shift = _best_path(likeness, step)
        score = likeness[shift, np.arange(columns)]
    return float(np.median(score))


def filled_from_baseline(
    strip: Picture, threshold: Callable[[Picture], float]
) -> tuple[float, float]:
    """Return how many grey levels the picture changes by at the row that explains it best as a
    baseline, and how well it does, 0 to 1.

    What is bright is compared with the runs of bright pixels that start at the row and go up, or
    down: the share of the union that both have.
    """
    small = ndimage.gaussian_filter(_shrunk(strip, 80, 160), 0.7)
    bright = small > threshold(small)
    best = (0.0, 0, False)
    for flipped in (False, True):
        picture = bright[::-1] if flipped else bright
        # The wall filter leaves a dark gap at the baseline: two rows are given.
        closed = ndimage.binary_closing(np.pad(picture, ((3, 3), (0, 0))), np.ones((3, 1)))[3:-3]
        for base in range(len(picture) // 4, len(picture) + 1):
            up = closed[:base][::-1].copy()
            up[:2] = True
            run = np.cumprod(up, 0).astype(bool)
            both = np.count_nonzero(run & picture[:base][::-1])
            either = np.count_nonzero(run) + np.count_nonzero(picture) - both
            share = float(both) / max(1.0, float(either))
            if share > best[0]:
                best = (share, len(picture) - base if flipped else base, flipped)
    return _step(strip, best[1] * len(strip) / len(small)), best[0]


def _step(strip: Picture, row: float) -> float:
    """Return the least change of grey across a row near `row` that seven columns in eight have; 0
    where the row is the edge of the picture, beyond which nothing is known."""
    reach, slack = max(3, round(0.015 * len(strip))), max(2, round(0.03 * len(strip)))
    if row <= slack + reach or row >= len(strip) - slack - reach:
        return 0.0
    best = 0.0
    for at in range(round(row) - slack, round(row) + slack + 1):
        change = strip[at : at + reach].mean(0) - strip[at - reach : at].mean(0)
        low, high = np.percentile(change, [12.5, 87.5])
        best = max(best, float(low), float(-high))
    return best


def _shrunk(picture: Picture, rows: int, columns: int) -> Picture:
    """Return means over blocks, so that at least about so many rows and columns are left."""
    down, across = max(1, len(picture) // rows), max(1, picture.shape[1] // columns)
    height, width = len(picture) // down, picture.shape[1] // across
    blocks = picture[: height * down, : width * across].reshape(height, down, width, across)
    mean: Picture = blocks.mean((1, 3))
    return mean


def _detail(picture: Picture) -> Picture:
    """Return what differs from its surroundings along the rows, with even strength."""
    rows = len(picture)
    detail = picture - ndimage.gaussian_filter1d(picture, 0.04 * rows, axis=0, mode="nearest")
    strength = np.sqrt(ndimage.gaussian_filter1d(detail * detail, 0.1 * rows, axis=0))
    even: Picture = detail / (strength + 3)
    return even


def _correlation(one: Picture, other: Picture) -> NDArray[np.float64]:
    """Return the correlation of each pair of columns."""
    norm = np.sqrt((one * one).sum(0) * (other * other).sum(0) + 1e-6)
    found: NDArray[np.float64] = (one * other).sum(0) / norm
    return found


def _best_path(score: NDArray[np.float64], step: int) -> NDArray[np.intp]:
    """Return for each column the row of `score` (shifts, columns) on the path of the highest sum
    that changes by at most `step` from column to column (Viterbi)."""
    shifts, columns = score.shape
    offsets = np.arange(-step, step + 1)
    total, came_from = score[:, 0], []
    for column in range(1, columns):
        padded = np.pad(total, step, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * step + 1)
        came_from.append(np.arange(shifts) + offsets[windows.argmax(1)])
        total = windows.max(1) + score[:, column]
    path = [int(total.argmax())]
    for previous in reversed(came_from):
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1])
