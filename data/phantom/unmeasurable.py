"""Clips from which nobody should take a thickness, each with what is true of it.

Their headers say nothing of it: they carry a PixelSpacing and no regions, as exports do, so that
the pixels alone can tell. With `stated` they carry the regions that a scanner would write.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from data.phantom.anatomy import Endometrium, Pattern, Rng, Scene
from data.phantom.colour import with_flow
from data.phantom.dicom import (
    BOX_HEIGHT,
    BOX_LEFT,
    BOX_TOP,
    BOX_WIDTH,
    FRAME_SHAPE,
    Panel,
    Phantom,
    Renderer,
    furnish,
    picture_of,
    raster_of,
)
from data.phantom.pages import blank_screen, rendering, report_page
from data.phantom.strips import m_mode, spectrum
from data.phantom.testscenes import physical_scene

_FAN = (BOX_TOP, BOX_LEFT, BOX_TOP + BOX_HEIGHT - 1, BOX_LEFT + BOX_WIDTH - 1)
_WHOLE = (0, 0, FRAME_SHAPE[0] - 1, FRAME_SHAPE[1] - 1)
# Region formats and data types: PS3.3 C.8.5.5.1.1 and C.8.5.5.1.2.
_M_MODE, _SPECTRAL, _GRAPHICS, _FLOW, _PULSED = 2, 3, 5, 2, 3


class Situation(StrEnum):
    """What an unmeasurable clip shows."""

    M_MODE = "m_mode"
    SPECTRAL_DOPPLER = "spectral_doppler"
    RENDERING = "3d_rendering"
    REPORT_PAGE = "report_page"
    BLANK = "blank_screen"
    COLOUR = "colour_over_endometrium"
    CUT_OFF = "cut_off"
    POOR = "poor_picture"
    ROUND = "round_mass"
    NO_ENDOMETRIUM = "no_endometrium"


@dataclass(frozen=True)
class _Shown:
    """A screen, uint8 (rows, columns) or RGB, its scene, mm per pixel and panels."""

    screen: NDArray[np.uint8]
    scene: Scene
    mm_per_px: float
    panels: tuple[Panel, ...]


def make_unmeasurable(
    key: Sequence[int],
    situation: Situation,
    renderer: str = Renderer.PHYSICAL,
    *,
    stated: bool = False,
) -> Phantom:
    """Draw a clip of one frame that shows `situation`: the same arguments give the same pixels.

    `stated` writes regions into the header that say so, where a scanner would. Raises as
    `make_phantom` for the renderer.
    """
    rng = np.random.default_rng([*key, list(Situation).index(situation)])
    shown = _DRAWN[situation](rng, Renderer(renderer))
    scene = replace(shown.scene, endometrium=None, pattern=Pattern.NONE)
    name = str(scene.subject) if situation is Situation.NO_ENDOMETRIUM else str(situation)
    return Phantom(
        scene,
        shown.screen[None],
        shown.mm_per_px,
        renderer=Renderer(renderer),
        situation=name,
        regions=shown.panels if stated else (),
    )


def make_flow_aside(key: Sequence[int], renderer: str = Renderer.PHYSICAL) -> Phantom:
    """Draw a clip with colour flow beside the endometrium and none on it: it can be measured."""
    rng = np.random.default_rng([*key])
    shown, truth = _coloured(rng, Renderer(renderer), 0.0)
    return Phantom(
        shown.scene, shown.screen[None], shown.mm_per_px, truth, Renderer(renderer), "flow_aside"
    )


def _empty_scene(rng: Rng) -> Scene:
    return physical_scene(rng, None, 0.0, visible=False)


def _plain(rng: Rng, scene: Scene, renderer: Renderer) -> tuple[_Shown, NDArray[np.float32]]:
    """Render a scene on its screen; also returns the endometrium's share of every pixel."""
    raster = raster_of(scene.sector)
    picture = picture_of(scene, raster, int(rng.integers(2**31)), renderer)
    screen = furnish(picture.luma, scene.sector, raster)
    shares = np.zeros(FRAME_SHAPE, np.float32)
    shares[_window(_FAN)] = picture.labels[1] + picture.labels[2]
    return _Shown(screen, scene, raster.spacing_mm[0], (Panel(_FAN),)), shares


