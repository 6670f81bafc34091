"""Renderer 1: randomised pictures of a scene, for training.

Every grey level, texture and artefact is drawn anew for each picture and independently of the
thickness, with ranges wider than any real machine's: a network that has to find the endometrium
in all of them finds it in real ones too (domain randomisation; Billot et al. 2023, SynthSeg,
Medical Image Analysis 86:102789). Grey is composed in the log domain, 0 black to 1 white.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom.anatomy import ArcFrame, Array, Pattern, Rng, Scene

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

    The labels are the area shares of LABELS in each pixel and sum to 1.
    """

    luma: NDArray[np.uint8]
    sector: NDArray[np.bool_]
    labels: NDArray[np.float32]


def _edge(distance: Array, width: float) -> Array:
    """Soft step: 0 at -width/2, 1 at +width/2 (mm)."""
    step: Array = np.clip(0.5 + distance / max(width, 1e-6), 0.0, 1.0)
    return step


def _along(at: Array, knots: Array, values: Array) -> Array:
    """Piecewise linear function of a coordinate field."""
    return np.interp(at.ravel(), knots, values).reshape(at.shape).astype(np.float32)


def _smooth_field(rng: Rng, shape: tuple[int, int], cells: int) -> Array:
    """Low-frequency random field, about zero mean and unit spread."""
    coarse = rng.normal(size=(cells + 3, cells + 3)).astype(np.float32)
    at = [np.linspace(0.7, cells + 1.3, n) for n in shape]
    # Separable cubic interpolation: rows first, then columns.
    rows = ndimage.map_coordinates(
        coarse, np.meshgrid(at[0], np.arange(cells + 3), indexing="ij"), order=3, mode="nearest"
    )
    index = at[1].astype(int)
    t = (at[1] - index).astype(np.float32)
    t = t * t * (3 - 2 * t)
    field: Array = 1.4 * (rows[:, index] * (1 - t) + rows[:, index + 1] * t)
    return field


def _speckle(rng: Rng, distance: Array, angle: Array, sector_depth: float, half: float) -> Array:
    """Log-compressed speckle, unit spread: made in beam space, so it widens with depth."""
    axial_mm, beams = rng.uniform(0.25, 0.9), int(rng.uniform(70, 220))
    samples = int(np.clip(sector_depth / (axial_mm / 2), 60, 320))
    looks = int(rng.integers(1, 4))
    power = np.zeros((samples, beams), np.float32)
    blur = (rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.4))
    for _ in range(looks):
        for _ in range(2):  # real and imaginary part of the echo
            power += (
                ndimage.gaussian_filter(
                    rng.standard_normal((samples, beams), np.float32), blur, truncate=3.0
                )
                ** 2
            )
    log = np.log(power + 0.02 * power.mean())
    log = (log - log.mean()) / log.std()
    where = np.stack(
        [distance * ((samples - 1) / sector_depth), (angle / half + 1) * (0.5 * (beams - 1))]
    )
    out: Array = ndimage.map_coordinates(log.astype(np.float32), where, order=1, mode="nearest")
    return out


def _ellipse(rng: Rng, depth: Array, lateral: Array, span: float) -> Array:
    """Return the signed depth inside a random ellipse (mm, approximate)."""
    z0, x0 = rng.uniform(0, span), rng.uniform(-0.7, 0.7) * span
    a = rng.uniform(1.5, 18)
    b = a * rng.uniform(0.35, 1.0)
    t = rng.uniform(0, np.pi)
    cosine, sine = math.cos(t), math.sin(t)
    u = cosine * (lateral - x0) + sine * (depth - z0)
    v = cosine * (depth - z0) - sine * (lateral - x0)
    return (1 - np.hypot(u / a, v / b)) * b


