"""A glance at a frame: about how good would its measurement be? For a cine's coarse pass.

It costs a fraction of a measurement, because it leaves out what only a number needs: the search
for caliper marks, the mirror image, the outline. Three of the policies of inference.quality are
estimated from the areas that the network draws.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from skimage.morphology import skeletonize

from imaging.clip import Frame
from imaging.grid import ANTI_ALIAS, GridImage, fill_graphics, normalise, to_grid
from inference.frame import View
from inference.quality import RING_MM, length_score, span
from models.bundle import Bundle
from models.runtime import Runtime

# The smoothing kernel ends after so many standard deviations.
KERNEL_SD = 3.0
# Beside the band, in grid pixels, nothing is looked at that lies farther away than the ring.
MARGIN_PX = 2


class Glancer:
    """Estimates the quality of the frames of one view of a clip.

    The view stays where it is throughout a clip, so the way from the frame to the network grid is
    worked out once: two sparse matrices, one per axis, which smooth and interpolate as
    `imaging.grid.to_grid` does.
    """

    def __init__(self, view: View, bundle: Bundle, runtime: Runtime) -> None:
        """Prepare for the frames of one clip."""
        self._view, self._bundle, self._runtime = view, bundle, runtime
        self._grid: GridImage | None = None
        self._rows, self._columns = sparse.csr_array((0, 0)), sparse.csr_array((0, 0))

    def __call__(self, frame: Frame) -> float:
        """Return the estimated quality in [0, 1]; 0 where no endometrium is seen."""
        luma, sector = frame.luma, self._view.sector
        if (frame.graphics & sector).any():
            luma = fill_graphics(luma, frame.graphics, sector)
        pixels = self._pixels(luma)
        probabilities = self._runtime(pixels[None, None])[0]
        bundle = self._bundle
        uterus = probabilities[bundle.channel("uterus")] if "uterus" in bundle.labels else None
        band = probabilities[bundle.channel("endometrium")] + probabilities[bundle.channel("fluid")]
        return estimate(band * self._sector, uterus, bundle.grid.mm_per_px)

    @property
    def _sector(self) -> NDArray[np.bool_]:
        if self._grid is None:
            raise RuntimeError("the grid is laid when the first frame comes")
        return self._grid.sector

    def _pixels(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Resample a frame to the network grid and normalise it."""
        sector = self._view.sector
        if self._grid is None:
            spec, spacing = self._bundle.grid, self._view.spacing_mm
            self._grid = to_grid(luma, sector, spacing, spec)
            at = self._grid.mapping
            self._rows, self._columns = (
                _along_axis(luma.shape[axis], at.origin[axis], at.step[axis], spec.size)
                for axis in (0, 1)
            )
        shown = np.where(sector, luma, 0).astype(np.float32)
        return normalise((self._columns @ (self._rows @ shown).T).T, self._sector)


def _along_axis(length: int, origin: float, step: float, size: int) -> sparse.csr_array:
    """Return the weights (size, length) by which pixels along an axis of the frame become those of
    the grid: linear between pixels, after smoothing where the grid is the coarser one."""
    spread = ANTI_ALIAS * math.sqrt(max(0.0, step**2 - 1))
    reach = math.ceil(KERNEL_SD * spread)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(spread, 1e-6)) ** 2)
    kernel /= kernel.sum()
    position = origin + step * np.arange(size)
    lower = np.floor(position).astype(int)
    share = position - lower
    # Axes: pixel of the grid, neighbour below and above, tap of the kernel
    parts = np.stack([1 - share, share], axis=1)[:, :, None] * kernel
    at = lower[:, None, None] + np.arange(2)[:, None] + np.arange(-reach, reach + 1)
    row = np.broadcast_to(np.arange(size)[:, None, None], at.shape)
    there = (at >= 0) & (at < length)
    weights = sparse.coo_array((parts[there], (row[there], at[there])), shape=(size, length))
    return weights.tocsr().astype(np.float32)  # equal places are summed


def estimate(
    band: NDArray[np.float32], uterus: NDArray[np.float32] | None, mm_per_px: float
) -> float:
    """Estimate the quality in [0, 1] of what would be outlined.

    `band` (endometrium + fluid) and `uterus` are probabilities float32 (n, n), `uterus` None for a
    network without that label. Of the largest area above one half: how sure the network is along
    its skeleton, the more so where it is wide, how much of the ring around it is uterus, and how
    long it is with what is drawn of the same band.
    """
    areas, n = ndimage.label(band > 0.5)
    if n == 0:
        return 0.0
    largest = int(np.bincount(areas.ravel())[1:].argmax()) + 1
    width = max(1, round(RING_MM / mm_per_px))
    found = ndimage.find_objects(areas, largest)[largest - 1]
    near = tuple(
        slice(max(0, axis.start - width - MARGIN_PX), axis.stop + width + MARGIN_PX)
        for axis in found
    )
    mask = areas[near] == largest
    ridge = skeletonize(mask)
    # Spurs to the corners are thin, and no part of a midline: they hardly weigh.
    weight = ndimage.distance_transform_edt(mask)[ridge] ** 2
    sure = 2 * float(np.average(band[near][ridge], weights=weight)) - 1
    length = length_score(max(float(ridge.sum()), span(band, areas == largest)) * mm_per_px)
    surrounded = 1.0
    if uterus is not None:
        ring = ~mask & (ndimage.distance_transform_cdt(~mask, "taxicab") <= width)
        surrounded = 2 * float(uterus[near][ring].mean()) if ring.any() else 0.0
    return float(np.prod(np.clip([sure, surrounded, length], 0, 1)))
