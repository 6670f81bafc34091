"""What a phantom shows, in millimetres: sector, uterus, endometrium. No pixels here.

Positions are (depth, lateral) mm with the origin on the skin line under the probe's axis; depth
grows away from the probe. The endometrium is a band along a circular arc: in arc coordinates
(s along the midline, d across it) it is |d| < h(s), so its true thickness is max 2 h(s).
Sizes follow outlines of 1,647 real endometria and 55 real images (percentiles in the notes).
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Rng = np.random.Generator


class Pattern(StrEnum):
    """Appearance of the endometrium; NONE is a frame that shows none."""

    THREE_LAYER = "three_layer"
    HYPERECHOIC = "hyperechoic"
    ISOECHOIC = "isoechoic"
    THIN_LINE = "thin_line"
    LINE_IN_BAND = "line_in_band"
    NONE = "none"


@dataclass(frozen=True)
class Sector:
    """Fan of an endocavity probe: face radius and depth in mm, half opening angle in rad."""

    radius_mm: float
    half_angle: float
    depth_mm: float

    @property
    def apex_depth_mm(self) -> float:
        """Depth of the fan's centre; negative, because it lies behind the probe face."""
        return -self.radius_mm

    def polar(self, depth: Array, lateral: Array) -> tuple[Array, Array]:
        """Return (range from the probe face in mm, beam angle in rad) of points in mm."""
        z = depth - self.apex_depth_mm
        return np.hypot(z, lateral) - self.radius_mm, np.arctan2(lateral, z)

    def contains(self, depth: Array, lateral: Array) -> NDArray[np.bool_]:
        """Tell which points in mm lie inside the fan."""
        distance, angle = self.polar(depth, lateral)
        return (distance >= 0) & (distance <= self.depth_mm) & (np.abs(angle) <= self.half_angle)


@dataclass(frozen=True)
class ArcFrame:
    """Coordinates along and across a circular arc: centre mm, direction rad, curvature 1/mm."""

    centre: tuple[float, float]
    angle: float
    curvature: float

    def local(self, depth: Array, lateral: Array) -> tuple[Array, Array]:
        """Return (s, d) in mm: arc length from the centre, and signed distance from the arc."""
        z, x = depth - self.centre[0], lateral - self.centre[1]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        u, v = cosine * x + sine * z, cosine * z - sine * x
        if abs(self.curvature) < 1e-6:
            return u, v
        radius = 1.0 / self.curvature
        sign = math.copysign(1.0, radius)
        s = abs(radius) * np.arctan2(u, abs(radius) - sign * v)
        return s, radius - sign * np.hypot(u, radius - v)

    def point(self, s: float, d: float) -> tuple[float, float]:
        """Return the (depth, lateral) in mm of arc coordinates (s, d)."""
        if abs(self.curvature) < 1e-6:
            u, v = s, d
        else:
            radius = 1.0 / self.curvature
            u = (radius - d) * math.sin(s / radius)
            v = radius - (radius - d) * math.cos(s / radius)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return (
            self.centre[0] + sine * u + cosine * v,
            self.centre[1] + cosine * u - sine * v,
        )


@dataclass(frozen=True)
class Uterus:
    """A bent super-ellipse with a gently wobbling wall."""

    frame: ArcFrame
    long_mm: float
    short_mm: float
    exponent: float
    wobble: tuple[float, float, float, float]

    def inside(self, depth: Array, lateral: Array) -> Array:
        """Return the signed distance to the wall in mm (approximate), positive inside."""
        s, d = self.frame.local(depth, lateral)
        a, b = s / (self.long_mm / 2), d / (self.short_mm / 2)
        r = (np.abs(a) ** self.exponent + np.abs(b) ** self.exponent) ** (1 / self.exponent)
        # Wobble as a low polynomial of the direction: no trigonometry over the whole picture.
        size = np.hypot(a, b) + 1e-6
        p, q = a / size, b / size
        w = self.wobble
        wall = 1.0 + w[0] * (p * p - q * q) + w[1] * p * (4 * p * p - 3) + w[2] * q + w[3] * p * q
        inside: Array = (wall - r) * (self.short_mm / 2)
        return inside


@dataclass(frozen=True)
class Endometrium:
    """The band: arc, length, thickest double layer, and the shape of its profile.

    `rise` and `fall` are fractions of the length from the fundal end: the profile rises like the
    end of an ellipse over `rise`, is flat until `fall`, then sinks to `tail` of its maximum at the
    cervical end, where it closes. `fluid_mm` is the thickest fluid lens in the cavity.
    """

    frame: ArcFrame
    length_mm: float
    thickness_mm: float
    rise: float
    fall: float
    tail: float
    fluid_mm: float

    def profile(self, s: Array) -> Array:
        """Return tissue thickness over its maximum at arc length `s` (mm); 0 beyond both ends."""
        u = s / self.length_mm + 0.5
        up = np.sqrt(np.clip(1 - (1 - np.clip(u / self.rise, 0, 1)) ** 2, 0, 1))
        x = np.clip((u - self.fall) / (1 - self.fall), 0, 1)
        down = 1 - (1 - self.tail) * x * x * (3 - 2 * x)
        closing = min(0.25, 0.5 * self.thickness_mm * self.tail / self.length_mm + 1e-3)
        end = np.sqrt(np.clip(1 - (1 - np.clip((1 - u) / closing, 0, 1)) ** 2, 0, 1))
        profile: Array = np.where((u > 0) & (u < 1), up * down * end, 0.0)
        return profile

    def fluid_half(self, s: Array) -> Array:
        """Return half the thickness of the fluid lens (mm) at arc length `s`."""
        if self.fluid_mm <= 0:
            return np.zeros_like(s)
        u = s / self.length_mm + 0.5
        centre = 0.5 * (self.rise + self.fall)
        lens: Array = np.sqrt(np.clip(1 - ((u - centre) / 0.3) ** 2, 0, 1))
        return 0.5 * self.fluid_mm * lens

    def half(self, s: Array) -> Array:
        """Return the distance from midline to basal interface (mm), fluid included."""
        half = 0.5 * self.thickness_mm * self.profile(s)
        return half + np.where(half > 0, np.minimum(self.fluid_half(s), 4 * half), 0.0)


