"""What sound meets in a scene: echo strength of each tissue, its interfaces, losses and detours.

Echo strengths are decibels over myometrium. Their ranges are set so that pictures show the
contrasts of real ones, which are far below those of textbooks.
"""

import numpy as np
from scipy import ndimage

from data.phantom.acoustics import SAMPLE_MM, BeamGrid, Interface, Medium, smooth_noise, tilt_of
from data.phantom.anatomy import (
    ArcFrame,
    Array,
    Endometrium,
    Kind,
    Pattern,
    Rng,
    Scene,
    Structure,
    Subject,
    Uterus,
)

FLUID_DB = -42.0
SILENCE_DB = -70.0
# Echo strength (dB), two-way loss beyond ordinary tissue (dB/mm; negative brightens what lies
# behind), and strength of the wall (dB), each as a range to draw from.
Range = tuple[float, float]
CONTENTS: dict[Kind, tuple[Range, Range, Range]] = {
    Kind.FIBROID: ((-6, 1), (0.1, 0.55), (-4, 5)),
    Kind.NABOTHIAN_CYST: ((FLUID_DB, -30), (-0.6, -0.25), (3, 10)),
    Kind.VESSEL: ((-30, -12), (-0.2, 0), (-6, 4)),
    Kind.BLADDER: ((FLUID_DB, -34), (-0.4, -0.15), (8, 16)),
    Kind.BOWEL_GAS: ((0, 8), (1.0, 3.0), (26, 36)),
    Kind.FREE_FLUID: ((FLUID_DB, -26), (-0.4, -0.1), (3, 12)),
    Kind.OVARY: ((-2, 4), (-0.05, 0.1), (0, 8)),
    Kind.FOLLICLE: ((FLUID_DB, -32), (-0.5, -0.2), (3, 10)),
    Kind.POLYP: ((3, 9), (-0.05, 0.05), (0, 6)),
    Kind.IUD: ((6, 12), (4.0, 9.0), (24, 32)),
    Kind.CANAL: ((1, 7), (0, 0), (0, 6)),
}
# Losses are made up for in part only over this length: a bladder of 4 cm does not blind.
LONGEST_MM = 15.0
NOWHERE_MM = 1e4


def edge(inside: Array, width: float) -> Array:
    """Soft step over a signed depth in mm: 0 at -width/2, 1 at width/2."""
    step: Array = np.clip(0.5 + inside / max(width, 1e-6), 0, 1).astype(np.float32)
    return step


def texture(rng: Rng, u: Array, v: Array, step_mm: tuple[float, float]) -> Array:
    """Return noise of zero mean and unit spread that varies over `step_mm` along u and v."""
    tile = rng.standard_normal((192, 192), np.float32)
    where = np.stack([u / step_mm[0] + 96, v / step_mm[1] + 96])
    out: Array = 1.4 * ndimage.map_coordinates(tile, where, order=1, mode="grid-wrap")
    return out


class Painting:
    """Collects what a scene is made of, from back to front; what covers hides what was there."""

    def __init__(self, grid: BeamGrid, backscatter_db: Array) -> None:
        """Begin with echo strengths (n, m) in dB over myometrium, and no loss."""
        self.grid = grid
        self.db = backscatter_db
        self.loss = np.zeros(grid.shape, np.float32)
        self.detours = np.zeros(grid.shape, np.float32)  # intensity
        self.interfaces: list[Interface] = []

    def fill(self, inside: Array, db: Array | float, width: float = 0.2) -> Array:
        """Fill a region with echoes of `db`. Returns its soft mask (n, m)."""
        cover = edge(inside, width)
        self.db = self.db * (1 - cover) + db * cover
        self.loss *= 1 - cover
        for interface in self.interfaces:
            np.multiply(interface.amplitude, 1 - cover, out=interface.amplitude)
        return cover

    def mirror(self, inside: Array, db: Array | float, spread: float, width: float = 0.15) -> None:
        """Lay an interface where `inside` is 0, `width` mm to either side."""
        layer = np.exp(-((inside / width) ** 2)) * 10 ** (np.asarray(db) / 20)
        tilt = tilt_of(self.grid, inside)
        self.interfaces.append(Interface(layer.astype(np.float32), tilt, spread))

    def graze(self, inside: Array, db_mm: float) -> None:
        """Lose sound that grazes a curved wall: it is bent away, and a thin shadow follows."""
        sine = np.abs(np.sin(tilt_of(self.grid, inside)))
        self.loss += db_mm * np.exp(-((inside / 0.5) ** 2)) * sine**6

    def ring(self, db: float, start: Array, spacing_mm: float, length_mm: float) -> None:
        """Add echoes that run to and fro before a mirror, from range `start` (m,) in mm on."""
        behind = self.grid.distance[:, None] - start
        beat = 0.75 + 0.25 * np.cos(2 * np.pi * behind / spacing_mm)
        level = 10 ** (db / 10) * np.exp(-np.maximum(behind, 0) / length_mm) * beat**2
        self.detours += np.where(behind > 0, level, 0).astype(np.float32)

    def medium(self) -> Medium:
        """Return what was painted."""
        clutter = 10 * np.log10(np.maximum(self.detours, 1e-7))
        return Medium(self.db, self.loss, clutter, tuple(self.interfaces))