def _clutter(
    rng: Rng, grey: Array, depth: Array, lateral: Array, span: float, wild: float
) -> Array:
    """Add blobs, cysts, bowel and interfaces that may be brighter than any endometrium."""
    for _ in range(rng.integers(1, 4 + round(7 * wild))):
        inside = _ellipse(rng, depth, lateral, span)
        soft = _edge(inside, rng.uniform(0.3, 4))
        if rng.random() < 0.25:  # anechoic: bladder, follicle, vessel
            grey = grey * (1 - soft)
            if rng.random() < 0.5:  # bright wall behind it
                grey = grey + rng.uniform(0, 0.5) * np.exp(-((inside / 0.7) ** 2))
        else:
            grey = grey + rng.uniform(-0.35, 0.4) * soft
            if rng.random() < 0.3:
                grey = grey + rng.uniform(0.05, 0.5) * np.exp(
                    -((inside / rng.uniform(0.3, 1.2)) ** 2)
                )
    # Serosa, bowel wall, fascia: bright or dark curved bands.
    for _ in range(rng.integers(1, 4 + round(6 * wild))):
        tilt = rng.normal(0, 0.5) if rng.random() < 0.7 else rng.uniform(-1.6, 1.6)
        axis = ArcFrame((rng.uniform(0, span), rng.uniform(-0.7, 0.7) * span), tilt, 0.0)
        s, d = axis.local(depth, lateral)
        d = d - rng.normal(0, 0.0125) * s * s
        length = rng.uniform(8, 60)
        width = rng.uniform(0.3, 1.2) if rng.random() < 0.7 else rng.uniform(1.2, 5)
        along = _edge(length / 2 - np.abs(s), rng.uniform(2, 12))
        grey = grey + rng.uniform(-0.15, 0.6) * along * np.exp(-((d / width) ** 2))
    return grey


def _other_organ(rng: Rng, grey: Array, depth: Array, lateral: Array, span: float) -> Array:
    """Paint what is no uterus: chambers with bright walls, or layers as in muscle and neck."""
    if rng.random() < 0.5:
        wall = rng.uniform(0.05, 0.5)
        for _ in range(rng.integers(2, 6)):
            inside = _ellipse(rng, depth, lateral, span)
            soft = _edge(inside, rng.uniform(0.3, 2))
            grey = grey * (1 - rng.uniform(0.6, 1.0) * soft)
            grey = grey + wall * np.exp(-((inside / rng.uniform(0.5, 2)) ** 2))
        return grey
    tilt = rng.normal(0, 0.15)
    level = depth + tilt * lateral + rng.uniform(0, 2) * _smooth_field(rng, depth.shape, 4)
    for _ in range(rng.integers(3, 14)):
        at, width = rng.uniform(0, span), rng.uniform(0.2, 2.5)
        gaps = np.clip(1 + 0.8 * _smooth_field(rng, depth.shape, 6), 0, 1)
        grey = grey + rng.uniform(-0.2, 0.5) * gaps * np.exp(-(((level - at) / width) ** 2))
    return grey


def _uterus(
    rng: Rng, grey: Array, wall: Array, at: tuple[Array, Array], look: tuple[float, float, float]
) -> Array:
    """Paint the uterus: `wall` is the depth below its wall in mm, `look` (base, span, wild)."""
    base, span, wild = look
    level = rng.uniform(0.12, 0.6)
    if wild == 0 and abs(level - base) < 0.1:
        level = base - 0.15 if base > 0.3 else base + 0.15
    body = level + rng.uniform(0, 0.07) * _smooth_field(rng, wall.shape, int(rng.integers(5, 16)))
    for _ in range(rng.integers(0, 4)):  # fibroids, vessels, cysts
        inside = _ellipse(rng, *at, span)
        body = body + rng.uniform(-0.2, 0.12) * _edge(inside, rng.uniform(0.5, 4))
    soft = _edge(wall, rng.uniform(0.5, 5))
    keep = rng.uniform(0.0, 0.05 + 0.2 * wild)  # some of what lies behind shines through
    grey = grey * (1 - soft * (1 - keep)) + (body - keep * level) * soft
    if rng.random() < 0.6:
        grey = grey + rng.uniform(0, 0.4) * np.exp(-((wall / rng.uniform(0.4, 1.6)) ** 2))
    return grey


