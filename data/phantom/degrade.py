"""Renderer 1: what probe, machine and screen do to a picture."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.phantom.anatomy import Array, Rng, Scene, Subject
from data.phantom.paint import Look, Place
from data.phantom.texture import along, blurred, edge, ridge, sign, smooth_field, speckle


def artefacts(rng: Rng, grey: Array, at: Place, scene: Scene, wild: float) -> Array:
    """Shadows, gain along depth and beam, near field, haze, poor contact."""
    span, half = scene.sector.depth_mm, scene.sector.half_angle
    for _ in range(rng.integers(0, 2 + round(4 * wild))):
        beam = ridge(at.angle - rng.uniform(-1, 1) * half, math.radians(rng.uniform(1, 9)))
        start = edge(at.distance - rng.uniform(0, 0.8) * span, rng.uniform(1, 8))
        grey = grey - rng.uniform(0.05, 0.4) * beam * start
    tgc = rng.normal(0, rng.uniform(0, 0.04 + 0.08 * wild), 7)
    tgc = tgc + np.linspace(0, rng.uniform(-0.1 - 0.2 * wild, 0.15), 7)
    grey = grey + along(at.distance, 0, span, tgc)
    gains = rng.normal(0, rng.uniform(0, 0.03 + 0.06 * wild), 6)
    grey = grey + along(at.angle, -half, half, gains)
    if rng.random() < 0.7:  # bright lines under the probe face
        for _ in range(rng.integers(1, 4)):
            line = ridge(at.distance - rng.uniform(0, 8), rng.uniform(0.3, 1.8))
            grey = grey + rng.uniform(0.05, 0.5) * line
    if rng.random() < 0.25:  # haze
        grey = grey + rng.uniform(0, 0.25) * edge(rng.uniform(3, 25) - at.distance, 10)
    lost = scene.subject is Subject.POOR_CONTACT
    if lost or rng.random() < 0.2 * wild:  # poor contact: beams lost from one side, or all
        reach = rng.uniform(-2.5, -0.2) if lost else rng.uniform(0.1, 0.8)
        side = at.angle * sign(rng)
        grey = grey - rng.uniform(0.2, 0.8) * edge(side - reach, 0.3)
    if lost:  # what is left are echoes of the probe itself
        period = rng.uniform(1.5, 6)
        ringing = np.cos(2 * np.pi * at.distance / period) * np.exp(-at.distance / 12)
        grey = grey + rng.uniform(0.1, 0.5) * ringing
    return grey


def grain(rng: Rng, grey: Array, at: Place, scene: Scene, look: Look) -> Array:
    """Speckle, and the resolution of the machine and of the export."""
    strength = look.noise
    if rng.random() < 0.3:  # gain and compression vary over the picture
        strength = strength * np.clip(1 + 0.3 * smooth_field(rng, at.canvas, 3), 0.3, 2)
    grey = grey + strength * speckle(rng, at.distance, at.angle, scene.sector)
    if rng.random() < 0.4:
        blur = rng.uniform(0.02, 0.2) / at.px, rng.uniform(0.05, 0.35) / at.px
        grey = blurred(grey, at.canvas, blur, 3.0)
    if rng.random() < 0.3:
        soft = blurred(grey, at.canvas, (1.5, 1.5), 4.0)
        grey = grey + rng.uniform(0.2, 1.2) * (grey - soft)
    return grey


def grey_map(rng: Rng, grey: Array, wild: float) -> Array:
    """Gain, offset and gamma; returns grey in [0, 1] and a little noise."""
    grey = np.clip(grey * rng.uniform(0.8 - 0.1 * wild, 1.4) + rng.normal(0, 0.06), 0, 1)
    grey = grey ** rng.uniform(0.6, 1.3 + 0.5 * wild)
    noisy: Array = grey + rng.uniform(0, 0.02) * rng.standard_normal(grey.shape, np.float32)
    return noisy


def export(rng: Rng, luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resample to a coarser screen and back, and compress as JPEG, each now and then."""
    rows, columns = luma.shape
    image = Image.fromarray(luma)
    if rng.random() < 0.3:
        small = (int(columns / rng.uniform(1.0, 2.0)), int(rows / rng.uniform(1.0, 1.5)))
        image = image.resize(small, Image.Resampling.BILINEAR)
        image = image.resize((columns, rows), Image.Resampling.BICUBIC)
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(40, 95)))
        image = Image.open(buffer)
    return np.asarray(image)
