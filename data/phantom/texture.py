"""Random fields: slow shading, speckle, streaks. Zero mean, about unit spread, float32."""

import numpy as np
from scipy import ndimage

from data.phantom.anatomy import Array, Rng, Sector


def edge(distance: Array, width: float) -> Array:
    """Soft step: 0 at -width/2, 1 at +width/2 (mm)."""
    step: Array = np.clip(0.5 + distance / max(width, 1e-6), 0.0, 1.0)
    return step


def ridge(distance: Array, width: float) -> Array:
    """Soft line: 1 at distance 0, exp(-1) at `width` (mm) to either side."""
    line: Array = np.exp(-((distance / width) ** 2))
    return line


def strip_share(distance: Array, half: Array, px: float) -> Array:
    """Return the share of a pixel that a strip covers, in [0, 1].

    `distance` (mm) of the pixel's centre from the strip's middle, `half` its half width (mm), `px`
    the side of a pixel (mm). Holds for strips thinner than a pixel, too; 0 where `half` is 0.
    """
    upper = np.minimum(half, distance + 0.5 * px)
    lower = np.maximum(-half, distance - 0.5 * px)
    share: Array = np.clip((upper - lower) / px, 0.0, 1.0)
    return share


def along(at: Array, knots: Array, values: Array) -> Array:
    """Piecewise linear function of a coordinate field."""
    return np.interp(at.ravel(), knots, values).reshape(at.shape).astype(np.float32)


def smooth_field(rng: Rng, shape: tuple[int, int], cells: int) -> Array:
    """Low-frequency random field with about `cells` swells along each axis."""
    coarse = rng.normal(size=(cells + 3, cells + 3)).astype(np.float32)
    at = [np.linspace(0.7, cells + 1.3, n) for n in shape]
    # Separable interpolation: rows by splines, then columns by smooth steps.
    rows = ndimage.map_coordinates(
        coarse, np.meshgrid(at[0], np.arange(cells + 3), indexing="ij"), order=3, mode="nearest"
    )
    index = at[1].astype(int)
    t = (at[1] - index).astype(np.float32)
    t = t * t * (3 - 2 * t)
    field: Array = 1.4 * (rows[:, index] * (1 - t) + rows[:, index + 1] * t)
    return field


def _from_beams(field: Array, distance: Array, angle: Array, sector: Sector) -> Array:
    """Bring (samples, beams) of the whole fan to pixels."""
    samples, beams = field.shape
    where = np.stack(
        [
            distance * ((samples - 1) / sector.depth_mm),
            (angle / sector.half_angle + 1) * (0.5 * (beams - 1)),
        ]
    )
    out: Array = ndimage.map_coordinates(field, where, order=1, mode="nearest")
    return out


def speckle(rng: Rng, distance: Array, angle: Array, sector: Sector) -> Array:
    """Log-compressed speckle: made in beam space, so it widens with depth."""
    axial_mm = np.exp(rng.uniform(np.log(0.14), np.log(0.5)))
    beams = int(np.exp(rng.uniform(np.log(90), np.log(340))))
    samples = int(np.clip(sector.depth_mm / (axial_mm / 2), 60, 520))
    looks = int(rng.integers(1, 4))
    power = np.zeros((samples, beams), np.float32)
    blur = (rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.4))
    for _ in range(2 * looks):  # real and imaginary part of each echo
        echo = rng.standard_normal((samples, beams), np.float32)
        power += ndimage.gaussian_filter(echo, blur, truncate=3.0) ** 2
    log = np.log(power + 0.02 * power.mean())
    log = (log - log.mean()) / log.std()
    return _from_beams(log.astype(np.float32), distance, angle, sector)


def streaks(rng: Rng, distance: Array, angle: Array, sector: Sector) -> Array:
    """Coarse grain drawn out across the beams, as in fat, bowel and fibrous tissue."""
    samples = max(8, int(sector.depth_mm / rng.uniform(0.8, 3.0)))
    field = rng.standard_normal((samples, int(rng.integers(10, 60)))).astype(np.float32)
    return _from_beams(np.maximum(field, -0.8), distance, angle, sector)
