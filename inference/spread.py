"""How sharply the network draws the basal interfaces: what it does not know about a thickness."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Probabilities between which an interface may lie: odds of e to either side of the outline.
INNER, OUTER = 0.731, 0.269
# Lines beside the calipers on which it is looked at, mm along the midline, and the step on them.
BESIDE_MM, STEP_PX = (-0.9, -0.45, 0.0, 0.45, 0.9), 0.1
# Farther out than this nobody looks.
REACH_MM = 10.0


def edge_spread(
    band: NDArray[np.float32], calipers: NDArray[np.float64], mm_per_px: float
) -> float:
    """Return how far apart (mm) the outlines at INNER and OUTER lie, both ends added up.

    `band` float32 (n, n) is the probability of endometrium or fluid, `calipers` (2, 2) their ends,
    (row, column) in its pixels. A network that minimises cross-entropy draws what it is unsure of
    softly, so this grows with the error to be expected.
    """
    first, last = calipers
    length = float(np.hypot(*(last - first)))
    across = (last - first) / length
    along = np.array([-across[1], across[0]])
    way = np.arange(-length / 2, REACH_MM / mm_per_px, STEP_PX)  # 0 at the end, outwards
    total = 0.0
    for end, outwards in ((first, -across), (last, across)):
        for beside in BESIDE_MM:
            start = end + along * beside / mm_per_px
            line = start[:, None] + outwards[:, None] * way
            shown = ndimage.map_coordinates(band, line, order=1, mode="constant")
            beyond = way[(way >= 0) & (shown < OUTER)]
            within = way[(way <= 0) & (shown > INNER)]
            outer = beyond[0] if beyond.size else way[-1]
            inner = within[-1] if within.size else way[0]
            total += float(outer - inner)
    return total * mm_per_px / len(BESIDE_MM)
