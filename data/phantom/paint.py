"""Renderer 1: tissue painted with grey levels drawn at random.

Grey is composed in the log domain, 0 black to 1 white; `wild` from 0 to 1 says how strange a
picture may look. Arrays are float32 (n,), one value for each painted pixel; lengths are in mm.
"""

import math
from dataclasses import dataclass

import numpy as np

from data.phantom.anatomy import (
    ArcFrame,
    Array,
    BandField,
    Kind,
    Pattern,
    Rng,
    Scene,
    Structure,
    Subject,
    Uterus,
)
from data.phantom.texture import (
    Canvas,
    along,
    edge,
    ridge,
    sign,
    smooth_field,
    streaks,
    strip_share,
)


@dataclass(frozen=True)
class Place:
    """Where the pixels lie: depth and lateral position, range and beam angle, in the endometrium
    if there is one; the size of a pixel, and the canvas they are on."""

    depth: Array
    lateral: Array
    distance: Array
    angle: Array
    px: float
    band: BandField | None
    canvas: Canvas


@dataclass(frozen=True)
class Look:
    """What holds for one whole picture: level of the surroundings, spread of the speckle."""

    base: float
    noise: float
    wild: float


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw with equal weight per octave."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _ellipse(rng: Rng, at: Place, span: float) -> Array:
    """Return the signed depth inside a random ellipse (mm, approximate)."""
    a = rng.uniform(1.5, 18)
    centre = (rng.uniform(0, span), rng.uniform(-0.7, 0.7) * span)
    shape = Structure(Kind.VESSEL, centre, (a, a * rng.uniform(0.35, 1.0)), rng.uniform(0, np.pi))
    return shape.inside(at.depth, at.lateral)


def clutter(rng: Rng, grey: Array, at: Place, span: float, wild: float) -> Array:
    """Add blobs, cysts and interfaces that may be brighter than any endometrium."""
    for _ in range(rng.integers(0, 3 + round(6 * wild))):
        inside = _ellipse(rng, at, span)
        soft = edge(inside, rng.uniform(0.3, 4))
        if rng.random() < 0.2:  # anechoic
            grey = grey * (1 - soft)
            if rng.random() < 0.5:  # bright wall behind it
                grey = grey + rng.uniform(0, 0.5) * ridge(inside, 0.7)
        else:
            grey = grey + rng.uniform(-0.3, 0.35) * soft
            if rng.random() < 0.3:
                grey = grey + rng.uniform(0.05, 0.5) * ridge(inside, rng.uniform(0.3, 1.2))
    # Serosa, bowel wall, fascia: bright or dark curved bands, mostly about level.
    for _ in range(rng.integers(1, 5 + round(5 * wild))):
        tilt = rng.normal(0, 0.4) if rng.random() < 0.75 else rng.uniform(-1.6, 1.6)
        axis = ArcFrame((rng.uniform(0, span), rng.uniform(-0.7, 0.7) * span), tilt, 0.0)
        s, d = axis.local(at.depth, at.lateral)
        d = d - rng.normal(0, 0.0125) * s * s
        length = rng.uniform(6, 60)
        width = rng.uniform(0.3, 1.2) if rng.random() < 0.7 else rng.uniform(1.2, 5)
        fade = edge(length / 2 - np.abs(s), rng.uniform(2, 12))
        grey = grey + rng.uniform(-0.12, 0.5) * fade * ridge(d, width)
    return grey


def other_organ(rng: Rng, grey: Array, at: Place, span: float) -> Array:
    """Paint what is no uterus: chambers with bright walls, or layers as in muscle and neck."""
    if rng.random() < 0.5:
        wall = rng.uniform(0.05, 0.5)
        for _ in range(rng.integers(2, 6)):
            inside = _ellipse(rng, at, span)
            soft = edge(inside, rng.uniform(0.3, 2))
            grey = grey * (1 - rng.uniform(0.6, 1.0) * soft)
            grey = grey + wall * ridge(inside, rng.uniform(0.5, 2))
        return grey
    level = at.depth + rng.normal(0, 0.15) * at.lateral
    level = level + rng.uniform(0, 2) * smooth_field(rng, at.canvas, 4)
    for _ in range(rng.integers(3, 14)):
        middle, width = rng.uniform(0, span), rng.uniform(0.2, 2.5)
        gaps = np.clip(1 + 0.8 * smooth_field(rng, at.canvas, 6), 0, 1)
        grey = grey + rng.uniform(-0.2, 0.5) * gaps * ridge(level - middle, width)
    return grey


