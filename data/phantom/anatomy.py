"""What a phantom shows, in millimetres: sector, uterus, endometrium. No pixels here.

Positions are (depth, lateral) mm with the origin on the skin line under the probe's axis; depth
grows away from the probe. The endometrium is a band along a circular arc: in arc coordinates
(s along the midline, d across it) it is |d| < h(s), so its true thickness is max 2 h(s).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Rng = np.random.Generator


class Subject(StrEnum):
    """What a frame shows. The first two show an endometrium, the others none."""

    SAGITTAL = "sagittal"
    TRANSVERSE = "transverse"
    HIDDEN = "hidden"  # a uterus whose endometrium cannot be seen
    OVARY = "ovary"
    CERVIX = "cervix"
    BLADDER = "bladder"
    POOR_CONTACT = "poor_contact"
    NOISE = "noise"


class Kind(StrEnum):
    """What lies in and around the uterus besides the endometrium."""

    FIBROID = "fibroid"
    NABOTHIAN_CYST = "nabothian_cyst"
    VESSEL = "vessel"
    BLADDER = "bladder"
    BOWEL_GAS = "bowel_gas"
    FREE_FLUID = "free_fluid"
    OVARY = "ovary"
    FOLLICLE = "follicle"
    POLYP = "polyp"
    IUD = "iud"
    CANAL = "canal"

    @property
    def in_uterus(self) -> bool:
        """Whether it is painted over the uterus rather than behind it."""
        return self in (Kind.FIBROID, Kind.NABOTHIAN_CYST, Kind.VESSEL, Kind.CANAL)

    @property
    def in_cavity(self) -> bool:
        """Whether it is painted over the endometrium, of which a polyp counts as a part."""
        return self in (Kind.POLYP, Kind.IUD)


class Pattern(StrEnum):
    """Appearance of the endometrium; NONE is a frame that shows none."""

    THREE_LAYER = "three_layer"
    HYPERECHOIC = "hyperechoic"
    ISOECHOIC = "isoechoic"
    THIN_LINE = "thin_line"
    LINE_IN_BAND = "line_in_band"
    NONE = "none"

    @property
    def lined(self) -> bool:
        """Whether a bright cavity line runs in a band that is brighter at its edge than outside."""
        return self in (Pattern.THREE_LAYER, Pattern.LINE_IN_BAND)


class Orientation(StrEnum):
    """How steeply an endometrium lies in the picture; which end is the fundus cannot be seen."""

    LEVEL = "level"  # below 30 degrees against the skin line
    OBLIQUE = "oblique"
    STEEP = "steep"  # above 60 degrees, along the beams: its interfaces answer least


def _angle(y: Array, x: Array, far: Array) -> Array:
    """Return arctan2(y, x) where hypot(x, y) is known: by half the angle, several times faster."""
    angle: Array = 2 * np.arctan(y / np.maximum(x + far, 1e-20))
    return angle


@dataclass(frozen=True)
class Sector:
    """Fan of an endocavity probe: face radius and depth in mm, half opening angle in rad.

    `left_mm` and `right_mm` are lateral positions at which the screen cuts the fan off.
    """

    radius_mm: float
    half_angle: float
    depth_mm: float
    left_mm: float = -math.inf
    right_mm: float = math.inf

    @property
    def apex_depth_mm(self) -> float:
        """Depth of the fan's centre; negative, because it lies behind the probe face."""
        return -self.radius_mm

    def polar(self, depth: Array, lateral: Array) -> tuple[Array, Array]:
        """Return (range from the probe face in mm, beam angle in rad) of points in mm."""
        z = depth - self.apex_depth_mm
        far = np.sqrt(z * z + lateral * lateral)
        return far - self.radius_mm, _angle(lateral, z, far)

    def contains(self, depth: Array, lateral: Array) -> NDArray[np.bool_]:
        """Tell which points in mm lie inside the fan."""
        return self.holds(*self.polar(depth, lateral), lateral)

    def holds(
        self, distance: Array, angle: Array, lateral: Array, margin_mm: float = 0.0
    ) -> NDArray[np.bool_]:
        """Tell which points, by range and beam (mm, rad), lie in the fan or just beside it."""
        inside = (distance >= -margin_mm) & (distance <= self.depth_mm + margin_mm)
        inside &= (np.abs(angle) - self.half_angle) * (distance + self.radius_mm) <= margin_mm
        return (
            inside & (lateral >= self.left_mm - margin_mm) & (lateral <= self.right_mm + margin_mm)
        )


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
        across = abs(radius) - sign * v
        far = np.sqrt(u * u + across * across)
        return abs(radius) * _angle(u, across, far), radius - sign * far

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
        return self.inside_at(*self.frame.local(depth, lateral))

    def inside_at(self, s: Array, d: Array) -> Array:
        """Return the same at coordinates (mm) along and across the uterus's own arc."""
        a, b = s / (self.long_mm / 2), d / (self.short_mm / 2)
        r = (np.abs(a) ** self.exponent + np.abs(b) ** self.exponent) ** (1 / self.exponent)
        # Wobble as a low polynomial of the direction: no trigonometry over the whole picture.
        size = np.sqrt(a * a + b * b) + 1e-6
        p, q = a / size, b / size
        w = self.wobble
        wall = 1.0 + w[0] * (p * p - q * q) + w[1] * p * (4 * p * p - 3) + w[2] * q + w[3] * p * q
        inside: Array = (wall - r) * (self.short_mm / 2)
        return inside


