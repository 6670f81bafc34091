"""What a scanner saves besides echoes: report pages, empty screens, 3D renderings. RGB, no fan."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from data.phantom.anatomy import Array, Rng

Rgb = NDArray[np.uint8]
_Colour = tuple[int, int, int]
_WORDS = """
Uterus Length Height Width Volume Endometrium Ovary left right Follicle mean D1 D2 D3 GA EDD BPD HC
AC FL Value Method Avg Last Page Report OB GYN Cervix Cul-de-sac Fetus AUA Ratio Findings none seen
normal PI RI PS ED
"""
# Screen (background, writing, bars); light on dark and dark on light.
_SCREENS: tuple[tuple[_Colour, _Colour, _Colour], ...] = (
    ((0, 0, 0), (220, 220, 220), (50, 50, 50)),
    ((10, 14, 30), (210, 220, 240), (40, 60, 110)),
    ((40, 40, 44), (230, 230, 230), (80, 80, 90)),
    ((255, 255, 255), (20, 20, 20), (200, 210, 225)),
    ((236, 240, 244), (30, 40, 60), (170, 190, 215)),
)


def report_page(rng: Rng, shape: tuple[int, int]) -> Rgb:
    """Draw a worksheet: headings, columns of words and numbers, on some a table or a graph."""
    back, ink, bar = _SCREENS[int(rng.integers(len(_SCREENS)))]
    page = Image.new("RGB", (shape[1], shape[0]), back)
    draw = ImageDraw.Draw(page)
    size = int(rng.integers(11, 19))
    font, line = ImageFont.load_default(size=size), round(size * rng.uniform(1.3, 2.0))
    left, right = rng.uniform(0.02, 0.15) * shape[1], rng.uniform(0.7, 0.98) * shape[1]
    top, bottom = round(rng.uniform(0.03, 0.1) * shape[0]), round(rng.uniform(0.6, 0.95) * shape[0])
    columns = np.linspace(left, right, int(rng.integers(3, 8)))[:-1]
    table, striped = rng.random() < 0.4, rng.random() < 0.3
    draw.text((left, top), "ENDOMETER PHANTOM  " + _words(rng, 2), ink, font)
    for number, row in enumerate(range(top + 2 * line, bottom, line)):
        if rng.random() < 0.12:
            draw.rectangle((left - 4, row - 2, right, row + size + 4), bar)
            draw.text((left, row), _words(rng, 2), ink, font)
            continue
        if rng.random() < 0.1:
            continue
        if striped and number % 2:
            draw.rectangle((left - 4, row - 2, right, row + line - 3), bar)
        for i, column in enumerate(columns):
            if rng.random() < 0.85:
                words = _words(rng, 1) if i == 0 else f"{rng.uniform(0, 90):.1f} mm"
                draw.text((column, row), words, ink, font)
        if table:
            draw.line((left - 4, row + line - 3, right, row + line - 3), bar)
    if table:
        for column in [*columns, right]:
            draw.line((column - 4, top + 2 * line, column - 4, bottom), bar)
    if rng.random() < 0.25:
        _graph(draw, rng, shape, ink, bar)
    return np.asarray(page)


def _words(rng: Rng, number: int) -> str:
    return " ".join(rng.choice(_WORDS.split(), number))


def _graph(
    draw: ImageDraw.ImageDraw, rng: Rng, shape: tuple[int, int], ink: _Colour, bar: _Colour
) -> None:
    """Draw a growth curve in a corner."""
    high, wide = shape
    x0, y0, x1, y1 = 0.55 * wide, 0.55 * high, 0.95 * wide, 0.93 * high
    draw.rectangle((x0, y0, x1, y1), outline=ink, fill=bar)
    x = np.linspace(0, 1, 40)
    for off in (0.0, 0.12, 0.24):
        y = off + 0.6 * x ** rng.uniform(0.6, 1.4)
        draw.line(list(zip(x0 + x * (x1 - x0), y1 - y * (y1 - y0), strict=True)), fill=ink, width=2)


def blank_screen(rng: Rng, shape: tuple[int, int]) -> Rgb:
    """Draw what is saved when nothing was scanned: black, one colour, a shade, a maker's sign."""
    kind = int(rng.integers(4))
    one, other = (rng.integers(0, 256, 3).astype(float) for _ in range(2))
    if kind == 0:
        one[:], other[:] = 0, 0
    if kind == 1:
        other = one
    ramp = np.linspace(0, 1, shape[0])[:, None, None]
    screen = np.broadcast_to((1 - ramp) * one + ramp * other, (*shape, 3)).astype(np.uint8)
    page = Image.fromarray(screen if kind < 3 else np.zeros_like(screen))
    draw = ImageDraw.Draw(page)
    middle, radius = (shape[1] / 2, shape[0] / 2), rng.uniform(0.1, 0.3) * shape[0]
    if kind == 3:
        box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
        fill: _Colour = (int(one[0]), int(one[1]), int(one[2]))
        draw.ellipse(box, fill=fill)
        draw.text((middle[0] - 40, middle[1]), "PHANTOM", (255, 255, 255), ImageFont.load_default())
    if rng.random() < 0.5:
        draw.text((16, 10), "ENDOMETER PHANTOM", (200, 200, 200), ImageFont.load_default(size=15))
    return np.asarray(page)


