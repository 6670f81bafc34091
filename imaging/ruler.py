"""The depth ruler that scanners burn in beside the picture: ticks at a known distance.

A ruler that is read wrongly gives a confident wrong thickness. So it counts only where everything
agrees: many ticks on one straight, regular lattice; two lengths of ticks in a fixed order; and
exactly one meaning of that order under which the fan has the size of a real probe. Digits are not
read. A vertical ruler measures rows; the fan's shape tells whether columns are like them.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.fan import Fan, fit_fan

FEWEST_TICKS = 6
# Share of the lattice's visible places that must have a tick, and of marks that must be ticks.
FILLED, REGULAR = 0.8, 0.6
# Grey levels that a tick stands out by; pure blue has a luma of only 29.
CONTRAST = 24
# Ticks nearer than this cannot be told from the lines of a pattern, in pixels.
MIN_PERIOD = 5.0
# Drawing rounds a tick to whole pixels: standard deviation of a uniform error of one pixel.
ROUNDING = 1 / math.sqrt(12)
# Ticks per long tick, and what a long tick then means in mm. All that scanners are known to draw
# and all that could be mistaken for it stand here, since only the sole possible meaning is taken.
MEANINGS_MM: dict[int, tuple[float, ...]] = {
    2: (1, 2, 5, 10, 20),
    4: (2, 5, 10, 20),
    5: (1, 5, 10, 50),
    10: (5, 10, 20, 100),
}
# Those of them that are taken: 5/10, 1/5 and 1/10 mm. 2.5/10 and 5/20 mm are seen, too, but cannot
# always be told from each other.
BELIEVED_MM: dict[int, tuple[float, ...]] = {2: (10,), 4: (), 5: (5,), 10: (10,)}
DEPTH_MM = (20.0, 250.0)
# Radius of the probe face: endocavity arrays, abdominal convex arrays.
PROBES_MM = ((7.0, 16.0), (30.0, 70.0))
# A meaning is ruled out only if it misses those limits by this share; the radius is read to 5 %.
DOUBT = 0.05
# How far the first long tick may be from the probe face, as a share of their distance.
ZERO = 0.15
# The ratio of a pixel's sides up to which the fan's arcs count as circles.
SQUARE = 0.03

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ruler:
    """A depth ruler: millimetres per row, and where that comes from.

    `uncertainty` is the relative standard uncertainty; `ticks` float (n, 2) of (row, column) in
    pixels; `tick_mm` the distance of neighbouring ticks; `side` where it stands relative to the
    fan. `square` tells that the fan's arcs are circles, so that columns are as high as rows; else
    nothing is known about columns.
    """

    row_mm: float
    uncertainty: float
    ticks: _Floats
    tick_mm: float
    side: Literal["left", "right"]
    square: bool


@dataclass(frozen=True)
class Lattice:
    """Marks on one column at regular distances: row = offset + period * index."""

    column: int
    offset: float
    period: float
    rows: _Floats
    indices: NDArray[np.int64]
    uncertainty: float
    """Relative standard uncertainty of the period."""


def find_ruler(luma: NDArray[np.uint8], sector: NDArray[np.bool_]) -> Ruler | str:
    """Return the depth ruler, or in words why none is certain.

    Args:
        luma: uint8 (rows, columns), with burned-in graphics, since ticks may be coloured.
        sector: bool (rows, columns), the fan, from `imaging.sector.find_sector`.
    """
    marks = tick_marks(luma, sector)
    lattice = find_lattice(luma, marks, ~sector)
    if lattice is None:
        return "no straight column of regular ticks beside the picture"
    order = long_ticks(lattice, marks)
    if order is None:
        return "the ticks show no regular order of two lengths"
    fan = fit_fan(luma, sector)
    if fan is None:
        return "the picture is no fan whose size could confirm what the ticks mean"
    if not _starts_at_probe(*order, lattice, fan):
        return "the first long tick is not at the probe face"
    tick_mm = _meaning(order[0], lattice, fan)
    if tick_mm is None:
        return f"one long tick in {order[0]}: no meaning or several fit the size of the fan"
    return Ruler(
        row_mm=tick_mm / lattice.period,
        uncertainty=lattice.uncertainty,
        ticks=np.column_stack([lattice.rows, np.full(len(lattice.rows), float(lattice.column))]),
        tick_mm=tick_mm,
        side="left" if lattice.column < fan.centre[1] else "right",
        square=abs(fan.stretch - 1) <= SQUARE,
    )


def tick_marks(luma: NDArray[np.uint8], sector: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is bright, low and outside the fan: bool (rows, columns)."""
    # An opening as high as a digit keeps digits, bars and tissue, and takes ticks and dots away.
    height = 2 * _tallest(len(luma)) + 1
    background = ndimage.minimum_filter1d(luma, height, axis=0)
    background = ndimage.maximum_filter1d(background, height, axis=0)
    marks: NDArray[np.bool_] = (luma.astype(np.int16) - background > CONTRAST) & ~sector
    return marks