def _no_endometrium(rng: Rng, renderer: Renderer) -> _Shown:
    return _plain(rng, _empty_scene(rng), renderer)[0]


def _window(box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    return np.s_[box[0] : box[2] + 1, box[1] : box[3] + 1]


def _over_time(
    rng: Rng,
    renderer: Renderer,
    draw: Callable[[Rng, tuple[int, int]], NDArray[np.uint8]],
    panel: Callable[[tuple[int, int, int, int]], Panel],
) -> _Shown:
    """Lay a strip below a small fan, beside it, or alone on the screen."""
    scene = physical_scene(rng, None, 0.0, visible=bool(rng.random() < 0.5))
    layout = rng.choice(["below", "below", "beside", "alone"])
    split = int(rng.uniform(0.3, 0.5) * FRAME_SHAPE[0])
    middle = int(rng.uniform(0.35, 0.5) * FRAME_SHAPE[1])
    left, right = int(rng.uniform(10, 70)), int(rng.uniform(720, 780))
    low = int(rng.uniform(550, 590))
    strip = {
        "below": (split + 12, left, low, right),
        "beside": (BOX_TOP + 20, middle + 10, low, right),
        "alone": (int(rng.uniform(30, 80)), left, low, right),
    }[layout]
    fan = {"below": (30, 150, split, 650), "beside": (BOX_TOP, 8, low, middle)}.get(layout)
    screen = Image.new("L", (FRAME_SHAPE[1], FRAME_SHAPE[0]))
    pen = ImageDraw.Draw(screen)
    mm_per_px, panels = 0.15, [panel(strip)]
    if fan is not None:
        raster = raster_of(scene.sector, (fan[2] - fan[0], fan[3] - fan[1]))
        picture = picture_of(scene, raster, int(rng.integers(2**31)), renderer)
        screen.paste(Image.fromarray(picture.luma), (fan[1], fan[0]))
        mm_per_px, panels = raster.spacing_mm[0], [Panel(fan), *panels]
        cursor = rng.uniform(0.3, 0.7) * (fan[3] - fan[1]) + fan[1]
        for row in range(fan[0], fan[2], 6):  # the scan line that the strip is made of
            pen.point((cursor + 0.1 * (row - fan[0]), row), fill=220)
    shape = (strip[2] - strip[0] + 1, strip[3] - strip[1] + 1)
    screen.paste(Image.fromarray(draw(rng, shape)), (strip[1], strip[0]))
    font = ImageFont.load_default(size=14)
    pen.text((16, 8), "ENDOMETER PHANTOM  simulated", fill=200, font=font)
    for tick in np.linspace(strip[0], strip[2], 7):
        pen.line((strip[3] + 2, tick, strip[3] + 8, tick), fill=200)
    for tick in np.linspace(strip[1], strip[3], 9):
        pen.line((tick, strip[2] + 2, tick, strip[2] + 6), fill=200)
    return _Shown(np.asarray(screen), scene, mm_per_px, tuple(panels))


def _m_mode(rng: Rng, renderer: Renderer) -> _Shown:
    return _over_time(rng, renderer, m_mode, lambda box: Panel(box, _M_MODE, in_cm=False))


def _spectral(rng: Rng, renderer: Renderer) -> _Shown:
    return _over_time(
        rng, renderer, spectrum, lambda box: Panel(box, _SPECTRAL, _PULSED, in_cm=False)
    )


def _screen(
    draw: Callable[[Rng, tuple[int, int]], NDArray[np.uint8]],
) -> Callable[[Rng, Renderer], _Shown]:
    """Return what draws a screen without any echo on it."""

    def shown(rng: Rng, renderer: Renderer) -> _Shown:
        graphics = Panel(_WHOLE, _GRAPHICS, 0, in_cm=False)
        return _Shown(draw(rng, FRAME_SHAPE), _empty_scene(rng), 0.15, (graphics,))

    return shown


def _colour(rng: Rng, renderer: Renderer) -> _Shown:
    return _coloured(rng, renderer, float(rng.uniform(0.35, 1.0)))[0]


def _coloured(rng: Rng, renderer: Renderer, covered: float) -> tuple[_Shown, NDArray[np.uint8]]:
    scene = physical_scene(rng, float(rng.uniform(3, 14)), 0.0, visible=True)
    shown, shares = _plain(rng, scene, renderer)
    target = shares >= 0.5
    picture, _ = with_flow(rng, shown.screen, target, covered)
    panels = (Panel(_FAN, 1, _FLOW),)
    return replace(shown, screen=picture, panels=panels), target.astype(np.uint8)


def _band(scene: Scene) -> Endometrium:
    if scene.endometrium is None:
        raise ValueError("the scene shows no endometrium")
    return scene.endometrium


def _cut(rng: Rng, renderer: Renderer) -> _Shown:
    """Cut the fan off where the band is thinner than beyond: its thickest place is outside."""
    scene = physical_scene(rng, float(rng.uniform(5, 14)), 0.0, visible=True)
    band = replace(_band(scene), rise=0.2, fall=0.25, tail=0.5, fluid_mm=0.0)
    if math.sin(band.frame.angle) > 0:  # its fundal end comes to lie deeper than the other
        band = replace(band, frame=replace(band.frame, angle=band.frame.angle + math.pi))
    middle = band.frame.point(float(rng.uniform(-0.1, 0.1)) * band.length_mm, 0.0)
    sector = scene.sector
    if math.sin(band.frame.angle) < -0.7:  # it stands upright: the depth setting cuts it
        at = np.array(middle[0]), np.array(middle[1])
        sector = replace(sector, depth_mm=max(float(sector.polar(*at)[0]), 15.0))
    elif math.cos(band.frame.angle) > 0:
        sector = replace(sector, left_mm=middle[1])
    else:
        sector = replace(sector, right_mm=middle[1])
    return _plain(rng, replace(scene, sector=sector, endometrium=band), renderer)[0]


def _poor(rng: Rng, renderer: Renderer) -> _Shown:
    """Drown an endometrium in noise and blur until its interfaces are gone."""
    scene = physical_scene(rng, None, 0.0, visible=True)
    shown, _ = _plain(rng, scene, renderer)
    fan = shown.screen[_window(_FAN)].astype(float)
    lit = ndimage.binary_fill_holes(fan > 0)
    noise = ndimage.gaussian_filter(rng.normal(size=fan.shape), rng.uniform(1, 3))
    noise /= noise.std()
    left = rng.uniform(0.05, 0.15)
    soft = ndimage.gaussian_filter(fan, rng.uniform(4, 9))
    mean = rng.uniform(25, 90)
    drowned = mean + left * (soft - soft[lit].mean()) + rng.uniform(0.2, 0.4) * mean * noise
    screen = shown.screen.copy()
    screen[_window(_FAN)] = np.where(lit, np.clip(drowned, 0, 255), fan).astype(np.uint8)
    return replace(shown, screen=screen)


def _round(rng: Rng, renderer: Renderer) -> _Shown:
    """Put a bright ball into the uterus instead of an endometrium."""
    scene = physical_scene(rng, float(rng.uniform(8, 18)), 0.0, visible=True)
    band = _band(scene)
    ball = replace(
        band, length_mm=0.97 * band.thickness_mm, rise=0.5, fall=0.5, tail=0.9, fluid_mm=0.0,
        canal_mm=0.0, frame=replace(band.frame, curvature=0.0),
    )  # fmt: skip
    scene = replace(scene, endometrium=ball, pattern=Pattern.HYPERECHOIC)
    return _plain(rng, scene, renderer)[0]


_DRAWN: dict[Situation, Callable[[Rng, Renderer], _Shown]] = {
    Situation.M_MODE: _m_mode,
    Situation.SPECTRAL_DOPPLER: _spectral,
    Situation.RENDERING: _screen(rendering),
    Situation.REPORT_PAGE: _screen(report_page),
    Situation.BLANK: _screen(blank_screen),
    Situation.COLOUR: _colour,
    Situation.CUT_OFF: _cut,
    Situation.POOR: _poor,
    Situation.ROUND: _round,
    Situation.NO_ENDOMETRIUM: _no_endometrium,
}
