"""Whether a picture shows its endometrium: a network must not be taught to see what is not there.

A band whose basal interface is lost in speckle, shadow or saturation looks like a thinner one, or
like none; learning its thickness teaches to guess.
"""

import numpy as np
from numpy.typing import NDArray

from data.phantom.anatomy import Array, BandField

# Strips along either side of the basal interface (mm) whose mean greys are compared: inside, and
# outside beyond the blur.
INSIDE_MM, GAP_MM, OUTSIDE_MM = 0.9, 0.3, 1.8
# The interface is looked at in pieces of equal length: a shadow across it, or one bright end, is no
# interface.
PIECES = 5
# Greys differ by less than this for no reason.
LEAST_SPREAD = 4.0


def interface_contrast(
    field: BandField, luma: NDArray[np.uint8], seen: NDArray[np.bool_], *, bright: bool = False
) -> float:
    """Return how clearly the fainter of the two basal interfaces shows, in the median piece.

    Difference of the mean greys of the strips inside and outside it, over the spread of the outer
    one. Brighter on one side and darker on the other is the shade of the picture and no band: 0;
    with `bright`, what is darker than its surroundings does not show either.
    `luma` (rows, columns) or (n,), `field` where its pixels lie; `seen` bool, the sector.
    Real endometria outlined by hand have 0.4 to 2.4 between band and surroundings. 0 where a side
    is not in the picture.
    """
    band, d = field.band, field.d
    # The ends are rounded, and often fade: what is measured lies where the band is thick.
    beside = seen & (field.half > 0.25 * (band.thickness_mm + band.fluid_mm))
    inside = field.half - np.abs(d)
    # Where the strip reaches the cavity it ends: fluid is no tissue.
    within = beside & (inside >= 0) & (inside < INSIDE_MM) & (np.abs(d) >= field.fluid_half)
    beyond = beside & (inside < -GAP_MM) & (inside > -OUTSIDE_MM)
    if not within.any():
        return 0.0
    low, high = field.s[within].min(), field.s[within].max()
    piece = np.clip((field.s - low) / max(high - low, 1e-6) * PIECES, 0, PIECES - 1).astype(int)
    where = 2 * piece + (d >= 0)
    inner, _ = _statistics(luma[within], where[within])
    outer, spread = _statistics(luma[beyond], where[beyond])
    contrast = np.nan_to_num((inner - outer) / np.maximum(spread, LEAST_SPREAD))
    signs = (1,) if bright else (1, -1)
    return max(0.0, *(float(np.median((sign * contrast).min(axis=1))) for sign in signs))


def _statistics(luma: NDArray[np.uint8], where: NDArray[np.int_]) -> tuple[Array, Array]:
    """Return the means (PIECES, 2) of the greys at each place, NaN where there are none, and their
    spread (2,) within the pieces of each side."""
    greys = luma.astype(np.float64)
    count, total, squares = (
        np.bincount(where, weights, 2 * PIECES).reshape(PIECES, 2)
        for weights in (None, greys, greys**2)
    )
    with np.errstate(invalid="ignore"):
        mean = total / count
    off = np.maximum(squares - np.nan_to_num(mean) * total, 0)
    return mean, np.sqrt(off.sum(axis=0) / np.maximum(count.sum(axis=0), 1))