def structure(rng: Rng, grey: Array, at: Place, what: Structure) -> Array:
    """Paint one structure and what it does to the beams behind it."""
    inside = what.inside(at.depth, at.lateral)
    soft = edge(inside, rng.uniform(0.3, 1.5) if what.kind is not Kind.FIBROID else 3.0)
    behind = 0.0  # added to the grey in the beams behind it
    if what.kind in (Kind.BLADDER, Kind.FREE_FLUID, Kind.FOLLICLE, Kind.NABOTHIAN_CYST):
        grey = grey * (1 - soft) + rng.uniform(0.0, 0.12) * soft
        grey = grey + rng.uniform(0, 0.35) * ridge(inside, 0.6)
        behind = rng.uniform(0, 0.15)
    elif what.kind is Kind.VESSEL:
        grey = grey - rng.uniform(0.05, 0.4) * soft
    elif what.kind is Kind.BOWEL_GAS:
        front = edge(what.centre[0] - at.depth, 1.0)
        grey = grey + rng.uniform(0.1, 0.6) * soft * front + rng.uniform(0, 0.2) * soft
        behind = -rng.uniform(0.05, 0.5)
    elif what.kind is Kind.FIBROID:
        grey = grey + rng.uniform(-0.18, 0.15) * soft
        grey = grey + rng.uniform(-0.1, 0.2) * ridge(inside, rng.uniform(0.4, 1.2))
        behind = -rng.uniform(0, 0.3)
    elif what.kind is Kind.OVARY:
        grey = grey * (1 - soft) + (rng.uniform(0.15, 0.5)) * soft
    elif what.kind is Kind.POLYP:
        grey = grey + rng.uniform(-0.1, 0.3) * soft
    elif what.kind is Kind.IUD:
        grey = grey + rng.uniform(0.3, 0.7) * soft
        behind = -rng.uniform(0.1, 0.5)
    else:  # the canal of a cervix
        grey = grey + rng.uniform(-0.2, 0.25) * soft
    if behind and rng.random() < 0.8:
        grey = grey + behind * _behind(at, what)
    return grey


def _behind(at: Place, what: Structure) -> Array:
    """Mark the beams behind a structure, softly, from its middle on."""
    near = np.hypot(at.depth - what.centre[0], at.lateral - what.centre[1]).argmin()
    distance, angle = at.distance.flat[near], at.angle.flat[near]
    width = 0.6 * max(what.semi_mm) / (distance + 12.0)
    return ridge(at.angle - angle, max(width, 0.02)) * edge(at.distance - distance, 4.0)


def _off_band(band: BandField | None) -> Array | float:
    """Return 0 on the endometrium and just beside it, 1 from 2 mm away; 1 where there is none."""
    return 1.0 if band is None else edge(np.abs(band.d) - band.half - 1.5, 1.0)


