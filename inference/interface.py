"""The basal interface in the picture itself, whatever the network made of it: how clearly the band
differs from what lies beyond it, piece by piece along the midline and on either side."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from inference.thickness import Thickness

# Strips along either side of the outline (mm) whose mean greys are compared: inside, and outside
# beyond the blur.
INSIDE_MM, GAP_MM, OUTSIDE_MM = 0.9, 0.3, 1.8
# Length of a piece along the midline, mm, and the share of the thickness from which it counts: the
# ends are rounded, and often fade.
PIECE_MM, THICK_SHARE = 2.0, 0.5
# Fewer pixels than this have no mean, and speckle never spreads less than this (standard deviations
# of the whole picture).
FEWEST_PX, LEAST_SPREAD = 3, 0.1


def interface_contrasts(
    pixels: NDArray[np.float32],
    sector: NDArray[np.bool_],
    measured: Thickness,
    mm_per_px: float,
) -> NDArray[np.float64]:
    """Return the contrast of each piece of the band, float64 (pieces, 2): one side, the other.

    `pixels` float32 and `sector` bool (n, n) are the network grid that `measured` is of. The
    contrast is the size of the difference of the mean greys of the strips inside and outside the
    outline, over the spread of the outer one. It is 0 where a strip is not in the picture.
    """
    band = measured.component
    margin = int(np.ceil(OUTSIDE_MM / mm_per_px)) + 1
    rows, columns = (np.flatnonzero(band.any(axis)) for axis in (1, 0))
    window = np.s_[
        max(rows[0] - margin, 0) : rows[-1] + margin + 1,
        max(columns[0] - margin, 0) : columns[-1] + margin + 1,
    ]
    inside = band[window]
    # Half a pixel lies between the outline and the centre of the first pixel.
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    depth = (depth - 0.5 * np.sign(depth)) * mm_per_px
    near = (depth < INSIDE_MM) & (depth > -OUTSIDE_MM) & ~((depth < 0) & (depth > -GAP_MM))
    points = np.argwhere(near & sector[window])
    at, points = depth[tuple(points.T)], points + np.array([part.start for part in window])
    _, station = cKDTree(measured.midline).query(points)
    along = np.gradient(measured.midline, axis=0)[station]
    beside = points - measured.midline[station]
    side = along[:, 0] * beside[:, 1] > along[:, 1] * beside[:, 0]
    grey = pixels[tuple(points.T)]

    profile = measured.profile_mm
    pieces = (np.arange(len(profile)) * measured.step_mm // PIECE_MM).astype(int)
    thick = profile >= THICK_SHARE * profile.max()
    # What lies beyond a tip belongs to no side.
    thick[[0, -1]] = False
    counts = thick[station]
    found = []
    for piece in np.unique(pieces[thick]):
        here = counts & (pieces[station] == piece)
        found.append([_contrast(grey, at, here & (side == which)) for which in (True, False)])
    return np.array(found, float).reshape(-1, 2)


def _contrast(
    grey: NDArray[np.float32], depth: NDArray[np.float64], here: NDArray[np.bool_]
) -> float:
    inner, outer = grey[here & (depth >= 0)], grey[here & (depth < 0)]
    if min(inner.size, outer.size) < FEWEST_PX:
        return 0.0
    return float(abs(inner.mean() - outer.mean()) / max(outer.std(), LEAST_SPREAD))
