"""Screens that are no B-mode image, told from the pixels: strips over time, pages, renderings.

A secondary capture or a PNG has no region list that would say so (imaging.modality reads that).
Each policy looks at what a tissue picture never shows, and says what was seen and what to do.
Limits come from 344 real B-mode images and from drawn screens (docs/refusals.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from imaging.reasons import Reason, Refusal
from imaging.sector import LIT, find_sector
from imaging.strips import filled_from_baseline, flow_direction, steadiness

Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice]

# Mean grey below which a place says nothing about its texture.
DARK = 20
# Levels within which 3 x 3 pixels are one colour, the level up to which that is black, and the
# share of a picture that may be of one colour.
ONE_COLOUR, BLACK, MOST_ONE_COLOUR = 2, 8, 0.55
# Empty rows between lines of writing.
FEWEST_LINES = 4
# Residual of a 3 x 3 mean over the local grey: real pictures have 0.03 and more, renderings up to
# 0.008. It is taken where speckle is a few pixels wide: at so many mm, or so many rows in all.
LEAST_SPECKLE, SPECKLE_MM, SPECKLE_ROWS = 0.011, 0.25, 220
# A black gutter between two pictures: the share of lit pixels that it has at most, its width at
# least, and the share of the box that a picture beside it fills; one that fills more is the box.
GUTTER, GUTTER_PX, PANEL_SHARE, SAME_SHARE = 0.004, 9, 0.2, 0.95
# A fan fills less than this of the rectangle around it.
FAN_FILL = 0.9
# Rows and columns below which nothing is a picture.
SMALLEST_PX = 64
# A strip over time fills so much of its panel's rows at full width.
STRIP_SHARE = 0.45
# How far its texture runs one way times how alike its columns are; less will do beside another
# picture. Fascia under a linear probe runs one way as well, but not across the whole picture.
ONE_WAY_AND_STEADY, BESIDE_PICTURE = 0.5, 0.27
# A spectrum fills the space from its baseline, and changes there by so many levels.
FILLED, BASELINE_STEP = 0.94, 50.0


@dataclass(frozen=True)
class Screen:
    """What the policies look at: `luma` uint8 and `sector` bool, (rows, columns), of one frame.

    Both are cut to the region of the B-mode image where the file has one. `mm_per_px` is the size
    of its pixels, None where nothing says so.
    """

    luma: Luma
    sector: Mask
    mm_per_px: float | None = None

    @cached_property
    def box(self) -> Box:
        """The rows and columns of the sector."""
        rows, columns = np.flatnonzero(self.sector.any(1)), np.flatnonzero(self.sector.any(0))
        return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    @cached_property
    def inner(self) -> Mask:
        """The sector without its edge."""
        margin = max(2, round(0.01 * min(self.sector.shape)))
        inner: Mask = ndimage.binary_erosion(self.sector, iterations=margin)
        return inner if inner.any() else self.sector

    @cached_property
    def panels(self) -> tuple[Box, ...]:
        """The box, and its large parts between black gutters, which part pictures on a screen."""
        down, across = self.box
        lit = (self.luma[self.box] > LIT) & self.sector[self.box]
        found = [self.box]
        for left, right in _stretches(lit.mean(0) > GUTTER):
            for top, bottom in _stretches(lit[:, left:right].mean(1) > GUTTER):
                share = (bottom - top) * (right - left) / lit.size
                if PANEL_SHARE <= share < SAME_SHARE:
                    rows = slice(down.start + top, down.start + bottom)
                    columns = slice(across.start + left, across.start + right)
                    found.append((rows, columns))
        return tuple(part for part in found if min(self.luma[part].shape) >= SMALLEST_PX)

    @cached_property
    def strips(self) -> tuple[Box, ...]:
        """The rectangles of full width in the panels, where they are most of it."""
        return tuple(strip for panel in self.panels if (strip := self._strip(panel)))

    def _strip(self, panel: Box) -> Box | None:
        sector = self.sector[panel]
        width = sector.sum(1)
        rows = np.flatnonzero(width >= 0.95 * width.max())
        part = sector[rows[0] : rows[-1] + 1]
        columns = np.flatnonzero(part.sum(0) >= 0.9 * len(part))
        if len(part) < STRIP_SHARE * len(sector) or min(len(part), len(columns)) < SMALLEST_PX:
            return None
        top, left = panel[0].start, panel[1].start
        return np.s_[top + rows[0] : top + rows[-1] + 1, left + columns[0] : left + columns[-1] + 1]


def _stretches(shown: Mask) -> list[tuple[int, int]]:
    """Return start and end of the stretches that are True once short gaps are closed."""
    closed = np.pad(shown, GUTTER_PX)
    closed = ndimage.binary_closing(closed, np.ones(GUTTER_PX))[GUTTER_PX:-GUTTER_PX]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], closed, [0]]).astype(int)))
    return list(zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True))


@dataclass(frozen=True)
class Policy:
    """One kind of screen: its name, what was seen with what to do, and the test for it."""

    name: str
    message: str
    matches: Callable[[Screen], bool]


def is_page(screen: Screen) -> bool:
    """Tell whether most of the sector is areas of one colour, or rows of writing."""
    luma = screen.luma[screen.box]
    sector, inside = screen.sector[screen.box], screen.inner[screen.box]
    even = ndimage.maximum_filter(luma, 3) - ndimage.minimum_filter(luma, 3) <= ONE_COLOUR
    if (even & (luma > BLACK))[inside].mean() >= MOST_ONE_COLOUR:
        return True
    # Black is one colour as well; between black rows there must be writing.
    empty = ((luma > LIT) & sector).sum(1) < 0.03 * sector.sum(1)
    gaps = np.count_nonzero(np.diff(np.concatenate([[False], empty]).astype(int)) == 1)
    return bool(gaps >= FEWEST_LINES and even[inside].mean() >= MOST_ONE_COLOUR)


def is_rendering(screen: Screen) -> bool:
    """Tell whether there is no speckle: neighbours hardly differ from their mean."""
    shown = screen.luma[screen.box].astype(np.float32)
    factor = math.ceil(len(shown) / SPECKLE_ROWS)
    if screen.mm_per_px:
        factor = max(factor, round(SPECKLE_MM / screen.mm_per_px))
    luma = _shrunk(shown, factor)
    inner = _shrunk(screen.inner[screen.box].astype(np.float32), factor) > 0.99
    grey = ndimage.uniform_filter(luma, 7)
    residual = ndimage.uniform_filter(np.abs(luma - ndimage.uniform_filter(luma, 3)), 7)
    lit = inner & (grey > DARK)
    return bool(lit.any() and np.median(residual[lit] / (grey[lit] + 5)) < LEAST_SPECKLE)


def _shrunk(picture: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return means over squares of `factor` pixels; 1 x 1 of a picture that is smaller."""
    factor = max(1, min(factor, *picture.shape))
    rows, columns = (n // factor for n in picture.shape)
    squares = picture[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    mean: NDArray[np.float32] = squares.mean((1, 3))
    return mean


def is_spectrum(screen: Screen) -> bool:
    """Tell whether what is bright fills the space between one row and an envelope."""
    return any(_filled(screen.luma[panel].astype(np.float32)) for panel in screen.panels)


def _filled(panel: NDArray[np.float32]) -> bool:
    if np.ptp(panel) <= LIT:
        return False
    step, filled = filled_from_baseline(panel, threshold_otsu)
    return filled >= FILLED and step >= BASELINE_STEP


def is_m_mode(screen: Screen) -> bool:
    """Tell whether a rectangle shows one scan line over time: layers from edge to edge."""
    for strip in screen.strips:
        luma = screen.luma[strip].astype(np.float32)
        one_way = flow_direction(luma, DARK)
        if one_way < BESIDE_PICTURE:
            continue
        found = one_way * steadiness(luma)
        if found >= ONE_WAY_AND_STEADY:
            return True
        if found >= BESIDE_PICTURE and _beside_fan(screen.luma, strip):
            return True
    return False


def _beside_fan(luma: Luma, strip: Box) -> bool:
    """Tell whether a fan lies above the strip or at its side, as in a duplex display."""
    down, across = strip
    parts = (luma[: down.start], luma[:, : across.start], luma[:, across.stop :])
    for part in parts:
        if min(part.shape) < SMALLEST_PX:
            continue
        sector = find_sector(part)
        rows, columns = np.flatnonzero(sector.any(1)), np.flatnonzero(sector.any(0))
        if len(rows) and sector.sum() < FAN_FILL * len(rows) * len(columns):
            return True
    return False


_CHOOSE = "Choose a B-mode image of the uterus."
POLICIES = (
    Policy(
        "page", f"The picture is writing or areas of one colour, not echoes. {_CHOOSE}", is_page
    ),
    Policy(
        "rendering",
        "The picture has no speckle: it is a 3D rendering, a drawing or a photograph. "
        "Choose the sagittal B-mode plane.",
        is_rendering,
    ),
    Policy(
        "spectrum",
        f"The picture is a Doppler spectrum: velocities about a baseline over time. {_CHOOSE}",
        is_spectrum,
    ),
    Policy(
        "m_mode",
        f"The picture is an M-mode trace: one scan line over time. {_CHOOSE}",
        is_m_mode,
    ),
)


def screen_refusal(screen: Screen) -> Refusal | None:
    """Return why a screen is no B-mode image, by the first policy that matches; None if it is."""
    for policy in POLICIES:
        if policy.matches(screen):
            return Refusal(Reason.NOT_BMODE, policy.message)
    return None
