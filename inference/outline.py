"""Which part of a probability map is measured, its sub-pixel outline and its largest circle.

Everything here works on a crop around the measured component. `Region` carries the crop, so that
the other modules need neither the whole array nor the thresholds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = 0.5  # design section 5: the outline is where the probability is one half
MARGIN_PX = 4  # background kept around the component
SOFTEN_PX = 0.6  # Gaussian that makes the half level of anti-aliased masks sub-pixel exact
FLAT, FLAT_PX = 0.01, 5.0  # an interior is flat if its halves agree so well, if it is so deep
SPUR_RADIUS = 0.25  # of the inscribed radius: what an opening of this radius removes is a spur
EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Region:
    """The measured component, cropped.

    field: (rows, columns) float64, softened probability of endometrium or fluid, other components
    removed and holes filled; coefficients: its cubic spline coefficients (`ndimage`); fluid: the
    same for fluid, or None; filled: the mask of the component; depth_mm: distance of its pixels to
    the background; origin: (row, column) of the crop in the array; spacing: (row, column) mm.
    touches_border: the component reaches the first or last row or column of the array.
    """

    field: Array
    coefficients: Array
    fluid: Array | None
    filled: Mask
    depth_mm: Array
    origin: Array
    spacing: Array
    touches_border: bool

    def sample(self, points_mm: Array) -> Array:
        """Field at points (..., 2) in mm of the crop, by cubic interpolation."""
        return interpolate(self.coefficients, points_mm / self.spacing)


def interpolate(coefficients: Array, points_px: Array, order: int = 3) -> Array:
    """Spline values at points (..., 2), (row, column) in pixels; the edge goes on."""
    result: Array = ndimage.map_coordinates(
        coefficients, points_px.T, order=order, mode="nearest", prefilter=False
    ).T  # the axes are turned twice: moving the last one to the front costs more than the values
    return result


def combine(probability: Array, fluid: Array | None) -> Array:
    """Probability of endometrium or fluid, arrays (rows, columns) in [0, 1].

    The labels exclude each other, so the probabilities add. A map of endometrium that covers its
    fluid (drawn outlines often do) is recognised by its values where the fluid is certain.
    """
    if fluid is None:
        return probability
    certain = fluid > LEVEL
    if certain.any() and float(np.median(probability[certain])) > LEVEL:
        return np.maximum(probability, fluid)
    return np.minimum(probability + fluid, 1.0)


def find_region(
    probability: Array, fluid: Array | None, spacing_mm: tuple[float, float]
) -> Region | None:
    """Choose and crop the component to measure; None where nothing is above one half.

    The main component is the connected area (eight neighbours) with the largest sum of
    probability that is not fluid, so neither a far cyst nor a bladder can win by its fluid.
    """
    union = combine(probability, fluid)
    labels, count = ndimage.label(union > LEVEL, structure=EIGHT)
    if count == 0:
        return None
    weight = union if fluid is None else np.clip(union - fluid, 0.0, 1.0)
    weights = np.bincount(labels.ravel(), weights=weight.ravel(), minlength=count + 1)
    main = int(np.argmax(weights[1:])) + 1
    rows, columns = ndimage.find_objects(labels, max_label=main)[main - 1]
    last = np.array(union.shape) - 1
    low = np.array([rows.start, columns.start])
    high = np.array([rows.stop, columns.stop]) - 1
    touches = bool((low == 0).any() or (high == last).any())
    first, final = np.maximum(low - MARGIN_PX, 0), np.minimum(high + MARGIN_PX, last) + 1
    crop = (slice(first[0], final[0]), slice(first[1], final[1]))
    own = labels[crop] == main
    filled: Mask = ndimage.binary_fill_holes(own)
    near = ndimage.binary_dilation(filled, EIGHT, iterations=3)
    keep = near & (filled | (labels[crop] == 0))
    # a hole is filled with its rim, but never up to the outline
    holes = filled & ~own
    if holes.any():
        core = ndimage.binary_erosion(filled, EIGHT, iterations=2)
        holes |= ndimage.binary_dilation(holes, EIGHT) & core
    value = np.where(keep, union[crop], 0.0)
    value[holes] = 1.0
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    padded = np.pad(filled, 1, mode="edge")  # the border of the array is not an outline
    if padded.all():
        return None
    depth = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1]
    top = _flat_top(value, depth, float(spacing.max()))
    value = np.minimum(value / top, 1.0)
    soft = ndimage.gaussian_filter(value, SOFTEN_PX, mode="nearest")
    own_fluid = None
    if fluid is not None:
        own_fluid = np.where(filled & ~holes, np.minimum(fluid[crop] / top, 1.0), 0.0)
        own_fluid = ndimage.gaussian_filter(own_fluid, SOFTEN_PX, mode="nearest")
    return Region(
        field=soft,
        coefficients=ndimage.spline_filter(soft, order=3, mode="nearest"),
        fluid=own_fluid,
        filled=filled,
        depth_mm=depth,
        origin=first.astype(np.float64),
        spacing=spacing,
        touches_border=touches,
    )


def _flat_top(value: Array, depth_mm: Array, pixel_mm: float) -> float:
    """The level (0.5, 1] of a flat interior: a blurred edge that falls from it has its middle at
    half of it, not at one half. 1.0 for thin components and where the interior still rises.
    """
    deepest = float(depth_mm.max())
    if deepest < FLAT_PX * pixel_mm:
        return 1.0
    inner = float(np.median(value[depth_mm >= 0.75 * deepest]))
    outer = float(np.median(value[(depth_mm >= 0.5 * deepest) & (depth_mm < 0.75 * deepest)]))
    return inner if inner < 0.99 and abs(inner - outer) < FLAT else 1.0


def spur_mask(region: Region, radius_mm: float) -> Mask:
    """Pixels (rows, columns) of protrusions thinner than a fraction of the inscribed radius."""
    thin = SPUR_RADIUS * radius_mm
    kernel = region.depth_mm > thin
    if not kernel.any():
        return np.zeros(region.filled.shape, dtype=bool)
    reach = ndimage.distance_transform_edt(~kernel, sampling=region.spacing)
    slack = max(2.0 * float(region.spacing.max()), 0.15 * radius_mm)
    spur: Mask = region.filled & (reach > thin + slack)
    return spur


def contours(region: Region) -> tuple[Array, ...]:
    """Exterior outline at level one half: (n, 2) closed contours in pixels of the array."""
    from skimage.measure import find_contours

    lines = find_contours(np.pad(region.field, 1, constant_values=0.0), LEVEL)
    if not lines:
        return ()
    sizes = [float(np.ptp(line, axis=0).prod()) for line in lines]
    exterior = lines[int(np.argmax(sizes))] - 1.0
    inside = np.clip(exterior, 0.0, np.array(region.field.shape) - 1.0)
    return (inside + region.origin,)


def fluid_contours(region: Region) -> tuple[Array, ...]:
    """Outlines of the fluid at level one half: (n, 2) closed contours in pixels of the array."""
    from skimage.measure import find_contours

    if region.fluid is None or not (region.fluid > LEVEL).any():
        return ()  # most frames have none, and every frame that is measured comes by
    lines = find_contours(np.pad(region.fluid, 1, constant_values=0.0), LEVEL)
    last = np.array(region.fluid.shape) - 1.0
    return tuple(np.clip(line - 1.0, 0.0, last) + region.origin for line in lines)


def inscribed_circle(region: Region, outline_px: Array) -> tuple[float, Array]:
    """Diameter (mm) and centre ((row, column), px of the array) of the largest inscribed circle.

    outline_px: (n, 2) closed contour in pixels of the array. The exact distance to the contour is
    maximised from the deepest pixels by a search whose step halves to 1 micrometre.
    """
    points = (outline_px - region.origin) * region.spacing
    start, step = points[:-1], np.diff(points, axis=0)
    squared = np.maximum((step**2).sum(1), 1e-12)

    def clearance(centres: Array) -> Array:
        t = ((centres[:, None] - start) * step).sum(-1) / squared
        foot = start + np.clip(t, 0.0, 1.0)[..., None] * step
        distance = np.sqrt(((centres[:, None] - foot) ** 2).sum(-1).min(1))
        inside = ((centres >= 0) & (centres <= limit)).all(1) & (region.sample(centres) > LEVEL)
        return np.where(inside, distance, 0.0)

    limit = (np.array(region.field.shape) - 1) * region.spacing
    depth = region.depth_mm
    if region.touches_border:  # a circle does not reach beyond the array
        padded = np.pad(region.filled, 1)
        depth = ndimage.distance_transform_edt(padded, sampling=region.spacing)[1:-1, 1:-1]
    size = float(region.spacing.max())
    seeds = np.argwhere(depth >= float(depth.max()) - 0.5 * size)
    starts = seeds[:: max(1, len(seeds) // 24)] * region.spacing
    found = clearance(starts)
    best, centre = float(found.max()), starts[int(np.argmax(found))]
    angles = np.arange(16) * (np.pi / 8)
    ring = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    while size > 1e-3:
        moved = centre + size * ring
        found = clearance(moved)
        at = int(np.argmax(found))
        if found[at] > best + 1e-6:
            best, centre = float(found[at]), moved[at]
        else:
            size *= 0.5
    return 2.0 * best, centre / region.spacing + region.origin
