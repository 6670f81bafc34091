"""Renderer 1: what a machine and its user draw on the screen, as far as the network may see it.

The network sees the fan alone, so only what lies on it or touches its rim is drawn: the mask that
is found in a real frame (imaging.sector) is that of the fan's convex hull and reaches some pixels
beyond it. Nothing here knows the anatomy: neither whether furniture is drawn nor where depends on
the thickness.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data.phantom.anatomy import Array, Rng, Sector
from data.phantom.texture import Canvas, sign, smooth_field

Draw = ImageDraw.ImageDraw


class Furniture(StrEnum):
    """Kinds of furniture. A tint is seen as grey: what is left of it is a bent grey curve."""

    CALIPERS = "calipers"
    LETTERS = "letters"
    LOGO = "logo"
    COLOUR_BOX = "colour_box"
    RULER = "ruler"
    GREY_BAR = "grey_bar"
    SECOND_IMAGE = "second_image"
    TINT = "tint"


# Share of training pictures that show each kind.
SHARES = {
    Furniture.CALIPERS: 0.08,
    Furniture.LETTERS: 0.05,
    Furniture.LOGO: 0.03,
    Furniture.COLOUR_BOX: 0.02,
    Furniture.RULER: 0.12,
    Furniture.GREY_BAR: 0.05,
    Furniture.SECOND_IMAGE: 0.05,
    Furniture.TINT: 0.1,
}
# The mask found in a frame of 600 rows reaches up to 4 pixels, or 1 mm, beyond the fan.
REACH_MM = 1.0


@dataclass(frozen=True)
class Screen:
    """A fan on a screen; all arrays are (rows, columns).

    `luma` uint8; `seen` bool, the mask that the network is given; `covered` bool, where something
    opaque lies on the fan; `kinds` of furniture.
    """

    luma: NDArray[np.uint8]
    seen: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    kinds: frozenset[Furniture]


@dataclass(frozen=True)
class Fan:
    """A sector on a picture: its mask bool (rows, columns); range and lateral position (mm) and
    beam angle (rad) of every pixel's centre; mm per pixel and the first pixel, (row, column)."""

    sector: Sector
    mask: NDArray[np.bool_]
    distance: Array
    angle: Array
    lateral: Array
    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float]

    def place(self, depth: float, lateral: float) -> tuple[float, float]:
        """Return where a point in mm is drawn: (x, y) in pixels, as the drawing library counts."""
        return (
            (lateral - self.origin_mm[1]) / self.spacing_mm[1],
            (depth - self.origin_mm[0]) / self.spacing_mm[0],
        )

    def rim(self, side: float) -> float:
        """Return the outermost column of the fan in the picture, left (-1) or right (1)."""
        columns = np.flatnonzero(self.mask.any(0))
        if not columns.size:
            return 0.0
        return float(columns[0] if side < 0 else columns[-1])

    def reached(self, by_mm: float) -> NDArray[np.bool_]:
        """Return the mask grown by `by_mm`, with what its hull adds: the gap below the probe."""
        grown = self.sector.holds(self.distance, self.angle, self.lateral, by_mm)
        if self.sector.half_angle >= math.pi / 2:
            return grown
        chord = self.sector.radius_mm * math.cos(self.sector.half_angle)
        down = (self.distance + self.sector.radius_mm) * np.cos(self.angle)
        gap = (self.distance < 0) & (down >= chord) & (np.abs(self.angle) <= self.sector.half_angle)
        inside = (self.lateral >= self.sector.left_mm) & (self.lateral <= self.sector.right_mm)
        return grown | (gap & inside)


def furnish(rng: Rng, luma: NDArray[np.uint8], fan: Fan, often: float = 1.0) -> Screen:
    """Put a fan on a screen; `luma` uint8 (rows, columns) is what the beams show.

    Each kind of furniture is drawn with its share in SHARES times `often`; with 0 the screen is
    empty, and the mask that of the fan.
    """
    kinds = frozenset(kind for kind, share in SHARES.items() if rng.random() < often * share)
    seen = fan.mask
    if rng.random() < 0.5 * min(often, 1.0):
        seen = fan.reached(rng.uniform(0, REACH_MM))
    shown = np.where(fan.mask, luma, 0).astype(np.uint8)
    covered = np.zeros(luma.shape, bool)
    if not kinds:
        return Screen(shown, seen, covered, kinds)
    if Furniture.TINT in kinds:
        shown = _tint(rng)[shown]
    if Furniture.SECOND_IMAGE in kinds:
        covered, seen = _second_image(rng, shown, fan, seen)
    if Furniture.GREY_BAR in kinds:
        covered = covered | _grey_bar(rng, shown, fan)
    ink = Image.new("L", (luma.shape[1], luma.shape[0]))
    draw = ImageDraw.Draw(ink)
    for kind, pen in PENS.items():
        if kind in kinds:
            pen(rng, draw, fan)
    return Screen(np.maximum(shown, np.asarray(ink)), seen, covered & fan.mask, kinds)


