"""Caliper marks in a grey picture: crosses of even brightness, upright or slanting, and dots
between two of them.

Colour gives graphics away in a colour picture (imaging.pixels). In a grey export only their shape
does: arms of one brightness, dark between them. Nothing in tissue looks like that in all four
directions at once.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Offsets = NDArray[np.intp]

# Marks are at least this bright, this much brighter than between their arms, and this even.
BRIGHT, CONTRAST, EVEN = 120, 30, 40
# Arms reach at least and at most so many pixels from the middle.
ARM_PX, LONGEST_PX = 4, 14
# How far between the arms it must be dark: strokes are up to three pixels wide.
BETWEEN_PX = (3, 4)
# Dots between two marks: the share of the line that stands out, and how far apart marks may be.
DOTTED_SHARE, FARTHEST_PX = 0.15, 400.0
# A picture with more marks than this has none: it is a grid, or noise.
MOST_MARKS = 12

_UPRIGHT = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
_SLANTING = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])


@dataclass(frozen=True)
class Mark:
    """A cross: its middle (row, column) in pixels, the directions of its arms, their length."""

    centre: tuple[float, float]
    upright: bool
    arm_px: int


def find_marks(luma: Luma, within: Mask) -> list[Mark]:
    """Return the crosses in a picture, in reading order.

    `luma` uint8 and `within`, the B-mode image, bool, both (rows, columns).
    """
    marks = []
    for upright in (True, False):
        arms, between = (_UPRIGHT, _SLANTING) if upright else (_SLANTING, _UPRIGHT)
        middles = _crosses(luma, arms, between)
        middles = middles[within[middles[:, 0], middles[:, 1]]]
        if not len(middles):
            continue
        # Strokes are wider than a pixel: what touches is one mark.
        hits = np.zeros(luma.shape, bool)
        hits[middles[:, 0], middles[:, 1]] = True
        areas, n = ndimage.label(hits, np.ones((3, 3)))
        for row, column in ndimage.center_of_mass(hits, areas, range(1, n + 1)):
            arm = _arm_length(luma, (round(row), round(column)), arms)
            marks.append(Mark((float(row), float(column)), upright, arm))
    marks.sort(key=lambda mark: mark.centre)
    return marks if len(marks) <= MOST_MARKS else []


def pair_mm(marks: list[Mark], spacing_mm: tuple[float, float]) -> float | None:
    """Return the distance (mm) that the marks of a picture measure; None unless it is plain.

    `spacing_mm` is mm per pixel (row, column). Plain are two marks of one kind and no others.
    """
    if len(marks) != 2 or marks[0].upright != marks[1].upright:
        return None
    one, other = (np.multiply(mark.centre, spacing_mm) for mark in marks)
    return float(np.hypot(*(other - one)))


def marks_mask(luma: Luma, marks: list[Mark]) -> Mask:
    """Return the pixels of marks and of dotted lines between them: bool (rows, columns)."""
    mask = np.zeros(luma.shape, bool)
    for mark in marks:
        arms = _UPRIGHT if mark.upright else _SLANTING
        steps = np.arange(mark.arm_px + 2.0)
        _draw(mask, np.round(mark.centre) + (arms[:, None] * steps[:, None]).reshape(-1, 2))
    for one, other in combinations(marks, 2):
        line = _line(np.array(one.centre), np.array(other.centre))
        if line is not None and _is_dotted(luma, line):
            _draw(mask, line)
    return mask


def _crosses(luma: Luma, arms: Offsets, between: Offsets) -> Offsets:
    """Return the pixels (n, 2) that are the middle of a cross, at least `reach` from the edge."""
    reach = max(*BETWEEN_PX, ARM_PX)
    rows, columns = (n - 2 * reach for n in luma.shape)
    if min(rows, columns) <= 0:
        return np.empty((0, 2), np.intp)

    def at(offset: NDArray[np.intp]) -> Luma:
        down, right = (reach + int(o) for o in offset)
        return luma[down : down + rows, right : right + columns]

    # Cheap first: few pixels are bright and stand out from all four corners.
    limit = at(np.array([0, 0])) - np.uint8(CONTRAST)
    likely = at(np.array([0, 0])) >= BRIGHT
    for direction in between:
        likely &= at(direction * BETWEEN_PX[0]) <= limit
    middles = np.argwhere(likely) + reach

    def values(directions: Offsets, lengths: range | tuple[int, ...]) -> NDArray[np.int16]:
        offsets = [direction * length for direction in directions for length in lengths]
        points = middles[None] + np.array(offsets)[:, None]
        shown: NDArray[np.int16] = luma[points[..., 0], points[..., 1]].astype(np.int16)
        return shown

    strokes = np.vstack([values(arms, range(1, ARM_PX + 1)), values(arms[:1], (0,))])
    faintest, brightest = strokes.min(0), strokes.max(0)
    gaps = values(between, BETWEEN_PX).max(0)
    sure = (faintest >= BRIGHT) & (faintest - gaps >= CONTRAST) & (brightest - faintest <= EVEN)
    found: Offsets = middles[sure]
    return found


def _arm_length(luma: Luma, centre: tuple[int, int], arms: Offsets) -> int:
    """Return how many pixels the longest arm reaches."""
    level = int(luma[centre]) - EVEN
    longest = 0
    for direction in arms:
        for length in range(1, LONGEST_PX + 1):
            row, column = centre + direction * length
            if not (0 <= row < luma.shape[0] and 0 <= column < luma.shape[1]):
                break
            if luma[row, column] < level:
                break
            longest = max(longest, length)
    return longest


def _line(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return points (n, 2) a pixel apart from one mark to another, None if they are far apart."""
    length = float(np.hypot(*(other - one)))
    if not 2 * ARM_PX < length <= FARTHEST_PX:
        return None
    return one + np.linspace(0, 1, round(length) + 1)[:, None] * (other - one)


def _is_dotted(luma: Luma, line: NDArray[np.float64]) -> bool:
    """Tell whether enough of a line stands out from what lies beside it."""
    along = line[-1] - line[0]
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    inner = line[ARM_PX:-ARM_PX]

    def at(offset: float) -> NDArray[np.float64]:
        points = (inner + across * offset).T
        shown: NDArray[np.float64] = ndimage.map_coordinates(
            luma, points, output=np.float64, order=1, mode="nearest"
        )
        return shown

    on = np.max([at(offset) for offset in (-1.0, 0.0, 1.0)], 0)
    beside = np.max([at(offset) for offset in (-3.0, 3.0)], 0)
    return bool((on - beside >= CONTRAST).mean() >= DOTTED_SHARE)


def _draw(mask: Mask, points: NDArray[np.float64]) -> None:
    """Set the pixels nearest to points (n, 2); those outside are left out."""
    rows, columns = np.round(points).astype(int).T
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    mask[rows[inside], columns[inside]] = True