def find_lattice(
    luma: NDArray[np.uint8], marks: NDArray[np.bool_], visible: NDArray[np.bool_]
) -> Lattice | None:
    """Return the column of marks with the most regular ticks, or None.

    `visible` bool (rows, columns) tells where a tick could have been seen.
    """
    edges = np.diff(marks.astype(np.int8), axis=0, prepend=0, append=0)
    starts_c, starts_r = np.nonzero(edges.T == 1)
    _, ends_r = np.nonzero(edges.T == -1)
    low = ends_r - starts_r <= _tallest(len(luma))
    starts_c, starts_r, ends_r = starts_c[low], starts_r[low], ends_r[low]
    counts = np.bincount(starts_c, minlength=marks.shape[1])
    best: Lattice | None = None
    # A column with fewer marks than the best has ticks cannot be better.
    for column in np.argsort(-counts, kind="stable"):
        if counts[column] < max(FEWEST_TICKS, len(best.rows) + 1 if best else 0):
            break
        here = starts_c == column
        rows = _centroids(luma[:, column], starts_r[here], ends_r[here])
        found = fit_lattice(rows, int(column), visible[:, column])
        if found and (best is None or len(found.rows) > len(best.rows)):
            best = found
    return best


def fit_lattice(rows: _Floats, column: int, visible: NDArray[np.bool_]) -> Lattice | None:
    """Fit row = offset + period * index to marks, most of which must be ticks.

    Args:
        rows: float (n,), ascending centres of marks in one column, in pixels.
        column: of the marks.
        visible: bool (rows of the frame,): where ticks that are not there count as missing.
    """
    span = float(np.ptp(rows))
    if len(rows) < FEWEST_TICKS or span < 0.3 * len(visible):
        return None
    # Frequencies so dense that the phase slips by less than a tenth over the whole length
    frequencies = np.arange((FEWEST_TICKS - 1) / span, 1 / MIN_PERIOD, 0.1 / span)
    if not len(frequencies):
        return None  # so low a picture that ticks would lie closer than any do
    strength = np.abs(np.exp(2j * np.pi * np.outer(frequencies, rows - rows[0])).mean(1))
    # Whole multiples of the true frequency are nearly as strong: the lowest strong one is meant.
    strong = np.flatnonzero(strength >= 0.85 * strength.max())
    first = strong[0]
    run = strong[strong - first <= 10]
    frequency = frequencies[run[strength[run].argmax()]]
    phase = np.angle(np.exp(2j * np.pi * frequency * (rows - rows[0])).mean())
    period, offset = 1 / frequency, rows[0] + phase / (2 * np.pi * frequency)
    keep = np.zeros(len(rows), bool)
    indices = np.zeros(len(rows), np.int64)
    for _ in range(4):
        indices = np.rint((rows - offset) / period).astype(np.int64)
        off = np.abs(rows - offset - period * indices)
        keep = off <= min(0.75, 0.12 * period)
        for i in np.flatnonzero(np.diff(indices) == 0):  # two marks in one place: the nearer one
            keep[i if off[i] > off[i + 1] else i + 1] = False
        if keep.sum() < FEWEST_TICKS:
            return None
        period, offset = np.polyfit(indices[keep], rows[keep], 1)
        if not MIN_PERIOD <= period <= span:
            return None
    ticks, places = rows[keep], indices[keep]
    expected = np.arange(places[0], places[-1] + 1)
    at = np.clip(np.rint(offset + period * expected).astype(int), 0, len(visible) - 1)
    seen = np.count_nonzero(visible[at] | np.isin(expected, places))
    if len(ticks) < max(FILLED * seen, REGULAR * len(rows)) or np.ptp(ticks) < 0.3 * len(visible):
        return None
    rms = math.sqrt(float(np.mean((ticks - offset - period * places) ** 2)))
    spread = float(np.std(places)) * math.sqrt(len(places))
    # Rounding follows the lattice, so its errors may lean one way: half a pixel over the length
    uncertainty = math.hypot(max(rms, ROUNDING) / spread / period, 0.5 / float(np.ptp(ticks)))
    return Lattice(column, float(offset), float(period), ticks, places, float(uncertainty))