def _endometrium(
    rng: Rng, scene: Scene, grey: Array, at: tuple[Array, Array], px: float, wild: float
) -> tuple[Array, Array, Array]:
    """Paint the band. Return the new grey and the coverage of the band and of fluid."""
    band = scene.endometrium
    if band is None:
        raise ValueError("the scene shows no endometrium")
    s, d = band.frame.local(*at)
    half = band.half(s)
    fluid_half = np.minimum(band.fluid_half(s), 2 * band.thickness_mm * band.profile(s))
    inside = half - np.abs(d)
    cover = np.where(half > 0, _edge(inside, px), 0.0)
    fluid = np.where((fluid_half > 0) & (half > 0), _edge(fluid_half - np.abs(d), px), 0.0)

    step = rng.choice([-1.0, 1.0], p=[0.12, 0.88])
    blur = rng.uniform(0.15, 0.8)
    soft = np.where(half > 0, _edge(inside, max(blur, px)), 0.0)
    core = np.abs(d) - fluid_half  # distance from the cavity
    tissue = np.maximum(half - fluid_half, 1e-6)
    myometrium = grey
    pattern = scene.pattern
    tame = 1 - wild
    line = rng.uniform(0.1 + 0.1 * tame, 0.45)
    line_mm = rng.uniform(0.25, 0.8)
    if pattern is Pattern.THREE_LAYER:
        layer = rng.uniform(-0.22, 0.12)
        rim = np.exp(-(((inside - 0.6 * line_mm) / line_mm) ** 2)) * (inside > -line_mm)
        centre = np.exp(-((core / line_mm) ** 2))
        add = layer * soft + rng.uniform(0.04 + 0.08 * tame, 0.4) * rim + line * centre * soft
    elif pattern is Pattern.HYPERECHOIC:
        add = step * rng.uniform(0.06 + 0.12 * tame, 0.45) * soft
        if rng.random() < 0.5:
            add = add + rng.uniform(-0.15, 0.3) * np.exp(-((core / line_mm) ** 2)) * soft
        if rng.random() < 0.3:  # the centre differs gradually from the edge
            add = add + rng.uniform(-0.2, 0.2) * soft * np.clip(1 - core / tissue, 0, 1)
    elif pattern is Pattern.ISOECHOIC:
        add = rng.uniform(-0.05, 0.06) * soft
        add = add + rng.uniform(0, 0.12) * np.exp(-((core / line_mm) ** 2)) * soft
    elif pattern is Pattern.THIN_LINE:
        add = rng.uniform(0.12 + 0.15 * tame, 0.6) * soft
    else:  # a line in a grey band
        add = step * rng.uniform(0.03 + 0.05 * tame, 0.18) * soft
        add = add + line * np.exp(-((core / line_mm) ** 2)) * soft
    # Lines and bands are interrupted and of uneven brightness along their length.
    along = _along(s, np.linspace(-0.6, 0.6, 24) * band.length_mm, rng.normal(1, 0.25, 24))
    if rng.random() < 0.5:
        add = add * np.clip(along, 0.1 + 0.5 * tame, 1.5)
    grey = myometrium + add
    if rng.random() < 0.5:  # weak halo of either sign, outside the band and not part of it
        width = rng.uniform(0.6, 2.5)
        ring = np.clip(1 + inside / width, 0, 1) * (inside < 0) * (half > 0)
        grey = grey + rng.normal(-0.03, 0.06) * ring
    if band.fluid_mm > 0:
        grey = grey * (1 - fluid) + rng.uniform(0, 0.12) * fluid
    return grey, cover, fluid


def _artefacts(
    rng: Rng, grey: Array, distance: Array, angle: Array, scene: Scene, wild: float
) -> Array:
    """Shadows, gain along depth and beam, near field, attenuation."""
    span = scene.sector.depth_mm
    for _ in range(rng.integers(0, 2 + round(4 * wild))):
        width = math.radians(rng.uniform(1, 9))
        beam = np.exp(-(((angle - rng.uniform(-1, 1) * scene.sector.half_angle) / width) ** 2))
        grey = grey - rng.uniform(0.05, 0.5) * beam * _edge(
            distance - rng.uniform(0, 0.8) * span, rng.uniform(1, 8)
        )
    depths = np.linspace(0, span, 7)
    tgc = rng.normal(0, rng.uniform(0, 0.03 + 0.09 * wild), 7)
    tgc = tgc + np.linspace(0, rng.uniform(-0.1 - 0.2 * wild, 0.15), 7)
    beams = np.linspace(-scene.sector.half_angle, scene.sector.half_angle, 6)
    grey = grey + _along(distance, depths, tgc)
    gains = rng.normal(0, rng.uniform(0, 0.02 + 0.07 * wild), 6)
    grey = grey + _along(angle, beams, gains)
    if rng.random() < 0.7:  # bright lines under the probe face
        for _ in range(rng.integers(1, 4)):
            at, width = rng.uniform(0, 8), rng.uniform(0.3, 1.8)
            grey = grey + rng.uniform(0.05, 0.5) * np.exp(-(((distance - at) / width) ** 2))
    if rng.random() < 0.2 * wild:  # poor contact: beams lost from one side
        lost = _edge(angle * rng.choice([-1, 1]) - rng.uniform(0.1, 0.8), 0.3)
        grey = grey - rng.uniform(0.2, 0.8) * lost
    return grey