def _tint(rng: Rng) -> NDArray[np.uint8]:
    """Return the luma of each grey level on a screen that runs from black over a hue to white."""
    middle, white = 127.5 * rng.uniform(0.6, 1.3), rng.uniform(200, 255)
    curve = np.interp(np.arange(256), [0, 127.5, 255], [0, middle, white])
    return np.rint(curve).astype(np.uint8)


def _second_image(
    rng: Rng, shown: NDArray[np.uint8], fan: Fan, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Lay another image beside the fan, into `shown`. Returns where it lies, and the mask: where
    the two images touch, it may hold both. The other one shows no endometrium."""
    side = sign(rng)
    columns = np.arange(shown.shape[1])
    start = fan.rim(side) - side * rng.uniform(0, 0.06) * shown.shape[1]
    beyond = side * (columns - start)
    hidden = np.broadcast_to(beyond > 0, shown.shape)
    # Its fan is this one's mirror image, behind a gap.
    twin = np.rint(2 * start - columns).astype(int)
    shows = (beyond > rng.uniform(0, 6)) & (twin >= 0) & (twin < len(columns))
    other = fan.mask[:, np.clip(twin, 0, len(columns) - 1)] & shows
    canvas = Canvas(shown.shape, np.flatnonzero(other))
    grey = rng.uniform(5, 40) * smooth_field(rng, canvas, int(rng.integers(4, 30)))
    grey += rng.uniform(20, 150)
    grey += rng.uniform(2, 25) * rng.standard_normal(grey.shape, np.float32)
    shown[hidden] = 0
    shown.ravel()[canvas.index] = np.clip(grey, 0, 255).astype(np.uint8)
    return hidden, seen | other if rng.random() < 0.3 else seen


def _grey_bar(rng: Rng, shown: NDArray[np.uint8], fan: Fan) -> NDArray[np.bool_]:
    """Draw the scale of grey levels at a rim of the fan, into `shown`. Returns where it lies."""
    side = sign(rng)
    width, height = int(rng.integers(3, 11)), int(rng.uniform(0.15, 0.6) * shown.shape[0])
    inner = fan.rim(side) - side * rng.uniform(-2, 14)
    left = round(inner if side > 0 else inner - width)
    top = int(rng.uniform(0, shown.shape[0] - height))
    bar = np.zeros(shown.shape, bool)
    bar[top : top + height, max(left, 0) : max(left + width, 0)] = True
    levels = np.linspace(rng.uniform(180, 255), 0, height)
    steps = rng.choice([1, 1, 16, 32])
    column = np.zeros(shown.shape[0], np.uint8)
    column[top : top + height] = (levels // steps * steps).astype(np.uint8)
    np.copyto(shown, column[:, None], where=bar)
    return bar


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _word(rng: Rng, longest: int) -> str:
    """Draw capitals and digits."""
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789."
    return "".join(signs[i] for i in rng.integers(0, len(signs), int(rng.integers(1, longest + 1))))


def _calipers(rng: Rng, draw: Draw, fan: Fan) -> None:
    """Grey marks and dotted lines, also where there is nothing to measure."""
    rows, columns = fan.mask.shape
    for _ in range(rng.integers(1, 5)):
        x, y = rng.uniform(8, columns - 8), rng.uniform(8, rows - 8)
        arm, value = rng.uniform(2, 5), int(rng.uniform(150, 255))
        draw.line([(x - arm, y), (x + arm, y)], fill=value)
        draw.line([(x, y - arm), (x, y + arm)], fill=value)
        if rng.random() < 0.5:
            dx, dy = rng.uniform(-50, 50, 2)
            draw.point([(x + t * dx, y + t * dy) for t in np.linspace(0, 1, 24)], fill=value)


def _letters(rng: Rng, draw: Draw, fan: Fan) -> None:
    rows, columns = fan.mask.shape
    for _ in range(rng.integers(1, 4)):
        at = (rng.uniform(0, 0.9) * columns, rng.uniform(0, 0.95) * rows)
        font = _font(int(rng.integers(8, 15)))
        draw.text(at, _word(rng, 8), fill=int(rng.uniform(150, 255)), font=font)


def _logo(rng: Rng, draw: Draw, fan: Fan) -> None:
    """A maker's mark beside the probe, where the orientation mark is, too: letter or disk."""
    side = sign(rng)
    half = min(fan.sector.half_angle, math.pi / 2)
    lateral = side * rng.uniform(0, 1.3) * fan.sector.radius_mm * math.sin(half)
    x, y = fan.place(rng.uniform(-0.6, 0.4) * fan.sector.radius_mm, lateral)
    size, value = rng.uniform(4, 16), int(rng.uniform(120, 255))
    if rng.random() < 0.5:
        draw.text((x, y), _word(rng, 3), fill=value, font=_font(round(size) + 4))
    else:
        fill = value if rng.random() < 0.6 else None
        draw.ellipse([x, y, x + size, y + rng.uniform(0.6, 1.0) * size], fill, outline=value)


def _colour_box(rng: Rng, draw: Draw, fan: Fan) -> None:
    """The outline of a Doppler box: a parallelogram, or a part of the fan."""
    value = int(rng.uniform(150, 255))
    if rng.random() < 0.5:
        x, y = (rng.uniform(0.1, 0.6) * size for size in fan.mask.shape[::-1])
        w, h = (rng.uniform(0.15, 0.4) * size for size in fan.mask.shape[::-1])
        lean = rng.uniform(-0.2, 0.2) * w
        corners = [(x, y), (x + w, y), (x + w + lean, y + h), (x + lean, y + h)]
        draw.polygon(corners, outline=value)
        return
    near = rng.uniform(0.05, 0.5) * fan.sector.depth_mm
    far = near + rng.uniform(0.15, 0.45) * fan.sector.depth_mm
    left = rng.uniform(-0.9, 0.4) * fan.sector.half_angle
    beams = np.linspace(left, left + rng.uniform(0.2, 0.6) * fan.sector.half_angle, 12)
    outline = [(near, beam) for beam in beams] + [(far, beam) for beam in beams[::-1]]
    draw.polygon([_polar(fan, *point) for point in outline], outline=value)


def _polar(fan: Fan, distance: float, angle: float) -> tuple[float, float]:
    """Return where range and beam (mm, rad) are drawn, (x, y) in pixels."""
    far = fan.sector.radius_mm + distance
    return fan.place(far * math.cos(angle) - fan.sector.radius_mm, far * math.sin(angle))


def _ruler(rng: Rng, draw: Draw, fan: Fan) -> None:
    """Ticks of depth: a column beside or on the rim of the fan, or dots along its last beam."""
    side = sign(rng)
    tick_mm, long_every = float(rng.choice([2.5, 5.0, 10.0])), int(rng.choice([1, 2, 4, 5]))
    long, value = rng.uniform(2, 8), int(rng.uniform(110, 255))
    digits = rng.random() < 0.3
    beam = side * (fan.sector.half_angle + rng.uniform(-0.05, 0.03))
    along_beam = rng.random() < 0.3
    column = fan.rim(side) + side * rng.uniform(-16, 6)
    for tick in range(int(fan.sector.depth_mm // tick_mm) + 1):
        x, y = fan.place(tick * tick_mm, 0.0)
        x = column
        if along_beam:
            x, y = _polar(fan, tick * tick_mm, beam)
        length = long if tick % long_every == 0 else 0.5 * long
        draw.line([(x, y), (x - side * length, y)], fill=value)
        if digits and tick % long_every == 0:
            draw.text((x + side * 3, y - 5), str(tick), fill=value, font=_font(9))
    if rng.random() < 0.2:  # an axis through the ticks
        draw.line([(column, fan.place(0.0, 0.0)[1]), (column, fan.mask.shape[0])], fill=value)
    if rng.random() < 0.3:  # where the beam is focused
        y = fan.place(rng.uniform(0.2, 0.8) * fan.sector.depth_mm, 0.0)[1]
        draw.polygon([(column, y), (column + side * 5, y - 3), (column + side * 5, y + 3)], value)


PENS = {
    Furniture.CALIPERS: _calipers,
    Furniture.LETTERS: _letters,
    Furniture.LOGO: _logo,
    Furniture.COLOUR_BOX: _colour_box,
    Furniture.RULER: _ruler,
}
