"""One frame: from grey levels to outline, thickness and quality. No files here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.grid import GridImage, GridMapping, fill_graphics, to_grid
from imaging.reasons import Reason, Refusal
from inference.quality import MIN_QUALITY, QualityParts, assess
from inference.thickness import NotMeasurable, Thickness, measure_thickness
from models.bundle import Bundle
from models.runtime import Runtime

# Thicker than any endometrium that is measured for a transfer; the literature's largest benign
# ones stay below. What the network outlines beyond it is something else.
MAX_THICKNESS_MM = 35.0
# Shorter bands than this share of their thickness are no midsagittal endometrium.
MIN_LENGTH_OVER_THICKNESS = 1.0
# A caliper this close to the edge of the picture may be where the picture ends, not the tissue.
EDGE_MM = 1.0


@dataclass(frozen=True)
class View:
    """One B-mode image within a frame: its sector, bool (rows, columns), and mm per pixel
    (row, column), or None where there is no safe scale."""

    sector: NDArray[np.bool_]
    spacing_mm: tuple[float, float] | None


@dataclass(frozen=True)
class Finding:
    """A measured outline in frame pixels (row, column).

    `thickness_px` is the double layer without fluid in frame pixels along the calipers;
    `thickness_mm` is None where the view has no scale. `outline` are closed (n, 2) contours.
    """

    thickness_mm: float | None
    thickness_px: float
    calipers: NDArray[np.float64]
    outline: tuple[NDArray[np.float64], ...]
    fluid: bool
    parts: QualityParts


def segment(
    luma: NDArray[np.uint8],
    graphics: NDArray[np.bool_],
    view: View,
    bundle: Bundle,
    runtime: Runtime,
) -> tuple[GridImage, NDArray[np.float32]]:
    """Return the grid image and the label probabilities float32 (labels, n, n).

    `luma` uint8 and `graphics` bool (burned-in colour), (rows, columns).
    """
    clean = fill_graphics(luma, graphics, view.sector)
    grid = to_grid(clean, view.sector, view.spacing_mm, bundle.grid)
    return grid, runtime(grid.pixels[None, None])[0]


def find(
    grid: GridImage, probabilities: NDArray[np.float32], view: View, bundle: Bundle
) -> Finding | Refusal:
    """Measure what the network saw, or say why not."""
    endometrium = probabilities[bundle.channel("endometrium")]
    fluid = probabilities[bundle.channel("fluid")]
    step_mm = bundle.grid.mm_per_px
    try:
        measured = measure_thickness(
            np.clip(endometrium * grid.sector, 0, 1).astype(float),
            (step_mm, step_mm),
            fluid=np.clip(fluid * grid.sector, 0, 1).astype(float),
        )
    except NotMeasurable as error:
        return Refusal(error.reason, str(error))
    if refusal := _implausible(measured) or _cut_off(measured, grid, step_mm):
        return refusal

    mask = _component(endometrium + fluid, np.asarray(measured.midline))
    chord_grid = np.asarray(measured.calipers, float)
    chord_mm = float(np.hypot(*(chord_grid[1] - chord_grid[0]))) * step_mm
    uterus = probabilities[bundle.channel("uterus")] if "uterus" in bundle.labels else None
    parts = assess(
        endometrium + fluid,
        uterus,
        mask,
        chord_mm,
        measured.inscribed_circle_mm,
        (step_mm, max(view.spacing_mm) if view.spacing_mm else 0.1),
    )
    calipers = grid.mapping.to_frame(chord_grid)
    share = measured.thickness_mm / chord_mm if chord_mm > 0 else 1.0
    return Finding(
        thickness_mm=measured.thickness_mm if view.spacing_mm else None,
        thickness_px=float(np.hypot(*(calipers[1] - calipers[0]))) * share,
        calipers=calipers,
        outline=_to_frame(measured, grid.mapping),
        fluid=measured.fluid,
        parts=parts,
    )


def too_poor(parts: QualityParts) -> Refusal | None:
    """Refuse a finding whose quality is below the limit, naming its weakest part."""
    if parts.quality >= MIN_QUALITY:
        return None
    words = {
        "confidence": "the network is unsure what is endometrium",
        "context": "what was outlined is not surrounded by uterus",
        "agreement": "calipers and inscribed circle disagree",
        "resolution": "the pixels are coarse",
    }
    weakest = min(words, key=lambda name: getattr(parts, name))
    return Refusal(
        Reason.LOW_QUALITY,
        f"Quality {parts.quality:.2f} is below {MIN_QUALITY}: {words[weakest]} "
        f"({weakest} {getattr(parts, weakest):.2f}).",
    )


def _implausible(measured: Thickness) -> Refusal | None:
    if measured.thickness_mm > MAX_THICKNESS_MM:
        return Refusal(
            Reason.IMPLAUSIBLE_GEOMETRY,
            "What was outlined is thicker than any endometrium this tool measures "
            f"(more than {MAX_THICKNESS_MM:.0f} mm).",
        )
    if measured.length_mm < MIN_LENGTH_OVER_THICKNESS * measured.thickness_mm:
        return Refusal(
            Reason.IMPLAUSIBLE_GEOMETRY,
            "What was outlined is shorter than it is thick: no midsagittal endometrium.",
        )
    return None


def _cut_off(measured: Thickness, grid: GridImage, step_mm: float) -> Refusal | None:
    # Padding makes the edge of the grid count as the edge of the picture, too.
    inside = np.pad(grid.sector, 1)
    clearance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1] * step_mm
    rows, columns = np.clip(np.rint(np.asarray(measured.calipers).T), 0, grid.sector.shape[0] - 1)
    if clearance[rows.astype(int), columns.astype(int)].min() > EDGE_MM:
        return None
    return Refusal(
        Reason.CUT_OFF,
        "The thickest place touches the edge of the picture: the endometrium may go on beyond it.",
    )


def _component(band: NDArray[np.float32], midline: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask of the component that the midline runs through."""
    labels, _ = ndimage.label(band > 0.5)
    at = np.clip(np.rint(midline), 0, np.array(band.shape) - 1).astype(int)
    hit = labels[at[:, 0], at[:, 1]]
    hit = hit[hit > 0]
    mask: NDArray[np.bool_] = labels == (np.bincount(hit).argmax() if hit.size else -1)
    return mask


def _to_frame(measured: Thickness, mapping: GridMapping) -> tuple[NDArray[np.float64], ...]:
    return tuple(mapping.to_frame(np.asarray(contour)) for contour in measured.outline)