def _marks(rng: Rng, luma: Array) -> Array:
    """Burn in grey calipers and dots, also where there is nothing to measure."""
    rows, columns = luma.shape
    for _ in range(rng.integers(1, 5)):
        r, c = int(rng.integers(8, rows - 8)), int(rng.integers(8, columns - 8))
        arm, value = int(rng.integers(2, 6)), rng.uniform(0.6, 1.0)
        luma[r, c - arm : c + arm + 1] = value
        luma[r - arm : r + arm + 1, c] = value
        if rng.random() < 0.5:  # dotted line to a second mark
            t = np.linspace(0, 1, 24)
            rr = np.clip(r + t * rng.uniform(-50, 50), 0, rows - 1).astype(int)
            cc = np.clip(c + t * rng.uniform(-50, 50), 0, columns - 1).astype(int)
            luma[rr, cc] = value
    return luma


def render(
    scene: Scene,
    raster: Raster,
    rng: Rng,
    *,
    marks: float = 0.12,
    ragged_mm: float = 0.5,
    wild: float | None = None,
) -> Picture:
    """Draw one randomised picture of `scene`.

    `wild` from 0 to 1 says how strange it may look; None draws that, too.
    A share `marks` carries grey calipers. Anatomy is displaced by a random smooth field of up to
    about `ragged_mm`, labels with it: pass 0 where the thickness must equal the scene's truth.
    """
    depth, lateral = raster.coordinates()
    distance, angle = scene.sector.polar(depth, lateral)
    sector = scene.sector.contains(depth, lateral)
    px = math.sqrt(raster.spacing_mm[0] * raster.spacing_mm[1])
    shape, span = raster.shape, scene.sector.depth_mm
    if ragged_mm > 0:
        cells = int(rng.integers(8, 30))
        amount = rng.uniform(0, ragged_mm) * min(1.0, 12 / cells)
        depth = depth + amount * _smooth_field(rng, shape, cells)
        lateral = lateral + amount * _smooth_field(rng, shape, cells)

    # Half of the pictures are closer to what an examiner would save, so that a network finds its
    # footing; the others are as strange as it gets.
    drawn = max(0.0, 2 * rng.random() - 1)
    wild = drawn if wild is None else wild
    base = rng.uniform(0.1, 0.65)
    grey = base + rng.uniform(0, 0.12) * _smooth_field(rng, shape, 7)
    grey = _clutter(rng, grey, depth, lateral, span, wild)
    labels = np.zeros((4, *shape), np.float32)
    if scene.uterus is None and rng.random() < 0.6:
        grey = _other_organ(rng, grey, depth, lateral, span)
    if scene.uterus is not None:
        wall = scene.uterus.inside(depth, lateral)
        grey = _uterus(rng, grey, wall, (depth, lateral), (base, span, wild))
        labels[3] = _edge(wall, px)
    if scene.endometrium is not None:
        grey, cover, fluid = _endometrium(rng, scene, grey, (depth, lateral), px, wild)
        labels[2] = fluid
        labels[1] = np.clip(cover - fluid, 0, 1)
        labels[3] = np.clip(np.maximum(labels[3], cover) - labels[1] - labels[2], 0, 1)
    labels[1:] *= sector
    labels[0] = 1 - labels[1:].sum(0)

    grey = _artefacts(rng, grey, distance, angle, scene, wild)
    strength = rng.uniform(0.02, 0.1 + 0.06 * wild)
    grey = grey + strength * _speckle(rng, distance, angle, span, scene.sector.half_angle)
    if rng.random() < 0.5:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.2, 0.6) / px * rng.random())
    if rng.random() < 0.3:
        grey = grey + rng.uniform(0.2, 1.2) * (grey - ndimage.gaussian_filter(grey, 1.5))
    grey = np.clip(grey * rng.uniform(0.8 - 0.1 * wild, 1.4) + rng.normal(0, 0.06), 0, 1)
    grey = grey ** rng.uniform(0.6, 1.3 + 0.5 * wild) + 0.012 * rng.standard_normal(
        shape, np.float32
    )
    if rng.random() < marks:
        grey = _marks(rng, grey)
    luma = np.where(sector, np.clip(np.rint(255 * grey), 0, 255), 0).astype(np.uint8)
    return Picture(luma, sector, labels)
