"""Renderer 1: randomised pictures of a scene, for training.

Every grey level, texture and artefact is drawn anew for each picture and independently of the
thickness, with ranges wider than any real machine's: a network that has to find the endometrium
in all of them finds it in real ones too (domain randomisation; Billot et al. 2023, SynthSeg,
Medical Image Analysis 86:102789).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.phantom.anatomy import Array, Rng, Scene
from data.phantom.degrade import artefacts, export, grain, grey_map, marks
from data.phantom.paint import Look, Place, tissue
from data.phantom.texture import smooth_field
from data.phantom.visibility import interface_contrast

# The order of the label channels, and so of the network's outputs.
LABELS = ("background", "endometrium", "fluid", "uterus")


@dataclass(frozen=True)
class Raster:
    """Where pixels lie: shape (rows, columns), mm per pixel (row, column), first pixel in mm."""

    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float]

    def coordinates(self) -> tuple[Array, Array]:
        """Return depth and lateral position (mm) of every pixel centre, each (rows, columns)."""
        depth = self.origin_mm[0] + self.spacing_mm[0] * np.arange(self.shape[0])
        lateral = self.origin_mm[1] + self.spacing_mm[1] * np.arange(self.shape[1])
        grid = np.meshgrid(depth.astype(np.float32), lateral.astype(np.float32), indexing="ij")
        return grid[0], grid[1]


@dataclass(frozen=True)
class Picture:
    """A rendered scene: `luma` uint8, `sector` bool, `labels` float32 (4, rows, columns) in [0, 1].

    The labels are the area shares of LABELS in each pixel and sum to 1. `contrast` is that of the
    fainter basal interface (visibility.interface_contrast): of renderer 1 only, None without an
    endometrium.
    """

    luma: NDArray[np.uint8]
    sector: NDArray[np.bool_]
    labels: NDArray[np.float32]
    contrast: float | None = None


def render(
    scene: Scene,
    raster: Raster,
    rng: Rng,
    *,
    marked: float = 0.12,
    ragged_mm: float = 0.5,
    wild: float | None = None,
) -> Picture:
    """Draw one randomised picture of `scene`.

    `wild` from 0 to 1 says how strange it may look; None draws that, too.
    A share `marked` has calipers or letters burned in. Anatomy is displaced by a random smooth
    field of up to about `ragged_mm`, labels with it: pass 0 where the thickness must equal the
    scene's truth.
    """
    depth, lateral = raster.coordinates()
    distance, angle = scene.sector.polar(depth, lateral)
    sector = scene.sector.contains(depth, lateral)
    px = math.sqrt(raster.spacing_mm[0] * raster.spacing_mm[1])
    if ragged_mm > 0:
        cells = int(rng.integers(8, 30))
        amount = rng.uniform(0, ragged_mm) * min(1.0, 12 / cells)
        depth = depth + amount * smooth_field(rng, raster.shape, cells)
        lateral = lateral + amount * smooth_field(rng, raster.shape, cells)

    # Half of the pictures are closer to what an examiner would save, so that a network finds its
    # footing; the others are as strange as it gets.
    drawn = max(0.0, 2 * rng.random() - 1)
    wild = drawn if wild is None else wild
    look = Look(rng.uniform(0.1, 0.65), rng.uniform(0.02, 0.1 + 0.05 * wild), wild)
    band = scene.endometrium.field(depth, lateral) if scene.endometrium else None
    at = Place(depth, lateral, distance, angle, px, band)
    grey, uterus, cover, fluid = tissue(rng, scene, at, look)
    grey = artefacts(rng, grey, at, scene, wild)
    grey = grey_map(rng, grain(rng, grey, at, scene, look), wild)
    luma = np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)
    if rng.random() < marked:
        luma = marks(rng, luma)
    luma = np.where(sector, export(rng, luma), 0).astype(np.uint8)

    labels = label_shares(uterus, cover, fluid, sector)
    contrast = interface_contrast(band, luma, sector) if band else None
    return Picture(luma, sector, labels, contrast)


def label_shares(
    uterus: Array, cover: Array, fluid: Array, sector: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the area shares float32 (4, rows, columns) of LABELS in each pixel; they sum to 1.

    `uterus`, `cover` (endometrium with fluid) and `fluid` are shares (rows, columns) that may
    overlap: fluid lies in the endometrium, and that in the uterus.
    """
    labels = np.zeros((len(LABELS), *sector.shape), np.float32)
    labels[1], labels[2] = np.clip(cover - fluid, 0, 1), fluid
    labels[3] = np.clip(np.maximum(uterus, cover) - labels[1] - labels[2], 0, 1)
    labels *= sector
    labels[0] = 1 - labels[1:].sum(0)
    return labels
