"""Renderer 2: pictures made by simulated sound, for testing and as the user's test object.

The network never learns from these. A scene becomes echo strengths (tissue), these become
envelopes of a few transmissions (acoustics), and their mean becomes grey by a logarithm.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from data.phantom.acoustics import (
    BeamGrid,
    Probe,
    beam_grid,
    look,
    scan_convert,
    scatterers,
)
from data.phantom.anatomy import Array, Rng, Scene
from data.phantom.freehand import Pose, seen_from
from data.phantom.render import Picture, Raster, label_shares
from data.phantom.texture import strip_share
from data.phantom.tissue import edge, paint

# Scatterers per square millimetre: about ten in a resolution cell, enough for developed speckle.
PER_MM2 = 28.0


@dataclass(frozen=True)
class Display:
    """From echoes to grey: dynamic range dB, grey level (0-255) of myometrium, exponent of the
    grey map, and standard deviation of the smoothing in samples (range, beams).
    """

    range_db: float
    myometrium: float
    gamma: float
    smooth: tuple[float, float]

    def grey(self, envelope: Array) -> Array:
        """Return grey levels 0 to 255, float, of an envelope whose myometrium is about 1."""
        db = 20 * np.log10(np.maximum(envelope, 1e-4))
        db = ndimage.gaussian_filter(db, self.smooth)
        level = np.clip(self.myometrium / 255 + db / self.range_db, 0, 1)
        anchor = self.myometrium / 255  # the grey map turns about the myometrium
        grey: Array = 255 * anchor * (level / anchor) ** self.gamma
        return np.clip(grey, 0, 255)


def sample_probe(rng: Rng, depth_mm: float) -> Probe:
    """Draw an endocavity probe; its speckle is that of real images (0.6-0.9 x 1.0-2.4 mm)."""
    return Probe(
        frequency_mhz=float(rng.uniform(5.0, 8.0)),
        pulse_sd_mm=float(rng.uniform(0.11, 0.21)),
        f_number=float(rng.uniform(1.5, 2.7)),
        aperture_mm=float(rng.uniform(9, 14)),
        focus_mm=float(rng.uniform(0.3, 0.6) * depth_mm),
        zone_mm=float(rng.uniform(20, 45)),
        aberration=float(rng.uniform(1.3, 2.2)),
    )


def sample_display(rng: Rng) -> Display:
    """Draw dynamic range, gain and smoothing."""
    return Display(
        range_db=float(rng.uniform(50, 80)),
        myometrium=float(rng.uniform(55, 105)),
        gamma=float(rng.uniform(0.9, 1.15)),
        smooth=(float(rng.uniform(0.3, 1.3)), float(rng.uniform(0.3, 1.3))),
    )


def envelope(
    scene: Scene,
    grid: BeamGrid,
    probe: Probe,
    rng: Rng,
    frame: int = 0,
    pose: Pose | None = None,
) -> Array:
    """Return the mean envelope (range samples, beams) of a few looks at different angles."""
    medium = paint(scene, grid, rng)
    looks = int(rng.integers(2, 5))
    widest = rng.uniform(0.1, 0.22)
    seed = int(rng.integers(2**31))
    if pose is not None:
        medium = seen_from(medium, grid, pose, seed)
    points = scatterers(grid, seed, PER_MM2, frame)
    total = np.zeros(grid.shape, np.float32)
    for i, steer in enumerate(np.linspace(-widest, widest, looks)):
        total += np.abs(look(grid, probe, medium, points, float(steer), (seed, frame, i)))
    return total / looks


def scene_labels(scene: Scene, raster: Raster) -> Array:
    """Return the area shares (4, rows, columns) of LABELS in each pixel of a scene."""
    depth, lateral = raster.coordinates()
    px = math.sqrt(raster.spacing_mm[0] * raster.spacing_mm[1])
    nothing = np.zeros(raster.shape, np.float32)
    uterus, cover, fluid = nothing, nothing, nothing
    if scene.uterus is not None:
        uterus = edge(scene.uterus.inside(depth, lateral), px)
    if scene.endometrium is not None:
        field = scene.endometrium.field(depth, lateral)
        cover = strip_share(field.d, field.half, px)
        fluid = strip_share(field.d, field.fluid_half, px)
    return label_shares(uterus, cover, fluid, scene.sector.contains(depth, lateral))


def render_physical(
    scene: Scene, raster: Raster, rng: Rng, *, frame: int = 0, pose: Pose | None = None
) -> Picture:
    """Insonify a scene and show it.

    The same generator state gives the same machine and tissue; `frame` numbers the frames of a
    cine, from one of which to the next the speckle changes a little. `pose` says how obliquely
    the scene is cut and how well the probe touches; its shift and turn are the scene's already.
    The labels are those of the scene, undistorted: what they measure is
    `scene.true_thickness_mm`.
    """
    grid = beam_grid(scene.sector)
    probe, display = sample_probe(rng, scene.sector.depth_mm), sample_display(rng)
    grey = display.grey(envelope(scene, grid, probe, rng, frame, pose))
    depth, lateral = raster.coordinates()
    sector = scene.sector.contains(depth, lateral)
    luma = np.rint(scan_convert(grid, grey, depth, lateral))
    luma = np.where(sector, luma, 0).astype(np.uint8)
    return Picture(luma, sector, scene_labels(scene, raster))
