"""The slow road of renderer 2: elements that radiate, and delay-and-sum of what they receive.

The echoes of every element come from SIMUS (Garcia 2022, Comput. Methods Programs Biomed.
218:106726) in the optional package `pymust`; the beamformer is ours. Seconds to minutes a frame,
with few scatterers: for a handful of pictures of a foreign make, not for a test set.
"""

import math
from types import ModuleType

import numpy as np

from data.phantom.acoustics import (
    SAMPLE_MM,
    SOUND_MM_PER_US,
    BeamGrid,
    Complex,
    Medium,
    beam_grid,
    scan_convert,
    transmission_db,
)
from data.phantom.anatomy import Array, Rng, Scene
from data.phantom.physical import sample_display, scene_labels
from data.phantom.render import Picture, Raster
from data.phantom.tissue import paint

ELEMENTS, FREQUENCY_HZ, CYCLES = 96, 4.5e6, 1.5
TRANSMITS, SOURCE_MM = 3, 3.0  # virtual sources lie so far to either side of the fan's centre
PER_MM2 = 2.0
# Echoes weaker than this are not worth their time.
FAINTEST_DB = -25.0
# An element hears within this angle of its normal, and no farther away than this f-number.
HEARD_RAD, F_NUMBER = 0.7, 1.2


def _pymust() -> ModuleType:
    try:
        import pymust
    except ImportError:
        raise ImportError(
            "the renderer simus needs the package pymust, which is not installed here: "
            "pip install 'endometer[simus]'."
        ) from None
    module: ModuleType = pymust
    return module


def _points(grid: BeamGrid, medium: Medium, rng: Rng) -> tuple[Array, Array, Array]:
    """Return depth mm, lateral mm and strength of scatterers, each (k,)."""
    sector = grid.sector
    low, high = sector.radius_mm + 1.0, sector.radius_mm + sector.depth_mm
    n = round(sector.half_angle * (high**2 - low**2) * PER_MM2)
    reach = np.sqrt(rng.uniform(low**2, high**2, n))
    angle = rng.uniform(-sector.half_angle, sector.half_angle, n)
    row = np.rint((reach - sector.radius_mm - grid.distance[0]) / SAMPLE_MM).astype(int)
    step = grid.angle[1] - grid.angle[0]
    column = np.rint((angle - grid.angle[0]) / step).astype(int)
    heard = 10 ** (medium.backscatter_db / 10)
    for interface in medium.interfaces:
        heard = heard + interface.echo() ** 2
    level = 10 * np.log10(heard) - transmission_db(grid, medium.loss_db_mm)
    at = level[np.clip(row, 0, grid.shape[0] - 1), column]
    strength = rng.standard_normal(n) * 10 ** (at / 20)
    kept = at > FAINTEST_DB
    depth, lateral = reach * np.cos(angle) - sector.radius_mm, reach * np.sin(angle)
    return depth[kept], lateral[kept], strength[kept]


def _array(grid: BeamGrid) -> tuple[Array, Array, Array, float]:
    """Return angle rad, depth mm and lateral mm of the elements, and their pitch in mm."""
    radius, span = grid.sector.radius_mm, 2 * grid.sector.half_angle
    angle = (np.arange(ELEMENTS) - 0.5 * (ELEMENTS - 1)) * span / ELEMENTS
    pitch = 2 * radius * math.sin(0.5 * span / ELEMENTS)  # along the chord, as SIMUS counts
    return angle, radius * (np.cos(angle) - 1), radius * np.sin(angle), pitch


