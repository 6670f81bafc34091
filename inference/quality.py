"""How far a measurement can be trusted: one number in [0, 1] from what can be measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Above this a thickness is only a few pixels (design section 4).
COARSE_MM_PER_PX = 0.35
# The ring around the band that should be myometrium, in mm.
RING_MM = 3.0


@dataclass(frozen=True)
class QualityParts:
    """Each in [0, 1]; the quality is their product."""

    confidence: float
    """Mean probability of endometrium or fluid within the outline, 0.5 counted as 0."""
    context: float
    """How much of a 3 mm ring around the outline the network takes for uterus, half is full."""
    agreement: float
    """Chord against inscribed circle: 1 up to max(0.3 mm, 5 %), 0.5 at twice that, and so on."""
    resolution: float
    """1 up to 0.35 mm per frame pixel, then falling in proportion."""

    @property
    def quality(self) -> float:
        """The product of the parts."""
        return self.confidence * self.context * self.agreement * self.resolution


def assess(
    band: NDArray[np.float32],
    uterus: NDArray[np.float32] | None,
    mask: NDArray[np.bool_],
    chord_mm: float,
    circle_mm: float,
    scales_mm: tuple[float, float],
) -> QualityParts:
    """Assess one measured frame.

    `band` (endometrium + fluid) and `uterus` are probabilities float32 (n, n) on the network grid,
    `mask` bool the measured component, `chord_mm` and `circle_mm` the caliper distance and the
    inscribed circle's diameter; `scales_mm` are mm per grid pixel and mm per frame pixel. A network
    without a uterus label gets full marks for context.
    """
    grid_mm, frame_mm = scales_mm
    context = 1.0
    if uterus is not None:
        ring = ndimage.binary_dilation(mask, iterations=max(1, round(RING_MM / grid_mm))) & ~mask
        context = float(np.clip(2 * uterus[ring].mean(), 0, 1)) if ring.any() else 0.0
    allowed = max(0.3, 0.05 * chord_mm)
    return QualityParts(
        confidence=float(np.clip(2 * band[mask].mean() - 1, 0, 1)),
        context=context,
        agreement=float(min(1.0, allowed / max(abs(chord_mm - circle_mm), 1e-9))),
        resolution=min(1.0, COARSE_MM_PER_PX / frame_mm),
    )
