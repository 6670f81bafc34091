"""From a frame to the image the network sees, and back.

The network grid is square, isotropic and of fixed millimetres per pixel, so a thickness means the
same number of network pixels on every scanner. Points map between frame and grid by one affine
step per axis, which is exact in both directions.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it
from numpy.typing import NDArray
from scipy import ndimage

# An uncalibrated sector is shown to the network as if it were this deep: the middle of the 3-7 cm
# and more that transvaginal presets use. It sets the apparent size only, never a millimetre.
NOMINAL_DEPTH_MM = 65.0
# Standard deviation of the anti-aliasing Gaussian over the grid step, added when a fine frame is
# resampled to a coarser grid. 0.3 is the spread of a box as wide as one step (1 / sqrt(12)).
ANTI_ALIAS = 0.3
MAX_KERNEL = 32  # pixels: width of its kernel at most
# Normalised grey levels are clipped here: single bright specks must not dominate.
CLIP_SD = 4.0


@dataclass(frozen=True)
class GridSpec:
    """Size of the network grid: `size` x `size` pixels of `mm_per_px` millimetres."""

    size: int
    mm_per_px: float


@dataclass(frozen=True)
class GridMapping:
    """Affine map: frame (row, column) = origin + step * grid (row, column), in pixel centres."""

    origin: tuple[float, float]
    step: tuple[float, float]

    def to_frame(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map grid points (..., 2) as (row, column) to frame pixels."""
        return np.asarray(points, float) * self.step + self.origin

    def to_grid(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map frame points (..., 2) as (row, column) to grid pixels."""
        return (np.asarray(points, float) - self.origin) / self.step


@dataclass(frozen=True)
class GridImage:
    """What the network sees.

    `pixels` float32 (size, size), normalised, 0 outside the sector; `sector` bool (size, size);
    `mapping` to frame pixels; `mm_per_px` of the grid, or None where the frame has no calibration.
    """

    pixels: NDArray[np.float32]
    sector: NDArray[np.bool_]
    mapping: GridMapping
    mm_per_px: float | None


def normalise(
    pixels: NDArray[np.floating | np.integer], sector: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Zero mean, unit standard deviation inside the sector; 0 outside; clipped to 4 SD.

    Gain and dynamic range differ between scanners and presets; their first two moments go here.
    An empty or constant sector gives zeros.
    """
    out = np.zeros(pixels.shape, np.float32)
    inside = pixels[sector]
    if inside.size == 0:
        return out
    spread = float(inside.std())
    if spread > 0:
        out[sector] = np.clip((inside - inside.mean()) / spread, -CLIP_SD, CLIP_SD)
    return out


def fill_graphics(
    luma: NDArray[np.uint8], graphics: NDArray[np.bool_], sector: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Replace burned-in graphics by their surroundings.

    `luma` uint8 and both masks bool, (rows, columns). Calipers and coloured text would otherwise
    be followed by the network. Only pixels inside the sector serve as surroundings.
    """
    # JPEG and interpolation leave a grey fringe around coloured strokes: it goes with them.
    hole = ndimage.binary_dilation(graphics) & sector
    known = sector & ~hole
    if not hole.any() or not known.any():
        return luma
    rows, columns = np.flatnonzero(sector.any(1)), np.flatnonzero(sector.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    guessed = _fill(luma[box].astype(np.float32), known[box].astype(np.float32))
    filled = luma.copy()
    filled[box][hole[box]] = np.clip(np.rint(guessed[hole[box]]), 0, 255).astype(np.uint8)
    return filled


def _fill(value: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill where `weight` is 0 from ever coarser means of what is known (pull and push).

    Both float32 (rows, columns). Each level halves the picture, so the cost is that of one pass.
    """
    if min(value.shape) < 2 or (weight > 0).all():
        mean = float((value * weight).sum() / max(float(weight.sum()), 1e-6))
        return np.where(weight > 0, value, np.float32(mean))
    rows, columns = value.shape
    odd = ((0, rows % 2), (0, columns % 2))
    shape = ((rows + 1) // 2, 2, (columns + 1) // 2, 2)
    share = np.pad(weight, odd).reshape(shape).sum((1, 3))
    total = np.pad(value * weight, odd).reshape(shape).sum((1, 3))
    mean_of = np.divide(total, share, out=np.zeros_like(total), where=share > 0)
    coarse = _fill(mean_of, np.minimum(share, 1.0))
    fine = ndimage.uniform_filter(coarse.repeat(2, 0).repeat(2, 1)[:rows, :columns], 3)
    filled: NDArray[np.float32] = np.where(weight > 0, value, fine)
    return filled


def to_grid(
    luma: NDArray[np.uint8],
    sector: NDArray[np.bool_],
    spacing_mm: tuple[float, float] | None,
    spec: GridSpec,
) -> GridImage:
    """Resample the sector of a frame to the network grid and normalise it.

    `luma` uint8 and `sector` bool, (rows, columns); `spacing_mm` (row, column) mm per pixel, or
    None: then the sector is scaled to a nominal depth and the result carries no millimetres.
    The sector is centred on the grid; one deeper than the grid keeps its upper part, where the
    uterus lies. Raises ValueError for an empty sector.
    """
    rows, columns = np.flatnonzero(sector.any(1)), np.flatnonzero(sector.any(0))
    if rows.size == 0:
        raise ValueError("the sector is empty: there is nothing to resample")
    height = rows[-1] - rows[0] + 1
    # SimpleITK reports spacing 1.0 for ultrasound whatever the file says: it is always set here.
    row_mm, column_mm = spacing_mm or (NOMINAL_DEPTH_MM / height,) * 2
    step = (spec.mm_per_px / row_mm, spec.mm_per_px / column_mm)
    half = (spec.size - 1) / 2
    top = (rows[0] + rows[-1]) / 2 - half * step[0]
    if height > spec.size * step[0]:
        top = rows[0] - 0.5 + 0.5 * step[0]
    origin = (float(top), float((columns[0] + columns[-1]) / 2 - half * step[1]))
    mapping = GridMapping(origin=origin, step=step)

    # Smoothing takes time by the pixel, and beyond the widest kernel there is nothing to smooth.
    box = tuple(
        slice(max(0, int(line[0]) - MAX_KERNEL), int(line[-1]) + 1 + MAX_KERNEL)
        for line in (rows, columns)
    )
    shown = sector[box]
    picture = sitk.GetImageFromArray(np.where(shown, luma[box], 0).astype(np.float32))
    mask = sitk.GetImageFromArray(shown.astype(np.uint8))
    for image in (picture, mask):
        image.SetSpacing((column_mm, row_mm))
        image.SetOrigin((box[1].start * column_mm, box[0].start * row_mm))
    variance = [
        ANTI_ALIAS**2 * max(0.0, spec.mm_per_px**2 - s**2) for s in (column_mm, row_mm)
    ]  # SimpleITK counts axes (column, row)
    if max(variance) > 0:
        picture = sitk.DiscreteGaussian(picture, variance, MAX_KERNEL, 0.01, True)
    reference = sitk.Image(spec.size, spec.size, sitk.sitkFloat32)
    reference.SetSpacing((spec.mm_per_px, spec.mm_per_px))
    reference.SetOrigin((origin[1] * column_mm, origin[0] * row_mm))
    grey = sitk.Resample(picture, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
    inside = sitk.Resample(mask, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    grid_sector = sitk.GetArrayFromImage(inside).astype(bool)
    return GridImage(
        pixels=normalise(sitk.GetArrayFromImage(grey), grid_sector),
        sector=grid_sector,
        mapping=mapping,
        mm_per_px=spec.mm_per_px if spacing_mm else None,
    )
