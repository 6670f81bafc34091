"""The shape of a curved array's picture: does it lie on circles, and how large is the probe?

The two straight edges of the fan meet where both arcs have their centre. A picture that was
squeezed turns the arcs into ellipses around the same point, so the ratio of the axes says whether
pixels are square, without any header. In pixels only: nothing here knows millimetres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Grey level that the near arc has at least; the standoff before it is black.
_LIT = 20
# An edge or arc must follow its model this closely, relative to the far radius (rms).
_CLOSE = 0.012
_FEWEST = 20
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fan:
    """A fan in pixels: (row, column) of its centre, radii along rows, and the pixel's shape.

    `stretch` is mm per column over mm per row: 1 for square pixels, above 1 for a picture that was
    squeezed sideways.
    """

    centre: tuple[float, float]
    near_rows: float
    far_rows: float
    stretch: float

    @property
    def depth_rows(self) -> float:
        """Rows from the probe face to the far arc."""
        return self.far_rows - self.near_rows


def fit_fan(luma: NDArray[np.uint8], sector: NDArray[np.bool_]) -> Fan | None:
    """Fit the fan of a curved array; None where edges or arcs do not follow one.

    Args:
        luma: uint8 (rows, columns).
        sector: bool (rows, columns), from `imaging.sector.find_sector`.
    """
    rows = np.flatnonzero(sector.any(1))
    if len(rows) < 2 * _FEWEST:
        return None
    centre, far = _apex(sector, rows), _far_arc(sector)
    if centre is None or far is None:
        return None
    # (row - r0)^2 = R^2 - stretch^2 (column - c0)^2, linear in R^2 and stretch^2
    down, across = far[:, 0] - centre[0], far[:, 1] - centre[1]
    design = np.column_stack([np.ones(len(far)), -(across**2)])
    (square, stretch2), *_ = np.linalg.lstsq(design, down**2, rcond=None)
    if square <= 0 or not 0.2 < stretch2 < 5:
        return None
    radius, stretch = float(np.sqrt(square)), float(np.sqrt(stretch2))
    off = np.hypot(down, stretch * across) - radius
    near = _near_radius(luma, sector, centre, stretch)
    round_enough = np.sqrt(np.mean(off**2)) <= _CLOSE * radius
    if near is None or not round_enough or not 0 < near < 0.8 * radius:
        return None
    return Fan(centre, near, radius, stretch)


def _apex(sector: NDArray[np.bool_], rows: NDArray[np.intp]) -> tuple[float, float] | None:
    """Return (row, column) where the straight edges meet."""
    left = sector[rows].argmax(1)
    right = sector.shape[1] - 1 - sector[rows, ::-1].argmax(1)
    lines = []
    for edge in (-left, right):
        end = int(edge.argmax())  # the lower end of a straight edge is its widest place
        low, high = round(0.08 * end), round(0.92 * end)
        if high - low < _FEWEST:
            return None
        r, c = rows[low:high].astype(float), edge[low:high].astype(float)
        line = np.polyfit(r, c, 1)
        if np.std(c - np.polyval(line, r)) > _CLOSE * len(rows) or line[0] < 0.2:
            return None
        lines.append(line)
    (a, b), (c, d) = -lines[0], lines[1]
    row = (d - b) / (a - c)
    return float(row), float(a * row + b)


def _far_arc(sector: NDArray[np.bool_]) -> _Floats | None:
    """Return points (n, 2) of (row, column) on the lower arc, left out where a border cuts it."""
    columns = np.flatnonzero(sector.any(0))
    bottom = sector.shape[0] - 1 - sector[::-1, columns].argmax(0)
    inner = slice(len(columns) // 10, len(columns) - len(columns) // 10)
    columns, bottom = columns[inner], bottom[inner]
    inside = bottom < sector.shape[0] - 2
    points = np.column_stack([bottom[inside], columns[inside]]).astype(float)
    wide = np.ptp(points[:, 1]) if len(points) else 0
    return points if len(points) >= 2 * _FEWEST and wide > 0.5 * len(columns) else None


def _near_radius(
    luma: NDArray[np.uint8],
    sector: NDArray[np.bool_],
    centre: tuple[float, float],
    stretch: float,
) -> float | None:
    """Return the rows from the centre to the probe face, where the picture begins below it."""
    top = np.flatnonzero(sector.any(1))[0]
    chord = np.flatnonzero(sector[min(top + 2, len(sector) - 1)])
    if len(chord) < 8:
        return None
    margin = len(chord) // 6
    columns = chord[margin : len(chord) - margin]
    smooth = luma[:, columns].astype(np.float32)
    smooth[1:-1] = (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3
    lit = (smooth > _LIT) & sector[:, columns]
    seen = lit.any(0)
    first = lit.argmax(0)[seen]
    radius = np.hypot(first - centre[0], stretch * (columns[seen] - centre[1]))
    if len(radius) < 8:
        return None
    middle = float(np.median(radius))
    spread = float(np.median(np.abs(radius - middle)))
    return middle if spread <= max(1.5, 0.05 * middle) else None