@dataclass(frozen=True)
class Structure:
    """An ellipse: (depth, lateral) of its centre and its half axes in mm, direction in rad."""

    kind: Kind
    centre: tuple[float, float]
    semi_mm: tuple[float, float]
    angle: float

    def inside(self, depth: Array, lateral: Array) -> Array:
        """Return the signed depth below its wall in mm (approximate), positive inside."""
        z, x = depth - self.centre[0], lateral - self.centre[1]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        u = (cosine * x + sine * z) / self.semi_mm[0]
        v = (cosine * z - sine * x) / self.semi_mm[1]
        inside: Array = (1 - np.sqrt(u * u + v * v)) * min(self.semi_mm)
        return inside


@dataclass(frozen=True)
class Endometrium:
    """The band: arc, length, thickest double layer, and the shape of its profile.

    `rise` and `fall` are fractions of the length from the fundal end: the profile rises like the
    end of an ellipse over `rise`, is flat until `fall`, then sinks to `tail` of its maximum at the
    cervical end, where it closes. `fluid_mm` is the thickest fluid lens in the cavity. The line of
    the cervical canal goes on for `canal_mm` beyond the end and is no part of the endometrium.
    """

    frame: ArcFrame
    length_mm: float
    thickness_mm: float
    rise: float
    fall: float
    tail: float
    fluid_mm: float
    canal_mm: float = 0.0

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
        """Return half the thickness of the fluid (mm) at arc length `s`: a lens, nowhere thicker
        than twice the tissue around it."""
        if self.fluid_mm <= 0:
            return np.zeros_like(s)
        u = s / self.length_mm + 0.5
        centre = 0.5 * (self.rise + self.fall)
        lens: Array = np.sqrt(np.clip(1 - ((u - centre) / 0.3) ** 2, 0, 1))
        half: Array = np.minimum(
            0.5 * self.fluid_mm * lens, 2 * self.thickness_mm * self.profile(s)
        )
        return half

    def half(self, s: Array) -> Array:
        """Return the distance from midline to basal interface (mm), fluid included."""
        return 0.5 * self.thickness_mm * self.profile(s) + self.fluid_half(s)

    def field(self, depth: Array, lateral: Array) -> "BandField":
        """Return where points in mm lie in the band."""
        s, d = self.frame.local(depth, lateral)
        return BandField(self, s, d, self.half(s), self.fluid_half(s))


@dataclass(frozen=True)
class BandField:
    """Where the pixels of a picture lie in a band; arrays of the picture's shape, in mm.

    `s` along the midline and `d` across it; `half` from the midline to the basal interface and
    `fluid_half` to the fluid's surface, both at that `s`, 0 beyond the ends.
    """

    band: Endometrium
    s: Array
    d: Array
    half: Array
    fluid_half: Array


@dataclass(frozen=True)
class Scene:
    """One phantom: the fan and what lies in it. Without endometrium there is no truth."""

    sector: Sector
    uterus: Uterus | None
    endometrium: Endometrium | None
    pattern: Pattern
    subject: Subject
    structures: tuple[Structure, ...] = ()

    @property
    def true_thickness_mm(self) -> float | None:
        """Thickest double layer without fluid, or None."""
        return self.endometrium.thickness_mm if self.endometrium else None

    @property
    def orientation(self) -> Orientation | None:
        """How the endometrium lies, at the middle of its length; None without one."""
        if self.endometrium is None:
            return None
        slope = math.degrees(math.asin(abs(math.sin(self.endometrium.frame.angle))))
        if slope < 30:
            return Orientation.LEVEL
        return Orientation.OBLIQUE if slope <= 60 else Orientation.STEEP
