"""Writing that is burned into a picture: where is it, whatever it says?

Characters are areas of one level with sharp edges, of nearly one height, and stand in a row on one
line at small distances. Speckle has areas as small and as bright, but neither even nor in rows.
Nothing is read: a person decides what the row says. Meant to find too much rather than too little.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.regions import Box

Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FEWEST = 3
"""Characters in a row; a sign of one or two, as a scanner's mark of orientation, is no writing."""
LEVELS = tuple(range(48, 250, 16))
"""Grey levels above which characters are sought: brighter than what they stand on."""
BANDS, HALF_BAND = tuple(range(64, 256, 12)), 10
"""Levels about which, and by how much, characters are sought: darker than some of it."""
HEIGHT = (6, 48)
"""Least and largest height of a character, in pixels."""
STEP = 35
"""Grey levels by which a character's level differs from its surroundings."""
EVEN = 24
"""A character's level varies by so much, apart from its edge."""
PLATEAU = 0.38
"""Share of a character's pixels that have its level; soft edges take the rest."""
GAP = 1.3
"""Largest distance of two characters in a row, as a share of the height: a colon between them."""
WIDEST = 1.6
"""Largest width of a character, as a share of its height: a W, or two that touch."""
STROKE = 0.22
"""Largest mean width of a stroke, as a share of the height; two pixels in a small one."""


@dataclass(frozen=True)
class Glyph:
    """An area that may be a character."""

    box: Box

    @property
    def height(self) -> int:
        """Rows."""
        return self.box.row_1 - self.box.row_0 + 1


def find_inscriptions(luma: Luma) -> list[Box]:
    """Return boxes around rows of characters, in a picture uint8 (rows, columns)."""
    found = {_around(row) for mask in _masks(luma) for row in rows_of(list(glyphs(luma, mask)))}
    return sorted(found)


def _around(row: list[Glyph]) -> Box:
    boxes = [glyph.box for glyph in row]
    return Box(
        min(box.row_0 for box in boxes),
        min(box.column_0 for box in boxes),
        max(box.row_1 for box in boxes),
        max(box.column_1 for box in boxes),
    )


def _masks(luma: Luma) -> Iterator[Mask]:
    for level in LEVELS:
        yield luma > level
    for level in BANDS:
        yield (luma >= level - HALF_BAND) & (luma <= min(255, level + HALF_BAND))


def glyphs(luma: Luma, mask: Mask) -> Iterator[Glyph]:
    """Yield the areas of a mask (rows, columns) that have the size, the evenness and the strokes
    of characters in `luma`, uint8 (rows, columns)."""
    areas, _ = ndimage.label(mask, np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(areas), start=1):
        height, width = (side.stop - side.start for side in place)
        if HEIGHT[0] <= height <= HEIGHT[1] and width <= WIDEST * height:
            area = areas[place] == number
            if _is_drawn(luma, place, area):
                rows, columns = place
                yield Glyph(Box(rows.start, columns.start, rows.stop - 1, columns.stop - 1))


def _is_drawn(luma: Luma, place: tuple[slice, slice], area: Mask) -> bool:
    """Tell whether an area has one level and stands out, and is made of strokes."""
    values = luma[place][area]
    top = np.percentile(values, 90)
    if (values >= top - EVEN).mean() < PLATEAU:
        return False
    # a stroke of width w has an outline of 2 pixels for every w
    outline = np.count_nonzero(area & ~ndimage.binary_erosion(area))
    if area.sum() / outline > max(2.0, STROKE * len(area)):
        return False
    rows, columns = place
    top_left = max(0, rows.start - 2), max(0, columns.start - 2)
    around = luma[top_left[0] : rows.stop + 2, top_left[1] : columns.stop + 2]
    wide = np.zeros(around.shape, bool)
    row, column = rows.start - top_left[0], columns.start - top_left[1]
    wide[row : row + area.shape[0], column : column + area.shape[1]] = area
    near = ndimage.binary_dilation(wide, np.ones((3, 3)))
    ring = ndimage.binary_dilation(near, np.ones((3, 3))) & ~near
    return bool(ring.any() and abs(top - np.median(around[ring])) >= STEP)


def rows_of(found: list[Glyph]) -> list[list[Glyph]]:
    """Return rows of FEWEST or more: on one line, of nearly one height, close to each other."""
    found = sorted(found, key=lambda glyph: glyph.box.column_0)
    rows: list[list[Glyph]] = []
    used: set[int] = set()
    for start in range(len(found)):
        if start in used:
            continue
        row, members = [found[start]], [start]
        for index in range(start + 1, len(found)):
            if found[index].box.column_0 - row[-1].box.column_1 > 2 * GAP * row[-1].height:
                break
            if index not in used and _follows(row[-1], found[index]):
                row.append(found[index])
                members.append(index)
        if len(row) >= FEWEST:
            rows.append(row)
            used.update(members)
    return rows


def _follows(one: Glyph, other: Glyph) -> bool:
    height = max(one.height, other.height)
    gap = other.box.column_0 - one.box.column_1
    return (
        -1 <= gap <= GAP * height
        and min(one.height, other.height) >= 0.6 * height
        and abs(one.box.row_1 - other.box.row_1) <= max(1, 0.12 * height)
    )