def paint(scene: Scene, grid: BeamGrid, rng: Rng) -> Medium:
    """Give tissue to every place of a scene. Nothing here depends on the thickness."""
    painting = _surroundings(scene, grid, rng)
    for structure in scene.structures:
        if not (structure.kind.in_uterus or structure.kind.in_cavity):
            _structure(painting, structure, rng)
    if scene.uterus is not None:
        _uterus(painting, scene.uterus, rng)
    for structure in scene.structures:
        if structure.kind.in_uterus:
            _structure(painting, structure, rng)
    if scene.endometrium is not None:
        _endometrium(painting, scene.endometrium, scene.pattern, rng)
    for structure in scene.structures:
        if structure.kind.in_cavity:
            _structure(painting, structure, rng)
    _machine(painting, scene, rng)
    return painting.medium()


def _surroundings(scene: Scene, grid: BeamGrid, rng: Rng) -> Painting:
    """Fat, bowel and ligaments: brighter than the uterus, clumpy, with streaks that follow it."""
    depth, lateral = grid.depth, grid.lateral
    frame = ArcFrame((rng.uniform(10, 40), 0.0), rng.normal(0, 0.3), rng.normal(0, 0.012))
    u, v = frame.local(depth, lateral)
    if scene.uterus is not None:
        wall = np.maximum(-scene.uterus.inside(depth, lateral), -3)
        near = np.exp(-np.maximum(wall, 0) / rng.uniform(6, 20))
        v = near * wall * np.sign(v) + (1 - near) * v
    warp = rng.uniform(0.5, 3) * smooth_noise(rng, grid.shape, (90, 40))
    v = v + warp
    db = rng.uniform(2, 9) + rng.uniform(1.5, 3.5) * texture(rng, depth, lateral, (9, 9))
    db = db + rng.uniform(1, 3.5) * texture(rng, u, v, (rng.uniform(4, 9), rng.uniform(0.7, 1.6)))
    painting = Painting(grid, db.astype(np.float32))
    streaks = texture(rng, u, v, (rng.uniform(4, 10), rng.uniform(0.8, 1.8)))
    strength = np.clip(streaks - rng.uniform(0.5, 1.3), 0, 2) * rng.uniform(4, 14)
    painting.interfaces.append(
        Interface(strength.astype(np.float32), tilt_of(grid, v), rng.uniform(0.3, 0.6))
    )
    return painting


def _uterus(painting: Painting, uterus: Uterus, rng: Rng) -> None:
    """Myometrium with faint layers along its axis, and the serosa."""
    depth, lateral = painting.grid.depth, painting.grid.lateral
    inside = uterus.inside(depth, lateral)
    # No wall is an ellipse.
    inside = inside + rng.uniform(0.2, 0.9) * smooth_noise(rng, painting.grid.shape, (50, 25))
    s, d = uterus.frame.local(depth, lateral)
    db = rng.uniform(0.8, 2.8) * texture(rng, s, d, (rng.uniform(8, 16), rng.uniform(6, 12)))
    fine = (rng.uniform(3, 7), rng.uniform(0.5, 1.0))
    db = db + rng.uniform(0.4, 1.8) * texture(rng, s, 0.5 * d - 0.5 * inside * np.sign(d), fine)
    # The outermost myometrium is often a little darker or brighter than the rest.
    db = db + rng.normal(0, 1.2) * np.exp(-np.maximum(inside, 0) / rng.uniform(2, 6))
    painting.fill(inside, db, rng.uniform(0.5, 2.5))
    along = texture(rng, s, d, (4, 40))
    painting.mirror(inside, rng.uniform(4, 15) + 3 * along, rng.uniform(0.25, 0.5), 0.25)
    layer = np.exp(-((np.minimum(inside, 0) / rng.uniform(1.0, 3.0)) ** 2)) * (inside < 0)
    painting.db = painting.db + rng.uniform(0, 5) * layer
    painting.graze(inside, rng.uniform(0, 5))


