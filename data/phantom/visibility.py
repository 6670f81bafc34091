"""Whether a picture shows its endometrium: a network must not be taught to see what is not there.

A band whose basal interface is lost in speckle, shadow or saturation looks like a thinner one, or
like none; learning its thickness teaches to guess.
"""

import numpy as np
from numpy.typing import NDArray

from data.phantom.anatomy import BandField

# Strips along either side of the basal interface (mm) whose mean greys are compared: inside, and
# outside beyond the blur.
INSIDE_MM, GAP_MM, OUTSIDE_MM = 0.9, 0.3, 1.8


def interface_contrast(field: BandField, luma: NDArray[np.uint8], seen: NDArray[np.bool_]) -> float:
    """Return how clearly the fainter of the two basal interfaces shows.

    Difference of the mean greys of the strips inside and outside it, over the spread of the outer
    one. `luma` (rows, columns), `field` where its pixels lie; `seen` bool, the sector.
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
    contrasts = []
    for side in (d < 0, d >= 0):
        here, there = luma[within & side], luma[beyond & side]
        if not here.size or not there.size:
            return 0.0
        difference = float(here.mean()) - float(there.mean())
        contrasts.append(abs(difference) / max(float(there.std()), 4.0))
    return min(contrasts)
