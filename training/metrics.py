"""How well one outline fits the truth. Pure functions of arrays; MONAI computes Dice and NSD."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.raster import coverage
from inference.thickness import NotMeasurable, measure_thickness

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Spacing = tuple[float, float]

# Tolerance of the normalised surface distance, and how far beside the truth calipers may lie.
NSD_MM = 0.5
BESIDE_MM = 1.0
# The values of a truth.
LABELS = {"endometrium": 1, "fluid": 2}


class MonaiMissingError(ImportError):
    """MONAI is needed and is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Fit:
    """What was outlined against the truth; lengths in mm, None where nobody knows the scale.

    `dice` and `nsd` in [0, 1]. `centre_line_mm`: mean distance of the outlined midline from the
    truth's. `beside_mm`: the same of those points alone that lie between the ends of the truth's
    midline, because where a reader cuts it towards the cervix is arbitrary; `followed`: the share
    of the truth's midline that the outlined one comes as close to as BESIDE_MM. `located`: see
    `is_located`. `dice_endometrium` and `dice_fluid` are those of one label each, None where the
    truth does not have it; `dice` is that of the whole band, fluid included.
    """

    dice: float
    nsd: float | None
    centre_line_mm: float | None
    beside_mm: float | None
    followed: float | None
    located: bool
    dice_endometrium: float | None = None
    dice_fluid: float | None = None


def check_monai() -> None:
    """Raise MonaiMissingError if MONAI, or torch below it, is not installed."""
    try:
        import monai.metrics  # noqa: F401
    except ImportError as error:
        raise MonaiMissingError(
            f"evaluating needs MONAI ({error}): pip install 'endometer[train]'"
        ) from None


def fit_of(
    outline: tuple[Points, ...],
    calipers: Points,
    truth: NDArray[np.uint8],
    spacing: Spacing | None,
    fluid: tuple[Points, ...] = (),
    labels: tuple[str, ...] = (),
) -> Fit:
    """Compare one finding with the truth.

    `outline` closed contours (n, 2) and `calipers` (2, 2) are (row, column) in frame pixels,
    `truth` uint8 (rows, columns) in frame pixels with 0 background, 1 endometrium, 2 fluid;
    fluid in the cavity lies inside the outline; its own closed contours are `fluid`. `spacing` mm
    per pixel (row, column). `labels` are those that get a Dice of their own (see `labels_in`).
    """
    share = coverage(outline, (truth.shape[0], truth.shape[1]))
    found, true = share >= 0.5, truth > 0
    line = None
    if spacing is not None:
        line = _centre_line(share, true, spacing)
    return Fit(
        dice=dice(found, true),
        nsd=None if spacing is None else surface_dice(found, true, spacing),
        centre_line_mm=line[0] if line else None,
        beside_mm=line[1] if line else None,
        followed=line[2] if line else None,
        located=is_located(found, true, calipers.mean(0), spacing),
        **_by_label(found, fluid, truth, labels),
    )


def labels_in(truth: NDArray[np.uint8], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return which labels a truth has: pixels of those that it tells apart."""
    return tuple(name for name in known if (truth == LABELS[name]).any())


def _by_label(
    found: Mask, fluid: tuple[Points, ...], truth: NDArray[np.uint8], labels: tuple[str, ...]
) -> dict[str, float]:
    if not labels:
        return {}
    wet = found & (coverage(fluid, (truth.shape[0], truth.shape[1])) >= 0.5)
    parts = {"endometrium": found & ~wet, "fluid": wet}
    return {f"dice_{name}": dice(parts[name], truth == LABELS[name]) for name in labels}


def dice(one: Mask, other: Mask) -> float:
    """Return 2 |A and B| / (|A| + |B|) of two bool (rows, columns); 1 if both are empty.

    Dice, Ecology 26, 1945, 297, as `monai.metrics.compute_dice` has it.
    """
    from monai.metrics import compute_dice

    if not one.any() and not other.any():
        return 1.0
    box = _box(one | other, 0)
    return float(compute_dice(_tensor(one[box]), _tensor(other[box]), ignore_empty=False))


def surface_dice(one: Mask, other: Mask, spacing: Spacing, within_mm: float = NSD_MM) -> float:
    """Return the share of both boundaries that is within `within_mm` of the other one.

    Two bool (rows, columns), `spacing` mm per pixel (row, column). Nikolov et al., J Med Internet
    Res 23, 2021, e26151, as `monai.metrics.compute_surface_dice` has it: pieces of boundary are
    weighted by their length in mm. 1 if both are empty, 0 if one is.
    """
    from monai.metrics import compute_surface_dice

    if not one.any() and not other.any():
        return 1.0
    if not one.any() or not other.any():
        return 0.0
    box = _box(one | other, 2)
    pair = (np.pad(mask[box], 1) for mask in (one, other))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 calls its own old options
        share = compute_surface_dice(
            *map(_tensor, pair),
            # Distances of a grid: rounding must not push one over the limit.
            [within_mm + 1e-6],
            include_background=True,
            spacing=spacing,
            use_subvoxels=True,
        )
    return float(share)


def is_located(found: Mask, true: Mask, caliper_centre: Points, spacing: Spacing | None) -> bool:
    """Tell whether what was outlined is the endometrium, well drawn or not.

    It overlaps the truth, and the middle between the calipers, where the number comes from, lies in
    the truth or within BESIDE_MM of it (without a scale: in it). Masks bool (rows, columns), the
    centre (row, column) in pixels.
    """
    if not (found & true).any():
        return False
    away = ndimage.distance_transform_edt(~true, sampling=spacing)
    limit = 0.0 if spacing is None else BESIDE_MM
    row, column = np.clip(np.round(caliper_centre), 0, np.array(true.shape) - 1).astype(int)
    return bool(away[row, column] <= limit)


def line_distance(found: Points, true: Points) -> tuple[float, float, float]:
    """Return the mean distance of the points of one line from the other line, both (n, 2) in mm.

    The second value leaves out points whose nearest place is an end of the true line: they lie
    beyond it. Where all do, both are the same. The third is the share of the true line's points
    within BESIDE_MM of the found line, so that a speck on a long line is no success.
    """
    gaps = np.hypot(*(found[:, None] - true[None]).transpose(2, 0, 1))
    nearest = gaps.argmin(1)
    away = gaps.min(1)
    between = (nearest > 0) & (nearest < len(true) - 1)
    near = float(away[between].mean() if between.any() else away.mean())
    return float(away.mean()), near, float((gaps.min(0) <= BESIDE_MM).mean())


def _centre_line(
    found: NDArray[np.float64], true: Mask, spacing: Spacing
) -> tuple[float, float, float] | None:
    try:
        lines = [
            measure_thickness(band.astype(float), spacing).midline * spacing
            for band in (found, true)
        ]
    except NotMeasurable:
        return None
    return line_distance(lines[0], lines[1])


def _box(mask: Mask, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _tensor(mask: Mask) -> "object":
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
