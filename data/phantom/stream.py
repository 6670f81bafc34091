"""An endless, reproducible stream of training pictures at the network grid."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.phantom.anatomy import Pattern, Rng, Scene, Sector
from data.phantom.render import Picture, Raster, render
from data.phantom.sampling import VISIBLE, sample_scene
from imaging.grid import GridSpec, normalise

# Least contrast of either basal interface (visibility.interface_contrast), as found by looking at
# pictures in the order of their contrast. A band whose edge is lost is taken for a thinner one or
# for a line: below 0.9 that is most of them. A faint line is only a faint line.
MIN_CONTRAST_BAND, MIN_CONTRAST_LINE = 0.9, 0.3


@dataclass(frozen=True)
class Sample:
    """One training picture: `pixels` float32 (1, n, n) as the network sees it, its soft labels
    float32 (labels, n, n), and the scene it shows."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.float32]
    scene: Scene


def grid_raster(sector: Sector, spec: GridSpec, mm_per_px: float | None = None) -> Raster:
    """Place the network grid on a fan as `imaging.grid.to_grid` places it on a frame."""
    step = mm_per_px or spec.mm_per_px
    top = sector.radius_mm * (math.cos(sector.half_angle) - 1)
    extent = spec.size * step
    if sector.depth_mm - top <= extent:
        top = (top + sector.depth_mm - extent) / 2
    return Raster((spec.size, spec.size), (step, step), (top + step / 2, -extent / 2 + step / 2))


def sample(seed: int, index: int, spec: GridSpec) -> Sample:
    """Draw picture number `index` of stream `seed`: the same two numbers give the same picture.

    Pictures that do not show their endometrium are drawn again.
    """
    rng = np.random.default_rng([seed, index])
    visible = float(rng.random() < VISIBLE)
    while True:
        scene = sample_scene(rng, visible=visible)
        picture = _picture(scene, spec, rng)
        if shows(scene, picture):
            return Sample(normalise(picture.luma, picture.sector)[None], picture.labels, scene)


def shows(scene: Scene, picture: Picture) -> bool:
    """Tell whether a picture of renderer 1 shows the endometrium of its scene, if there is one."""
    line = scene.pattern is Pattern.THIN_LINE
    least = MIN_CONTRAST_LINE if line else MIN_CONTRAST_BAND
    return picture.contrast is None or picture.contrast >= least


def _picture(scene: Scene, spec: GridSpec, rng: Rng) -> Picture:
    # Uncalibrated frames reach the network at a guessed size, and calibrations vary a little.
    scale = rng.uniform(0.75, 1.35) if rng.random() < 0.35 else 1.0
    raster = grid_raster(scene.sector, spec, spec.mm_per_px * scale)
    shift = rng.uniform(-12, 12, 2) * raster.spacing_mm
    raster = Raster(
        raster.shape,
        raster.spacing_mm,
        (raster.origin_mm[0] + shift[0], raster.origin_mm[1] + shift[1]),
    )
    return render(scene, raster, rng)