def uterus(rng: Rng, grey: Array, body_of: Uterus, at: Place, look: Look) -> tuple[Array, Array]:
    """Paint the uterus. Returns the new grey and the signed depth below its wall in mm."""
    s, d = body_of.frame.local(at.depth, at.lateral)
    wall = body_of.inside_at(s, d)
    level = rng.uniform(0.12, 0.55)
    if rng.random() < 0.5:  # mostly darker than what surrounds it
        level = max(0.08, look.base - rng.uniform(0.02, 0.3))
    body = level + rng.uniform(0, 0.08) * smooth_field(rng, at.canvas, int(rng.integers(4, 16)))
    # Layers of muscle and vessels: faint lines along the wall that are no endometrium.
    # They are drawn as if there were none, and left out on it: nothing about them tells how thick
    # the endometrium is, but that they do not cross it.
    off_band = _off_band(at.band)
    for _ in range(rng.integers(0, 5)):
        off = sign(rng) * rng.uniform(0.2, 0.48) * body_of.short_mm
        middle = rng.uniform(-0.4, 0.4) * body_of.long_mm
        fade = edge(rng.uniform(3, 0.35 * body_of.long_mm) - np.abs(s - middle), 6.0) * off_band
        body = body + rng.uniform(-0.12, 0.18) * fade * ridge(d - off, rng.uniform(0.3, 1.5))
    if rng.random() < 0.4:  # lighter before or behind its axis: no edge of a band
        axis = at.band.d if at.band is not None else d
        body = body + rng.uniform(-0.1, 0.1) * edge(axis, log_uniform(rng, 0.3, 12))
    soft = edge(wall, log_uniform(rng, 0.4, 7))
    keep = rng.uniform(0.0, 0.1)  # some of what lies behind shines through
    grey = grey * (1 - soft * (1 - keep)) + (body - keep * level) * soft
    # The wall echoes where the beam meets it squarely.
    facing = np.abs(at.canvas.pick(np.gradient(at.canvas.lay(wall), axis=0))) / at.px
    square = np.clip(facing, 0, 1) ** rng.uniform(0, 6)
    if rng.random() < 0.7:
        grey = grey + rng.uniform(0, 0.4) * square * ridge(wall, rng.uniform(0.4, 1.6))
    # Serosa and what lies along it: bright, short, parallel to the wall, and no endometrium.
    for _ in range(rng.integers(0, 4)):
        middle = rng.uniform(-0.5, 0.5) * body_of.long_mm
        fade = edge(rng.uniform(2, 0.4 * body_of.long_mm) - np.abs(s - middle), 5.0)
        fade = fade * (d > 0 if rng.random() < 0.7 else d < 0)
        beyond = ridge(wall + rng.uniform(0, 8), log_uniform(rng, 0.4, 3))
        grey = grey + log_uniform(rng, 0.05, 0.5) * fade * beyond
    if rng.random() < 0.5:  # bright tissue behind it
        far = edge(at.depth - body_of.frame.centre[0], 8.0) * (wall < 0)
        grey = grey + rng.uniform(0.02, 0.35) * far * ridge(wall, rng.uniform(2, 15))
    return grey, wall


def _interrupted(rng: Rng, field: BandField, wild: float) -> Array:
    """Brightness along the midline: uneven, and with gaps."""
    values = np.clip(rng.normal(1, rng.uniform(0.05, 0.35), 30), 0.2, 1.6)
    if rng.random() < 0.5:
        values[rng.random(30) < rng.uniform(0.03, 0.25 + 0.15 * wild)] *= rng.uniform(0, 0.5)
    if rng.random() < 0.3:  # the band dims towards one end
        low, high = rng.uniform(0.3, 1.0, 2)
        values = values * np.linspace(low, high, 30)
    reach = 0.6 * field.band.length_mm
    return along(field.s, -reach, reach, values)


def _pattern(
    rng: Rng, scene: Scene, soft: Array, core: Array, inside: Array, at: Place, look: Look
) -> Array:
    """Return the grey that the endometrium adds to the myometrium.

    `soft` is 1 inside the band, `core` the distance from the cavity, `inside` that from the edge.
    """
    least = max(0.05, rng.uniform(0.5, 1.1) * look.noise)  # fainter could not be seen at all
    line_mm = rng.uniform(0.25, 0.8)
    line = log_uniform(rng, least, 0.45)
    # Darker than myometrium happens, but rarely.
    side = -1.0 if rng.random() < 0.03 + 0.12 * look.wild else 1.0
    middle = ridge(core, line_mm) * soft
    if scene.pattern is Pattern.THREE_LAYER:
        rim = ridge(inside - 0.6 * line_mm, line_mm) * (inside > -line_mm)
        layer = rng.normal(-0.03, 0.08)
        return layer * soft + log_uniform(rng, least, 0.35) * rim + line * middle
    if scene.pattern is Pattern.HYPERECHOIC:
        add = side * log_uniform(rng, least, 0.42) * soft
        if rng.random() < 0.5:
            add = add + rng.uniform(-0.15, 0.25) * middle
        if rng.random() < 0.3:  # the centre differs gradually from the edge
            add = add + rng.uniform(-0.15, 0.2) * soft * np.exp(-core / rng.uniform(0.5, 3))
        if rng.random() < 0.4:  # coarse texture of its own
            cells = int(rng.integers(15, 45))
            add = add + rng.uniform(0, 0.1) * smooth_field(rng, at.canvas, cells) * soft
        if rng.random() < 0.15:  # bright rims without a line
            add = add + rng.uniform(0, 0.2) * ridge(inside - 0.4, 0.5)
        return add
    if scene.pattern is Pattern.ISOECHOIC:
        return rng.uniform(-0.05, 0.06) * soft
    if scene.pattern is Pattern.THIN_LINE:
        bright = log_uniform(rng, max(0.07, least), 0.6)
        if rng.random() < 0.4:
            return bright * soft
        # As the beam draws a line: brightest in the middle, half as bright at the edges. Drawn as
        # even strips alone, every line with a peak would be the middle of a band.
        # Two millimetres beyond its edge nothing is left of it, and beyond its ends there is none.
        half = np.maximum(inside + core, 0.5 * at.px)
        return bright * np.exp2(-np.square(core / half)) * (inside > -2.0)
    # A line in a grey band. The band shows: else every thin line could be the middle of one.
    return log_uniform(rng, least, 0.25) * soft + line * middle