def _structure(painting: Painting, structure: Structure, seeds: Rng) -> None:
    # A generator of its own: a structure that moves must not change what is drawn after it.
    rng = np.random.default_rng(seeds.integers(2**63))
    echo, loss, wall = (float(rng.uniform(*each)) for each in CONTENTS[structure.kind])
    kind, grid = structure.kind, painting.grid
    inside = structure.inside(grid.depth, grid.lateral)
    db: Array | float = echo
    if kind is Kind.FIBROID:  # whorls
        db = echo + rng.uniform(0.5, 2) * texture(rng, inside, grid.lateral, (0.9, 6))
    cover = painting.fill(inside, db, 0.2 if kind is not Kind.OVARY else 1.0)
    if not cover.any():
        return
    if kind is Kind.BOWEL_GAS:
        # Sound stops at the front of gas, and what seems to lie in it are echoes of echoes.
        first = np.argmax(cover > 0.5, axis=0)
        hit = (cover > 0.5).any(axis=0)
        start = np.where(hit, grid.distance[first], NOWHERE_MM)
        start = start + rng.uniform(0.2, 1.0) * smooth_noise(rng, (4, grid.shape[1]), (4, 8))[0]
        painting.ring(rng.uniform(-9, 4), start, rng.uniform(1.5, 5), rng.uniform(5, 18))
        painting.loss += 3.0 * (grid.distance[:, None] > start)
    elif kind is Kind.IUD:
        start = np.where(
            (cover > 0.5).any(0), grid.distance[np.argmax(cover > 0.5, axis=0)], NOWHERE_MM
        )
        painting.ring(rng.uniform(-12, -2), start, rng.uniform(1.0, 2.2), rng.uniform(2, 8))
    length = np.minimum(np.cumsum(cover, axis=0) * SAMPLE_MM, LONGEST_MM)
    painting.loss += loss * cover * (length < LONGEST_MM)
    rough = rng.uniform(0.6, 1.0) if kind is Kind.BOWEL_GAS else rng.uniform(0.25, 0.6)
    painting.mirror(inside, wall, rough)
    painting.graze(inside, rng.uniform(0, 8) if kind is not Kind.VESSEL else 0.0)


def _endometrium(painting: Painting, band: Endometrium, pattern: Pattern, rng: Rng) -> None:
    """The band by its pattern. Its bright outer layers lie inside the basal interface."""
    grid = painting.grid
    field = band.field(grid.depth, grid.lateral)
    s, d, half, fluid_half = field.s, field.d, field.half, field.fluid_half
    inside = np.where(half > 0, half - np.abs(d), -np.abs(d) - 1)
    core = np.abs(d) - fluid_half
    around = painting.db
    # A weak halo of either sign: the inner myometrium, no part of the endometrium.
    ring = np.exp(-(((inside + 0.6) / rng.uniform(0.8, 2)) ** 2)) * (inside < 0) * (half > 0)
    painting.db = around + rng.normal(-1.0, 1.2) * ring
    own = rng.uniform(0.3, 1.2) * texture(rng, s, d, (rng.uniform(1.5, 5), rng.uniform(0.8, 2)))
    # Uneven along its length, and often dimmer at the fundus.
    own = own + rng.uniform(0.3, 1.5) * texture(rng, s, d * 0, (rng.uniform(3, 8), 1))
    base = 0.35 * around + own
    line, spread = _line_db(pattern, rng), rng.uniform(0.3, 0.7)
    if pattern is Pattern.THREE_LAYER:
        rim = min(rng.uniform(0.6, 1.2), 0.16 * band.thickness_mm)
        layers = rng.uniform(-3.5, 0.5) + rng.uniform(7, 12) * np.exp(-((inside / rim) ** 4))
        painting.fill(inside, base + layers)
    elif pattern is Pattern.HYPERECHOIC:
        bow = rng.uniform(-1.5, 1.5) * np.clip(1 - core / (0.5 * band.thickness_mm), 0, 1)
        painting.fill(inside, base + rng.uniform(5, 11) + bow)
    elif pattern is Pattern.ISOECHOIC:
        painting.fill(inside, around + 0.5 * own + rng.uniform(-0.7, 0.9))
    elif pattern is Pattern.THIN_LINE:
        painting.fill(inside, base + rng.uniform(4.5, 11.5))
    else:
        painting.fill(inside, base + rng.uniform(2.5, 5.5))
    gaps = texture(rng, s, d * 0, (rng.uniform(1.5, 4), 1))
    present = np.where(half > 0, line + 2 * gaps, SILENCE_DB)
    if pattern.lined:  # the line is rough: part of it answers at any angle
        diffuse = np.maximum(rng.uniform(5, 10) + 2 * gaps, 0) * (half > 0)
        painting.db = painting.db + diffuse * np.exp(-((core / rng.uniform(0.25, 0.5)) ** 2))
    painting.mirror(core, present, spread, 0.18)
    basal = rng.uniform(-3, 5) if pattern is not Pattern.ISOECHOIC else -8.0
    painting.mirror(inside - 0.1, np.where(half > 0, basal, SILENCE_DB), spread, 0.15)
    if band.canal_mm > 0:
        beyond = np.minimum(s - 0.5 * band.length_mm, 0.5 * band.length_mm + band.canal_mm - s)
        level = np.where(beyond > 0, rng.uniform(-4, 6) + 2 * gaps, SILENCE_DB)
        painting.mirror(d, level, spread, 0.2)
        painting.db = painting.db + rng.uniform(0, 3) * np.exp(-((d / 0.5) ** 2)) * edge(beyond, 2)
    if band.fluid_mm > 0:
        fluid = np.where((fluid_half > 0) & (half > 0), fluid_half - np.abs(d), -1.0)
        painting.fill(fluid, rng.uniform(FLUID_DB, -28), 0.15)
        painting.mirror(fluid, rng.uniform(0, 8), spread)