@dataclass(frozen=True)
class Scene:
    """One phantom: the fan and what lies in it. Without endometrium there is no truth."""

    sector: Sector
    uterus: Uterus | None
    endometrium: Endometrium | None
    pattern: Pattern
    transverse: bool

    @property
    def true_thickness_mm(self) -> float | None:
        """Thickest double layer without fluid, or None."""
        return self.endometrium.thickness_mm if self.endometrium else None


def sample_sector(rng: Rng) -> Sector:
    """Draw a fan: radius 11.4 +- 0.7 mm measured; wider here, with some abdominal probes."""
    if rng.random() < 0.1:
        return Sector(rng.uniform(20, 60), rng.uniform(0.4, 0.75), rng.uniform(60, 120))
    return Sector(rng.uniform(7, 16), math.radians(rng.uniform(45, 78)), rng.uniform(32, 95))


def sample_thickness(rng: Rng, pattern: Pattern) -> float:
    """Draw 0.7-20 mm, dense around the 6 mm line; thin lines stay thin."""
    if pattern is Pattern.THIN_LINE:
        return float(rng.uniform(0.7, 3.0))
    kind = rng.random()
    if kind < 0.4:
        return float(np.clip(rng.normal(6.0, 1.5), 2.5, 10))
    if kind < 0.8:
        return float(rng.uniform(2.5, 12))
    return float(rng.uniform(1.5, 20))


def sample_scene(rng: Rng, *, visible: float = 0.7, thickness_mm: float | None = None) -> Scene:
    """Draw a scene; a share `visible` shows an endometrium. `thickness_mm` fixes the truth."""
    sector = sample_sector(rng)
    transverse = rng.random() < 0.25
    long_mm = rng.uniform(40, 95)
    short_mm = long_mm / rng.uniform(1.4, 2.5)
    if transverse:
        long_mm = short_mm * rng.uniform(1.0, 1.5)
    room = min(sector.depth_mm, 70)
    depth = rng.uniform(0.25, 0.62) * room
    across = math.tan(min(sector.half_angle, 1.0)) * depth * rng.normal(0, 0.28)
    # Anteverted, axial and retroverted uteri, and both flips: any direction, level most often.
    angle = rng.normal(0, 0.4) if rng.random() < 0.75 else rng.uniform(-math.pi / 2, math.pi / 2)
    angle += math.pi * (rng.random() < 0.5)
    bend = rng.normal(0, 0.55) / (0.5 * long_mm)
    frame = ArcFrame((depth, float(across)), float(angle), float(bend))
    w = rng.normal(0, 0.03, 4).tolist()
    wobble = (w[0], w[1], w[2], w[3])
    uterus = Uterus(frame, long_mm, short_mm, rng.uniform(1.9, 2.6), wobble)
    if rng.random() >= visible and thickness_mm is None:
        empty = uterus if rng.random() < 0.35 else None
        return Scene(sector, empty, None, Pattern.NONE, transverse)

    pattern = Pattern(
        rng.choice(
            [p.value for p in Pattern if p is not Pattern.NONE], p=[0.27, 0.3, 0.08, 0.22, 0.13]
        )
    )
    if thickness_mm is not None and pattern is Pattern.THIN_LINE and thickness_mm > 3:
        pattern = Pattern.HYPERECHOIC
    thickness = thickness_mm if thickness_mm is not None else sample_thickness(rng, pattern)
    ratio = rng.uniform(1.8, 5) if transverse else rng.uniform(2.8, 9)
    length = np.clip(
        ratio * thickness, 0.3 * uterus.long_mm, rng.uniform(0.45, 0.65) * uterus.long_mm
    )
    thick_share = rng.uniform(0.2, 0.36)
    if thickness > thick_share * short_mm:  # a thick endometrium sits in a uterus that holds it
        grow = thickness / (thick_share * short_mm)
        uterus = replace(uterus, short_mm=short_mm * grow, long_mm=max(long_mm, short_mm * grow))
    length = max(float(length), 1.8 * thickness)
    centre = uterus.frame.point(
        -rng.uniform(0.0, 0.14) * uterus.long_mm, rng.normal(0, 0.04) * uterus.short_mm
    )
    own_bend = uterus.frame.curvature * rng.uniform(0.5, 1.3) + rng.normal(0, 0.25) / length
    limit = 1.45 / length
    endometrium = Endometrium(
        frame=ArcFrame(
            centre,
            uterus.frame.angle + float(rng.normal(0, 0.17)),
            float(np.clip(own_bend, -limit, limit)),
        ),
        length_mm=length,
        thickness_mm=float(thickness),
        rise=float(np.clip(rng.uniform(0.4, 1.4) * 0.5 * thickness / length, 0.03, 0.45)),
        fall=float(rng.uniform(0.15, 0.85)) if not transverse else float(rng.uniform(0.4, 0.7)),
        tail=float(rng.uniform(0.08, 0.8)),
        fluid_mm=float(rng.uniform(0.8, 6)) if rng.random() < 0.12 else 0.0,
    )
    # The flat part starts where the rise ends, so that the maximum is reached.
    endometrium = replace(endometrium, fall=max(endometrium.fall, endometrium.rise + 0.05))
    return Scene(sector, uterus, endometrium, pattern, transverse)