def endometrium(
    rng: Rng, scene: Scene, grey: Array, at: Place, look: Look
) -> tuple[Array, Array, Array]:
    """Paint the band. Return the new grey and the coverage of the band and of fluid."""
    if at.band is None:
        raise ValueError("the scene shows no endometrium")
    band, s, d = at.band.band, at.band.s, at.band.d
    half, fluid_half = at.band.half, at.band.fluid_half
    inside = half - np.abs(d)
    cover, fluid = strip_share(d, half, at.px), strip_share(d, fluid_half, at.px)

    soft = np.where(half > 0, edge(inside, max(log_uniform(rng, 0.15, 1.2), at.px)), 0.0)
    core = np.abs(d) - fluid_half
    add = _pattern(rng, scene, soft, core, np.where(half > 0, inside, -9.0), at, look)
    grey = grey + add * _interrupted(rng, at.band, look.wild)
    if rng.random() < 0.5:
        # A weak halo outside the band, no part of it: the junctional zone, mostly darker. One that
        # is clearly brighter would make a line look like a line in a grey band. A dark one may be
        # as wide and as sharp as a layer, but has no bright rim.
        dark = rng.random() < 0.35
        reach = rng.uniform(1, 5) if dark else rng.uniform(0.6, 2.5)
        shade = -rng.uniform(0.03, 0.2) if dark else min(rng.normal(-0.03, 0.05), 0.02)
        soft_mm = reach * (rng.uniform(0.2, 1) if dark else 1)
        ring = np.clip((inside + reach) / soft_mm, 0, 1) * (inside < 0) * (half > 0)
        grey = grey + shade * ring
    if band.canal_mm > 0 and rng.random() < 0.7:
        beyond = (s > band.length_mm / 2) & (s < band.length_mm / 2 + band.canal_mm)
        grey = grey + rng.uniform(-0.12, 0.18) * (ridge(d, rng.uniform(0.3, 0.8)) * beyond)
    if band.fluid_mm > 0:
        grey = grey * (1 - fluid) + rng.uniform(0, 0.12) * fluid
    return grey, cover, fluid


def tissue(rng: Rng, scene: Scene, at: Place, look: Look) -> tuple[Array, Array, Array, Array]:
    """Paint a whole scene without artefacts.

    Returns grey and the coverage in [0, 1] of uterus, band and fluid (band includes fluid).
    """
    span = scene.sector.depth_mm
    grain = streaks(rng, at.distance, at.angle, scene.sector)
    grey = look.base + rng.uniform(0, 0.12) * smooth_field(rng, at.canvas, 7)
    grey = grey + max(0.0, rng.uniform(-0.05, 0.14)) * grain
    grey = clutter(rng, grey, at, span, look.wild)
    nothing = np.zeros_like(at.depth)
    whole, cover, fluid = nothing, nothing, nothing
    if scene.subject in (Subject.OVARY, Subject.BLADDER, Subject.NOISE) and rng.random() < 0.5:
        grey = other_organ(rng, grey, at, span)
    for what in scene.structures:
        if not what.kind.in_uterus and not what.kind.in_cavity:
            grey = structure(rng, grey, at, what)
    if scene.uterus is not None:
        grey, wall = uterus(rng, grey, scene.uterus, at, look)
        whole = edge(wall, at.px)
        grey = grey + max(0.0, rng.uniform(-0.05, 0.05)) * grain * whole
        for what in scene.structures:
            if what.kind.in_uterus:
                grey = structure(rng, grey, at, what)
    if at.band is not None:
        grey, cover, fluid = endometrium(rng, scene, grey, at, look)
        for what in scene.structures:
            if what.kind.in_cavity:
                grey = structure(rng, grey, at, what)
    return grey, whole, cover, fluid