def _line_db(pattern: Pattern, rng: Rng) -> float:
    """Draw the strength of the cavity line, dB."""
    low, high = {
        Pattern.THREE_LAYER: (12, 20),
        Pattern.HYPERECHOIC: (-3, 14),
        Pattern.ISOECHOIC: (-6, 6),
        Pattern.THIN_LINE: (10, 20),
    }.get(pattern, (12, 20))
    return float(rng.uniform(low, high))


def _machine(painting: Painting, scene: Scene, rng: Rng) -> None:
    """Probe face, vaginal wall, gain over depth and beam, noise, and bad contact."""
    grid = painting.grid
    distance, span = grid.distance[:, None], scene.sector.depth_mm
    silent = scene.subject in (Subject.NOISE, Subject.POOR_CONTACT)
    # The lens rings, and the first millimetres are filled with echoes between skin and probe.
    painting.ring(rng.uniform(20, 32), np.zeros(grid.shape[1]), rng.uniform(0.5, 1.2), 0.25)
    painting.ring(rng.uniform(-10, 2), np.zeros(grid.shape[1]), rng.uniform(1, 3), 3.0)
    for _ in range(int(rng.integers(0, 3))):
        bent = rng.uniform(0.3, 1.5) * smooth_noise(rng, grid.shape, (10_000, 150))
        wall = distance - rng.uniform(1.5, 8) + bent
        level = rng.uniform(4, 16) + 3 * smooth_noise(rng, grid.shape, (10_000, 12))
        painting.mirror(wall, level, 0.6, 0.3)
    drift = smooth_noise(rng, (grid.shape[0], 4), (grid.shape[0] / 4, 4))[:, :1]
    painting.db = painting.db + rng.uniform(0.3, 1.8) * drift
    painting.db = painting.db + rng.uniform(0.5, 2.8) * smooth_noise(rng, grid.shape, (160, 60))
    # Where the echoes have faded, the gain over depth turns up noise.
    reach = rng.uniform(0.6, 1.3) * span if not silent else rng.uniform(0.1, 0.5) * span
    noise = rng.uniform(-34, -22) + rng.uniform(0.15, 0.5) * np.maximum(distance - reach, 0)
    painting.detours += 10 ** (noise / 10)
    painting.loss += rng.uniform(0, 0.25) * (distance > reach)
    # Beams at the rim often miss the skin.
    rim = rng.uniform(0.78, 1.1) * scene.sector.half_angle
    lost = np.clip((rng.choice([-1, 1]) * grid.angle - rim) / 0.1, 0, 1)
    if scene.subject is Subject.POOR_CONTACT:
        lost = np.clip(0.75 + 0.5 * smooth_noise(rng, grid.shape, (10_000, 40))[:1], 0, 1)
        start = np.zeros(grid.shape[1])
        painting.ring(rng.uniform(2, 10), start, rng.uniform(2, 6), rng.uniform(5, 15))
    painting.loss += rng.uniform(5, 20) * lost * ((distance > 0) & (distance < 2))
    if scene.subject is Subject.NOISE:
        painting.loss += 30.0 * ((distance > 0) & (distance < 1))
        painting.detours += 10 ** ((rng.uniform(-25, 0) + 0 * distance) / 10)