def _beamform(
    grid: BeamGrid, echoes: Complex, rate_hz: float, source: tuple[float, float]
) -> Array:
    """Delay and sum IQ echoes (samples, elements) of a wave from `source` (depth, lateral) mm."""
    angle, depth, lateral, _ = _array(grid)
    c = SOUND_MM_PER_US * 1e6
    first = np.hypot(depth - source[0], lateral - source[1]).min()
    out = np.hypot(grid.depth - source[0], grid.lateral - source[1]) - first
    times = np.arange(len(echoes)) / rate_hz
    total = np.zeros(grid.shape, np.complex64)
    for i in range(ELEMENTS):
        reach = np.hypot(grid.depth - depth[i], grid.lateral - lateral[i])
        seen = np.arctan2(grid.lateral - lateral[i], grid.depth - depth[i]) - angle[i]
        offset = np.abs(grid.angle - angle[i]) * grid.sector.radius_mm
        narrow = offset < np.maximum(grid.distance[:, None], 2.0) / (2 * F_NUMBER)
        weight = np.clip(np.cos(0.5 * np.pi * seen / HEARD_RAD), 0, None) * narrow
        weight *= np.abs(seen) < HEARD_RAD
        used = weight > 0
        delay = (out[used] + reach[used]) / c
        echo = np.interp(delay, times, echoes[:, i].real) + 1j * np.interp(
            delay, times, echoes[:, i].imag
        )
        total[used] += weight[used] * echo * np.exp(2j * np.pi * FREQUENCY_HZ * delay)
    envelope: Array = np.abs(total)
    return envelope


def render_simus(scene: Scene, raster: Raster, rng: Rng, *, frame: int = 0) -> Picture:
    """As `render_physical`, by SIMUS. Raises ImportError where `pymust` is missing."""
    pymust = _pymust()
    grid = beam_grid(scene.sector)
    display = sample_display(rng)
    medium = paint(scene, grid, rng)
    points = _points(grid, medium, np.random.default_rng([int(rng.integers(2**31)), frame]))
    _, depth, lateral, pitch = _array(grid)
    param = pymust.utils.Param()
    param.fc, param.Nelements, param.bandwidth = FREQUENCY_HZ, ELEMENTS, 75
    param.pitch, param.width, param.radius = (
        pitch / 1e3,
        0.9 * pitch / 1e3,
        scene.sector.radius_mm / 1e3,
    )
    param.c, param.fs, param.TXnow = SOUND_MM_PER_US * 1e3, 4 * FREQUENCY_HZ, CYCLES
    options = pymust.utils.Options()
    options.dBThresh = -40
    chord = float(depth.min())  # SIMUS counts depth from the chord of the array
    image = np.zeros(grid.shape)
    for side in np.linspace(-SOURCE_MM, SOURCE_MM, TRANSMITS):
        source = (-scene.sector.radius_mm, float(side))
        away = np.hypot(depth - source[0], lateral - source[1])
        delays = (away - away.min())[None] / (SOUND_MM_PER_US * 1e6)
        received, _ = pymust.simus(
            points[1] / 1e3, (points[0] - chord) / 1e3, points[2], delays, param, options
        )
        echoes = pymust.rf2iq(received, param.fs, param.fc)
        image += _beamform(grid, echoes, param.fs, source)
    grey = display.grey(_level(grid, image, medium))
    at = raster.coordinates()
    sector = scene.sector.contains(*at)
    luma = np.where(sector, np.rint(scan_convert(grid, grey, *at)), 0).astype(np.uint8)
    return Picture(luma, sector, scene_labels(scene, raster))


def _level(grid: BeamGrid, image: Array, medium: Medium) -> Array:
    """Set the gain over depth: what spreading took away is given back, by a smooth curve."""
    db = 20 * np.log10(np.maximum(image, 1e-12))
    wanted = np.clip(medium.backscatter_db, FAINTEST_DB, None)
    inner = np.abs(grid.angle) < 0.8 * grid.sector.half_angle
    excess = np.median(db[:, inner], axis=1) - np.median(wanted[:, inner], axis=1)
    body = (grid.distance > 3) & (grid.distance < grid.sector.depth_mm - 3)
    curve = np.polyval(np.polyfit(grid.distance[body], excess[body], 3), grid.distance)
    level: Array = 10 ** ((db - curve[:, None]) / 20)
    return level
