"""One frame: from grey levels to outline, thickness and quality. No files here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.calibration import Box
from imaging.grid import GridImage, fill_graphics, to_grid
from imaging.reasons import Reason, Refusal
from inference.focal import Shown, Sign, signs_of
from inference.interface import interface_contrasts
from inference.quality import Quality, Seen, assess
from inference.spread import edge_spread
from inference.thickness import NotMeasurable, Thickness, measure_thickness
from models.bundle import Bundle
from models.runtime import Runtime

# Thicker than any endometrium that is measured for a transfer; the literature's largest benign
# ones stay below. What the network outlines beyond it is something else.
MAX_THICKNESS_MM = 35.0
# Shorter bands than this share of their thickness are no midsagittal endometrium: outlines of 1,647
# real ones have 2.5 at the 2.5th percentile, and what the network draws of a phantom's 1.7.
MIN_LENGTH_OVER_THICKNESS = 1.5
# The outline touches the edge of the picture if it comes this close: the network stops up to 1.5 mm
# before an edge that cuts a band.
CONTACT_MM = 1.6
# The size of a pixel that a view without a scale is judged by: nothing is held against it.
UNKNOWN_MM_PER_PX = 0.1
# Share of the maximum above which a band counts as still thick where it is cut.
STILL_THICK = 0.9


@dataclass(frozen=True)
class View:
    """One B-mode image within a frame.

    `sector` bool (rows, columns) lies within `box`; `spacing_mm` is mm per pixel (row, column), or
    None where there is no safe scale.
    """

    box: Box
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
    quality: Quality
    spread_mm: float
    """How softly the network drew the interfaces; see inference.spread."""
    signs: tuple[Sign, ...] = ()
    """What looks focal, for a person to look at."""
    fluid_outline: tuple[NDArray[np.float64], ...] = ()
    """Closed (n, 2) contours of the fluid, inside the outline."""

    @property
    def unlike(self) -> tuple[str, ...]:
        """What it has, in words, that most cases of a calibration have not: its interval is
        wider."""
        found = (("what looks focal", bool(self.signs)), ("the fluid", self.fluid))
        return tuple(words for words, there in found if there)


def segment(
    luma: NDArray[np.uint8],
    graphics: NDArray[np.bool_],
    view: View,
    bundle: Bundle,
    runtime: Runtime,
) -> tuple[GridImage, NDArray[np.float32]]:
    """Return the grid image and the label probabilities of two looks at it, float32 (looks, labels,
    n, n).

    `luma` uint8 and `graphics` bool (burned-in colour), (rows, columns). The looks are at the
    picture and at its mirror image, turned back: a uterus may lie either way, and what the network
    sees in one of the two only is rarely there.
    """
    clean = fill_graphics(luma, graphics, view.sector)
    grid = to_grid(clean, view.sector, view.spacing_mm, bundle.grid)
    straight, mirrored = runtime(np.stack([grid.pixels, grid.pixels[:, ::-1]])[:, None])
    return grid, np.stack([straight, mirrored[..., ::-1]])


def find(
    grid: GridImage, looks: NDArray[np.float32], view: View, bundle: Bundle
) -> Finding | Refusal:
    """Measure what the network saw on the mean of its looks (see `segment`), or say why not.

    The refusals of a view without a scale say nothing in millimetres that anybody should read:
    the caller reports the missing scale instead.
    """
    probabilities = looks.mean(0)
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
    if refusal := _implausible(measured) or _cut_off(measured, grid.sector, step_mm):
        return refusal

    chord_grid = np.asarray(measured.calipers, float)
    uterus = probabilities[bundle.channel("uterus")] if "uterus" in bundle.labels else None
    frame_mm = max(view.spacing_mm) if view.spacing_mm else UNKNOWN_MM_PER_PX
    band = endometrium + fluid
    contrasts = interface_contrasts(grid.pixels, grid.sector, measured, step_mm)
    each = looks[:, bundle.channel("endometrium")] + looks[:, bundle.channel("fluid")]
    spread_mm = edge_spread(band, chord_grid, step_mm)
    quality = assess(Seen(band, uterus, measured, step_mm, frame_mm, spread_mm, contrasts, each))
    calipers = grid.mapping.to_frame(chord_grid)
    share = measured.thickness_mm / measured.outer_mm  # without the fluid between the calipers
    return Finding(
        thickness_mm=measured.thickness_mm if view.spacing_mm else None,
        thickness_px=float(np.hypot(*(calipers[1] - calipers[0]))) * share,
        calipers=calipers,
        outline=tuple(grid.mapping.to_frame(contour) for contour in measured.outline),
        fluid=measured.fluid,
        quality=quality,
        spread_mm=spread_mm,
        signs=signs_of(Shown(grid.pixels, grid.sector, measured, step_mm)),
        fluid_outline=tuple(grid.mapping.to_frame(line) for line in measured.fluid_outline),
    )


def too_poor(quality: Quality, least: float) -> Refusal | None:
    """Refuse a finding whose quality is below `least`, naming its weakest part."""
    if quality.value >= least:
        return None
    weakest = quality.weakest
    return Refusal(
        Reason.LOW_QUALITY,
        f"Quality {quality.value:.2f} is below {least:.2f}: {weakest.policy.weakness} "
        f"({weakest.policy.name} {weakest.score:.2f}).",
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
            "What was outlined is too short for its thickness: no midsagittal endometrium.",
        )
    return None


def _cut_off(measured: Thickness, sector: NDArray[np.bool_], step_mm: float) -> Refusal | None:
    """Refuse where the edge of the picture may hide the thickest place.

    The geometry knows the border of its array; the edge of the fan is known here. A tail that
    leaves the picture does no harm. A band that is still about as thick as its maximum within one
    thickness of where it is cut may be thicker beyond.
    """
    # Padding makes the edge of the grid count as the edge of the picture, too.
    clearance = ndimage.distance_transform_edt(np.pad(sector, 1))[1:-1, 1:-1]
    contact = np.argwhere(measured.component & (clearance <= CONTACT_MM / step_mm))
    if not len(contact):
        return None
    away = np.hypot(*(measured.midline[:, None] - contact).transpose(2, 0, 1)).min(1) * step_mm
    near = away <= measured.outer_mm
    if not near.any() or measured.profile_mm[near].max() < STILL_THICK * measured.thickness_mm:
        return None
    return Refusal(
        Reason.CUT_OFF,
        "The endometrium reaches the edge of the picture where it is thick: it may be thicker "
        "beyond. Choose a frame that shows all of it.",
    )