def long_ticks(lattice: Lattice, marks: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return how many ticks there are per long one, and the first long one's place among them.

    None if the lengths follow no such order.
    """
    lengths = _lengths(lattice, marks)
    for order in sorted(MEANINGS_MM):
        for start in range(order):
            major = lattice.indices % order == start
            if min(np.count_nonzero(major), np.count_nonzero(~major)) < 3:
                continue
            short, long = np.median(lengths[~major]), np.median(lengths[major])
            if long < max(1.4 * short, short + 1):
                continue
            middle = (short + long) / 2
            # Focus marks and digits hide some ends; every second one is no order at all.
            clear = 0.9 if order == 2 else 0.75
            right = (lengths[major] > middle).mean(), (lengths[~major] < middle).mean()
            if right[0] >= clear and right[1] > 0.9:
                return order, start
    return None


def _starts_at_probe(order: int, start: int, lattice: Lattice, fan: Fan) -> bool:
    """Tell whether the first long tick is at the probe face, where depth is zero.

    It guards the radius, too: where the picture is black below the probe, its face is not seen,
    and what looks like it lies too deep.
    """
    long_rows = lattice.rows[lattice.indices % order == start]
    face = fan.centre[0] + fan.near_rows
    return abs(float(long_rows[0]) - face) <= ZERO * order * lattice.period + 2


def _meaning(order: int, lattice: Lattice, fan: Fan) -> float | None:
    """Return the mm between ticks, if only one meaning makes the fan as large as real ones."""
    possible = []
    for long_mm in MEANINGS_MM[order]:
        row_mm = long_mm / order / lattice.period
        depth, radius = fan.depth_rows * row_mm, fan.near_rows * row_mm
        if not _within(depth, DEPTH_MM, DOUBT):
            continue
        if any(_within(radius, probe, DOUBT) for probe in PROBES_MM):
            sure = _within(depth, DEPTH_MM) and any(_within(radius, p) for p in PROBES_MM)
            possible.append((long_mm / order, sure and long_mm in BELIEVED_MM[order]))
    return possible[0][0] if len(possible) == 1 and possible[0][1] else None


def _within(value: float, limits: tuple[float, float], doubt: float = 0.0) -> bool:
    return limits[0] * (1 - doubt) <= value <= limits[1] * (1 + doubt)


def _tallest(rows: int) -> int:
    """Return how many rows a tick or dot may be high in a frame of so many rows."""
    return max(3, rows // 100)


def _centroids(
    grey: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> _Floats:
    """Return centres of marks, weighted by brightness above what is just above and below."""
    centres = []
    for start, end in zip(starts, ends, strict=True):
        at = np.arange(max(0, start - 1), min(len(grey), end + 1))
        weights = grey[at].astype(float) - grey[at].min()
        centres.append(float((weights * at).sum() / weights.sum()) if weights.any() else start)
    return np.array(centres, float)


def _lengths(lattice: Lattice, marks: NDArray[np.bool_]) -> _Floats:
    """Return how far each tick reaches in columns, across the lattice's own column."""
    farthest = max(8, marks.shape[1] // 20)
    lengths = []
    for row in np.rint(lattice.rows).astype(int):
        line = np.asarray(marks[max(0, row - 1) : row + 2].any(0))
        right = line[lattice.column : lattice.column + farthest]
        left = line[max(0, lattice.column - farthest) : lattice.column + 1][::-1]
        reach = [int(np.argmin(np.append(part, False))) for part in (left, right)]
        lengths.append(reach[0] + reach[1] - 1)
    return np.array(lengths, float)
