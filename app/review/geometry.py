"""What a person drew, in millimetres. Points are (row, column) in frame pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.review.settings import RefusedError
from data.raster import coverage
from inference.records import Call
from inference.thickness import PLAUSIBLE_MM, NotMeasurable, Thickness, measure_thickness

Spacing = tuple[float, float]
Line = Sequence[Sequence[float]]
Polygons = Sequence[Sequence[Sequence[float]]]
# Drawn a little over the edge is drawn at the edge.
MARGIN_PX = 2.0


def distance_mm(line: Line, spacing_mm: Spacing) -> float:
    """Return the length in mm between two points, `spacing_mm` (row, column) mm per pixel."""
    (r1, c1), (r2, c2) = line
    return float(np.hypot((r2 - r1) * spacing_mm[0], (c2 - c1) * spacing_mm[1]))


def share_inside(line: Line, polygons: Polygons) -> float:
    """Return how much of the line between two points lies inside closed polygons, 0 to 1.

    Even-odd: a polygon inside another is a hole. Exact: the line is cut where it crosses an edge,
    and a piece is inside if an odd number of edges lies to one side of its middle.
    """
    start, end = (np.asarray(point, float) for point in line)
    along = end - start
    edges = [
        (corners, np.roll(corners, -1, axis=0))
        for corners in (np.asarray(polygon, float) for polygon in polygons)
        if len(corners) >= 3
    ]
    if not edges or not along.any():
        return 0.0
    first, second = (np.concatenate(side) for side in zip(*edges, strict=True))
    normal = np.array([-along[1], along[0]])
    a, b = (first - start) @ normal, (second - start) @ normal
    crossing = (a > 0) != (b > 0)  # half open: a corner on the line counts once
    share = a[crossing] / (a[crossing] - b[crossing])
    at = (first[crossing] + share[:, None] * (second - first)[crossing] - start) @ along
    places = np.sort(at / float(along @ along))
    cuts = np.clip(places, 0.0, 1.0)
    # Crossings on the whole straight line come in pairs: inside from an odd one to the next.
    return float(sum(cuts[i + 1] - cuts[i] for i in range(0, len(cuts) - 1, 2)))


def drawn_thickness_mm(
    spacing_mm: Spacing, calipers: Line | None, layers: Sequence[Line] | None, fluid: Polygons
) -> float:
    """Return the double-layer thickness that calipers, or two single layers, measure, in mm.

    Layers are summed; from calipers across fluid the part within the fluid is taken off. Raises
    RefusedError (422) for a thickness that nobody has.
    """
    if layers is not None:
        found = sum(distance_mm(line, spacing_mm) for line in layers)
    elif calipers is not None:
        found = distance_mm(calipers, spacing_mm) * (1.0 - share_inside(calipers, fluid))
    else:
        raise RefusedError(422, "Place both calipers first.")
    low, high = PLAUSIBLE_MM
    if not low <= found <= high:
        raise RefusedError(
            422,
            f"The calipers measure {found:.2f} mm; between {low:g} and {high:g} mm is plausible. "
            "Place them again.",
        )
    return found


def outline_thickness(
    contours: Polygons, fluid: Polygons, shape: tuple[int, int], spacing_mm: Spacing
) -> Thickness:
    """Measure a drawn outline as measure does a network's. Raises RefusedError (422).

    `shape` (rows, columns) of the frame. Fluid counts where it lies inside the outline.
    """
    band = coverage([np.asarray(c, float) for c in contours], shape)
    water = coverage([np.asarray(c, float) for c in fluid], shape)
    water = np.minimum(water, band)
    try:
        return measure_thickness(band - water, spacing_mm, fluid=water if water.any() else None)
    except NotMeasurable as error:
        raise RefusedError(422, error.message, more={"reason": str(error.reason)}) from None


def check_inside(points: NDArray[np.float64], shape: tuple[int, int]) -> None:
    """Raise RefusedError (422) where something was drawn outside the frame of (rows, columns)."""
    low, high = -0.5 - MARGIN_PX, np.array(shape) - 0.5 + MARGIN_PX
    if not ((points >= low) & (points <= high)).all():
        raise RefusedError(422, "What was drawn lies outside the picture.")


def call_of(thickness_mm: float | None, threshold_mm: float) -> Call | None:
    """Return on which side of the threshold a thickness lies that a person vouches for."""
    if thickness_mm is None:
        return None
    return Call.THIN if thickness_mm < threshold_mm else Call.NOT_THIN
