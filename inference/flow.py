"""Colour Doppler over the endometrium: what it hides cannot be measured.

Colour is taken out of a frame before the network sees it, and what was there is guessed from
beside it; an outline that touches such a place is a guess as well.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import disk, opening

from data.raster import coverage
from imaging.reasons import Reason, Refusal
from inference.frame import Finding

Mask = NDArray[np.bool_]

# Strokes of coloured calipers and letters are narrower than twice this share of the shorter side
# of the frame; flow is wider.
STROKE = 0.009
# Flow so near to the outline, as a share of the shorter side, lies on the interface; and the
# shares of the outline's length, and of its area and calipers, that may be hidden.
NEAR, MOST_OF_LENGTH, MOST_OF_AREA = 0.006, 0.05, 0.1
CHORD_POINTS = 50
# With so much of the picture under flow, what is not seen may be there.
MUCH_FLOW = 0.01

_CHOOSE = "Choose a frame without colour."


def flow_mask(graphics: Mask) -> Mask:
    """Return the coloured areas that are wider than strokes: bool (rows, columns)."""
    if not graphics.any():
        return graphics
    radius = max(2, round(STROKE * min(graphics.shape)))
    rows, columns = np.flatnonzero(graphics.any(1)), np.flatnonzero(graphics.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    flow = np.zeros(graphics.shape, bool)
    flow[box] = opening(graphics[box], disk(radius, decomposition="sequence"))
    return flow


def unless_hidden(result: Finding | Refusal, flow: Mask, sector: Mask) -> Finding | Refusal:
    """Return a result, or a refusal if flow lies over what was outlined or may hide what was not.

    `flow` from `flow_mask` and `sector`, bool (rows, columns) of the frame.
    """
    if not flow.any():
        return result
    if isinstance(result, Refusal):
        much = flow[sector].mean() >= MUCH_FLOW
        if result.reason in (Reason.NO_ENDOMETRIUM, Reason.IMPLAUSIBLE_GEOMETRY) and much:
            return Refusal(
                Reason.NOT_BMODE,
                "Colour Doppler covers a part of the picture, and no endometrium could be outlined "
                f"beside it. {_CHOOSE}",
            )
        return result
    if _hidden(result, flow):
        return Refusal(Reason.NOT_BMODE, f"Colour Doppler covers the endometrium. {_CHOOSE}")
    return result


def _hidden(finding: Finding, flow: Mask) -> bool:
    reach = NEAR * min(flow.shape)
    points = np.concatenate([*finding.outline, finding.calipers])
    at = np.clip(np.rint(points), 0, np.array(flow.shape) - 1).astype(int)
    away = ndimage.distance_transform_edt(~flow)
    length = float((away[at[:, 0], at[:, 1]] <= reach).mean())
    area = coverage(finding.outline, flow.shape)
    one, other = finding.calipers
    chord = one + np.linspace(0, 1, CHORD_POINTS)[:, None] * (other - one)
    return bool(
        length > MOST_OF_LENGTH
        or area[flow].sum() > MOST_OF_AREA * area.sum()
        or ndimage.map_coordinates(flow.astype(float), chord.T, order=1).mean() > MOST_OF_AREA
    )
