"""Colour Doppler over a grey frame: a box, and blobs of flow in it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from data.phantom.anatomy import Array, Rng

Rgb = NDArray[np.uint8]
# How much wider than what it surrounds a box is, in pixels.
AROUND_PX = 25


def with_flow(
    rng: Rng, luma: NDArray[np.uint8], target: NDArray[np.bool_], covered: float
) -> tuple[Rgb, Array]:
    """Return RGB (rows, columns, 3) of a frame with a colour box around `target`, and the flow.

    `luma` uint8 and `target` bool, (rows, columns). About a share `covered` of the target lies
    under colour; 0 leaves the target free. The flow is bool (rows, columns).
    """
    rows, columns = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
    box = np.zeros(luma.shape, bool)
    top, bottom = max(0, rows[0] - AROUND_PX), min(luma.shape[0] - 1, rows[-1] + AROUND_PX)
    left, right = max(0, columns[0] - AROUND_PX), min(luma.shape[1] - 1, columns[-1] + AROUND_PX)
    box[top : bottom + 1, left : right + 1] = True
    bumps = rng.normal(size=luma.shape)
    field = ndimage.gaussian_filter(bumps, rng.uniform(6, 14))
    field += ndimage.gaussian_filter(bumps, 2.5) * rng.uniform(0, 0.3)
    if covered > 0:
        flow = box & (field > np.quantile(field[target], 1 - covered))
    else:
        away = ndimage.distance_transform_edt(~target)
        flow = box & (away > 10) & (field > np.quantile(field[box], 0.8))
    power = rng.random() < 0.3
    speed = np.clip((field - field[flow].min()) / max(float(np.ptp(field[flow])), 1e-9), 0, 1)
    towards = ndimage.gaussian_filter(rng.normal(size=luma.shape), 30) > 0
    picture = np.repeat(luma[..., None], 3, 2)
    picture[flow] = (_power(speed) if power else _velocity(speed, towards))[flow]
    image = Image.fromarray(picture)
    colour = (230, 230, 60) if power else (60, 200, 230)
    ImageDraw.Draw(image).rectangle((left, top, right, bottom), outline=colour, width=2)
    return np.asarray(image), flow


def _velocity(speed: Array, towards: NDArray[np.bool_]) -> Rgb:
    """Map speed in [0, 1] to red and yellow towards the probe, blue and cyan away from it."""
    level = 110 + 145 * speed
    red = np.stack([level, 200 * speed**2, 20 * np.ones_like(speed)], -1)
    blue = np.stack([20 * np.ones_like(speed), 180 * speed**2, level], -1)
    return np.where(towards[..., None], red, blue).astype(np.uint8)


def _power(speed: Array) -> Rgb:
    """Map power in [0, 1] to the dark red to yellow of power Doppler."""
    return np.stack([120 + 135 * speed, 30 + 200 * speed**1.5, 10 + 40 * speed], -1).astype(
        np.uint8
    )
