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
from data.phantom.degrade import artefacts, export, grain, grey_map
from data.phantom.furniture import Fan, Furniture, furnish
from data.phantom.paint import Look, Place, tissue
from data.phantom.texture import Canvas, smooth_field
from data.phantom.visibility import interface_contrast

# The order of the label channels, and so of the network's outputs.
LABELS = ("background", "endometrium", "fluid", "uterus")
# How far beside the fan is painted: blur reaches no further.
BESIDE_MM, BESIDE_PX = 0.8, 3.0


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

    The sector is what a network is shown of the picture; all else is black. The labels are the
    area shares of LABELS in each pixel and sum to 1. Of renderer 1 only: `contrast` is that of the
    fainter basal interface (visibility.interface_contrast), None without an endometrium, and
    `furniture` what was drawn on the screen.
    """

    luma: NDArray[np.uint8]
    sector: NDArray[np.bool_]
    labels: NDArray[np.float32]
    contrast: float | None = None
    furniture: frozenset[Furniture] = frozenset()


def render(
    scene: Scene,
    raster: Raster,
    rng: Rng,
    *,
    marked: float = 1.0,
    ragged_mm: float = 0.5,
    wild: float | None = None,
) -> Picture:
    """Draw one randomised picture of `scene`.

    `wild` from 0 to 1 says how strange it may look; None draws that, too. `marked` is how often
    there is furniture on the screen: 1 as in training, 0 never, and the sector is just the fan.
    Anatomy is displaced by a random smooth field of up to about `ragged_mm`, labels with it: pass 0
    where the thickness must equal the scene's truth.
    """
    # A generator of its own: nothing that is drawn for the anatomy moves the furniture.
    screen_rng = np.random.default_rng(rng.integers(2**63))
    depth, lateral = raster.coordinates()
    distance, angle = scene.sector.polar(depth, lateral)
    px = math.sqrt(raster.spacing_mm[0] * raster.spacing_mm[1])
    # What lies just beside the fan is painted, too: blur brings it in.
    painted = scene.sector.holds(distance, angle, lateral, BESIDE_MM + BESIDE_PX * px)
    canvas = Canvas(raster.shape, np.flatnonzero(painted))
    at = _place(rng, scene, canvas, (depth, lateral, distance, angle), px, ragged_mm)

    # Half of the pictures are closer to what an examiner would save, so that a network finds its
    # footing; the others are as strange as it gets.
    drawn = max(0.0, 2 * rng.random() - 1)
    wild = drawn if wild is None else wild
    look = Look(rng.uniform(0.1, 0.65), rng.uniform(0.02, 0.1 + 0.05 * wild), wild)
    grey, uterus, cover, fluid = tissue(rng, scene, at, look)
    grey = artefacts(rng, grey, at, scene, wild)
    grey = grey_map(rng, grain(rng, grey, at, scene, look), wild)
    shown = np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)
    mask = scene.sector.holds(distance, angle, lateral)
    # Whether the endometrium shows is told without furniture: writing hides thin ones more easily,
    # so pictures of them that are kept would have less of it.
    contrast = None
    if at.band is not None:
        seen = canvas.pick(mask)
        contrast = interface_contrast(at.band, shown, seen, bright=scene.pattern.lined)

    places = (distance, angle, lateral)
    fan = Fan(scene.sector, mask, *places, raster.spacing_mm, raster.origin_mm)
    screen = furnish(screen_rng, canvas.lay(shown).astype(np.uint8), fan, marked)
    luma = np.where(screen.seen, export(rng, screen.luma), 0).astype(np.uint8)

    labels = np.zeros((len(LABELS), luma.size), np.float32)
    labels[0] = 1
    labels[:, canvas.index] = label_shares(
        uterus, cover, fluid, canvas.pick(mask & ~screen.covered)
    )
    shares = labels.reshape(len(LABELS), *raster.shape)
    return Picture(luma, screen.seen, shares, contrast, screen.kinds)


def _place(
    rng: Rng,
    scene: Scene,
    canvas: Canvas,
    places: tuple[Array, Array, Array, Array],
    px: float,
    ragged_mm: float,
) -> Place:
    """Return where the painted pixels lie, anatomy displaced; `places` are those of all pixels:
    depth, lateral, range (mm) and beam angle (rad), each (rows, columns)."""
    depth, lateral, distance, angle = map(canvas.pick, places)
    if ragged_mm > 0:
        cells = int(rng.integers(8, 30))
        amount = rng.uniform(0, ragged_mm) * min(1.0, 12 / cells)
        depth = depth + amount * smooth_field(rng, canvas, cells)
        lateral = lateral + amount * smooth_field(rng, canvas, cells)
    band = scene.endometrium.field(depth, lateral) if scene.endometrium else None
    return Place(depth, lateral, distance, angle, px, band, canvas)


def label_shares(
    uterus: Array, cover: Array, fluid: Array, sector: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the area shares float32 (4, ...) of LABELS in each pixel; they sum to 1.

    `uterus`, `cover` (endometrium with fluid) and `fluid` are shares that may overlap, all of the
    shape of `sector`: fluid lies in the endometrium, and that in the uterus.
    """
    labels = np.zeros((len(LABELS), *sector.shape), np.float32)
    labels[1], labels[2] = np.clip(cover - fluid, 0, 1), fluid
    labels[3] = np.clip(np.maximum(uterus, cover) - labels[1] - labels[2], 0, 1)
    labels *= sector
    labels[0] = 1 - labels[1:].sum(0)
    return labels
