"""How far a measurement can be trusted: one number in [0, 1] from what can be measured."""

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.thickness import Thickness

# Above this a thickness is only a few pixels (design section 4).
COARSE_MM_PER_PX = 0.35
# Outlines drawn by hand on 1,647 transvaginal images: an endometrium is at least a third as long
# as its uterus (2.5th percentile 0.34), and few uteri are shorter than 40 mm. What is half as long
# as that is a piece of one, or none, and the thickest place may lie elsewhere.
FULL_LENGTH_MM, NO_LENGTH_MM = 12.0, 6.0
# The ring around the band that should be myometrium, in mm.
RING_MM = 3.0


@dataclass(frozen=True)
class QualityParts:
    """Each in [0, 1]; the quality is their product."""

    confidence: float
    """Mean probability of endometrium or fluid along the midline, 0.5 counted as 0. Not over the
    area: of a thin line most pixels lie at the edge, where one half is right."""
    context: float
    """How much of a 3 mm ring around the outline the network takes for uterus, half is full."""
    agreement: float
    """Chord against inscribed circle: 1 up to max(0.3 mm, 5 %), 0.5 at twice that, and so on."""
    extent: float
    """Length of the midline: 0 up to 6 mm, 1 from 12 mm."""
    resolution: float
    """1 up to 0.35 mm per frame pixel, then falling in proportion."""

    @property
    def quality(self) -> float:
        """The product of the parts."""
        return float(math.prod(astuple(self)))


def assess(
    band: NDArray[np.float32],
    uterus: NDArray[np.float32] | None,
    measured: Thickness,
    scales_mm: tuple[float, float],
) -> QualityParts:
    """Assess one measured frame.

    `band` (endometrium + fluid) and `uterus` are probabilities float32 (n, n) on the network grid,
    `measured` what was measured in them; `scales_mm` are mm per grid pixel and mm per frame pixel.
    A network without a uterus label gets full marks for context.
    """
    grid_mm, frame_mm = scales_mm
    mask, chord_mm = measured.component, measured.outer_mm
    context = 1.0
    if uterus is not None:
        ring = ndimage.binary_dilation(mask, iterations=max(1, round(RING_MM / grid_mm))) & ~mask
        context = float(np.clip(2 * uterus[ring].mean(), 0, 1)) if ring.any() else 0.0
    ridge = ndimage.map_coordinates(band, measured.midline.T, order=1, mode="nearest")
    allowed = max(0.3, 0.05 * chord_mm)
    return QualityParts(
        confidence=float(np.clip(2 * ridge.mean() - 1, 0, 1)),
        context=context,
        agreement=float(
            min(1.0, allowed / max(abs(chord_mm - measured.inscribed_circle_mm), 1e-9))
        ),
        extent=float(
            np.clip((measured.length_mm - NO_LENGTH_MM) / (FULL_LENGTH_MM - NO_LENGTH_MM), 0, 1)
        ),
        resolution=min(1.0, COARSE_MM_PER_PX / frame_mm),
    )