def rendering(rng: Rng, shape: tuple[int, int]) -> Rgb:
    """Draw a surface from a volume: lit from one side, smooth, sepia on most machines."""
    rows, columns = shape
    r, c = np.indices(shape, float)
    middle = rows * rng.uniform(0.45, 0.55), columns * rng.uniform(0.42, 0.58)
    out = np.hypot(
        (r - middle[0]) / (rows * rng.uniform(0.25, 0.42)),
        (c - middle[1]) / (columns * rng.uniform(0.2, 0.36)),
    )
    waves = sum(
        weight * _smooth(rng, shape, cells)
        for weight, cells in ((1.0, 3), (0.4, 7), (0.1, 15), (0.02, 40))
    )
    body = 1 - out + 0.2 * waves
    height = 90 * np.sqrt(np.clip(body, 0, None)) + rng.uniform(10, 30) * waves
    height = ndimage.gaussian_filter(height, rng.uniform(1.0, 3.0))
    down, across = np.gradient(height)
    azimuth, up = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 1.2)
    normal = np.sqrt(down**2 + across**2 + 1)
    light = (up - down * math.sin(azimuth) - across * math.cos(azimuth)) / normal
    shade = np.clip(light / math.hypot(up, 1), 0, 1) ** rng.uniform(0.7, 1.3)
    shade = shade * np.clip(body / 0.08, 0, 1) * rng.uniform(0.75, 1.0)
    shade = shade + rng.uniform(0, 0.012) * rng.normal(size=shape) * (shade > 0)
    return _tinted(rng, np.clip(shade, 0, 1))


def _smooth(rng: Rng, shape: tuple[int, int], cells: int) -> Array:
    """Return a smooth field of about unit spread with so many bumps along the rows."""
    coarse = rng.normal(size=(cells + 3, cells + 3))
    zoom = (shape[0] / (cells + 1), shape[1] / (cells + 1))
    field: Array = ndimage.zoom(coarse, zoom, order=3)[: shape[0], : shape[1]]
    return field


def _tinted(rng: Rng, shade: Array) -> Rgb:
    """Return RGB of a shade in [0, 1]: sepia, gold, or grey."""
    kind = rng.random()
    low, high = ((70, 35, 10), (255, 225, 180)) if kind < 0.6 else ((60, 30, 0), (255, 200, 110))
    if kind > 0.85:
        low, high = (40, 40, 40), (245, 245, 245)
    tint = np.array(low) + (np.array(high) - low) * shade[..., None]
    return np.rint(tint * np.clip(shade * 4, 0, 1)[..., None]).astype(np.uint8)
