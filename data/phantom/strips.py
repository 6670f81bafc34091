"""What M-mode and pulsed Doppler write over time: strips (rows, columns) of grey, no fan."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom.anatomy import Array, Rng

Grey = NDArray[np.uint8]


def m_mode(rng: Rng, shape: tuple[int, int]) -> Grey:
    """Draw one scan line over time, uint8 of `shape`: depth down, time to the right.

    Layers and their speckle breathe and beat; the speckle changes slowly, because the line stays
    where it is.
    """
    rows, columns = shape
    level = _layers(rng, rows)
    speckle = _slow_speckle(rng, shape, float(rng.uniform(0.8, 2.2)), float(rng.uniform(5, 60)))
    time = np.arange(columns)
    move = rng.uniform(0, 0.02) * rows * np.sin(2 * math.pi * time / rng.uniform(150, 600))
    beat = _beats(rng, columns)
    depth = np.arange(rows)[:, None]
    heart, reach = rng.uniform(0.3, 0.8) * rows, rng.uniform(0.06, 0.25) * rows
    size = rng.uniform(0, 0.05) * rows
    moved = depth + move + size * beat * np.exp(-(((depth - heart) / reach) ** 2))
    at = np.stack([moved, np.broadcast_to(time, shape)])
    db = ndimage.map_coordinates(level[:, None] + speckle, at, order=1, mode="nearest")
    return _shown(rng, db + rng.normal(0, rng.uniform(0.5, 3.0), shape), 0.0)


def spectrum(rng: Rng, shape: tuple[int, int]) -> Grey:
    """Draw a Doppler spectrum over time, uint8 of `shape`: velocity up, time to the right.

    Arteries pulsate and veins do not; the noise of the spectrum fills the space between baseline
    and envelope, and the wall filter leaves the baseline's neighbours dark.
    """
    rows, columns = shape
    upright = rng.random() < 0.8
    base = int(rng.uniform(0.55, 0.85) * rows)
    reach = rng.uniform(0.5, 0.9) * base
    flow = reach * (_pulse(rng, columns) if rng.random() < 0.75 else _steady(rng, columns))
    velocity = base - np.arange(rows)[:, None]
    share = velocity / np.maximum(flow, 1.0)
    filled = np.where(
        (share > 0) & (share < 1), np.interp(share, [0, 0.3, 0.85, 1], [-14, -8, 0, -6]), -60.0
    )
    echo = np.where((share < 0) & (share > -0.9), rng.uniform(-45, -24), -60.0)  # crosstalk
    power = ndimage.gaussian_filter(10 ** (np.maximum(filled, echo) / 10), (1.2, 1.0))
    noise = 10 ** (rng.uniform(-45, -28) / 10)
    grain = ndimage.gaussian_filter(rng.exponential(1.0, shape), (0.6, rng.uniform(0.5, 1.5)))
    db = 10 * np.log10((power + noise) * grain + 1e-9)
    wall = rng.uniform(1, 5)
    db = np.where(np.abs(velocity) < wall, -60.0, db)
    grey = _shown(rng, db, -rng.uniform(0, 6))
    grey[max(0, base - 1) : base + 1] = rng.integers(110, 220)
    return grey if upright else np.ascontiguousarray(grey[::-1])


def _layers(rng: Rng, rows: int) -> Array:
    """Return the echo strength (rows,) in dB of layers and of the bright lines between them."""
    number = int(rng.integers(5, 12))
    edges = np.sort(rng.uniform(0, rows, number))
    strength = rng.uniform(-32, 0, number + 1)
    level = strength[np.searchsorted(edges, np.arange(rows))]
    for edge in edges:
        width = rng.uniform(0.6, 3)
        line = rng.uniform(-10, 14) * np.exp(-(((np.arange(rows) - edge) / width) ** 2))
        level = level + np.maximum(line, 0)
    fall: Array = ndimage.gaussian_filter1d(level, 1.0) - rng.uniform(0, 15) * (
        np.arange(rows) / rows
    )
    return fall


def _slow_speckle(rng: Rng, shape: tuple[int, int], axial: float, slow: float) -> Array:
    """Return speckle in dB that is `axial` pixels high and lasts about `slow` columns."""
    parts = [
        ndimage.gaussian_filter(rng.normal(size=shape), (axial, slow), mode="nearest")
        for _ in range(2)
    ]
    envelope = np.hypot(*parts)
    db: Array = 20 * np.log10(envelope / envelope.mean() + 1e-3)
    return db


def _beats(rng: Rng, columns: int) -> Array:
    """Return the displacement (columns,) of a beating wall, about -1 to 1."""
    period, sharp = rng.uniform(20, 160), rng.uniform(1, 2.5)
    phase = np.cumsum(1 + rng.normal(0, 0.02, columns)) / period + rng.random()
    beat: Array = 2 * np.abs(np.sin(math.pi * phase)) ** sharp - 1
    return beat


def _pulse(rng: Rng, columns: int) -> Array:
    """Return an arterial envelope (columns,), 0 to 1: a systolic peak and what diastole leaves."""
    period = rng.uniform(50, 180)
    phase = (np.cumsum(1 + rng.normal(0, 0.03, columns)) / period + rng.random()) % 1
    diastole, fall = rng.uniform(0.05, 0.5), rng.uniform(3, 8)
    rise = np.clip(phase / 0.1, 0, 1)
    flow: Array = diastole + (1 - diastole) * rise * np.exp(-fall * np.maximum(phase - 0.1, 0))
    return np.where(phase < 0.1, diastole + (1 - diastole) * rise, flow)


def _steady(rng: Rng, columns: int) -> Array:
    """Return a venous envelope (columns,), 0 to 1."""
    wave = 0.15 * np.sin(2 * math.pi * np.arange(columns) / rng.uniform(200, 500))
    steady: Array = np.clip(rng.uniform(0.3, 0.7) + wave, 0.1, 1)
    return steady


def _shown(rng: Rng, db: Array, top_db: float) -> Grey:
    """Map dB to grey with a dynamic range and a gain drawn at random."""
    span = rng.uniform(35, 60)
    level = np.clip(rng.uniform(0.75, 0.95) + (db - top_db) / span, 0, 1)
    grey: Grey = np.rint(255 * level ** rng.uniform(0.8, 1.3)).astype(np.uint8)
    return grey
