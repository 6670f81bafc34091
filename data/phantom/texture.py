"""Random fields: slow shading, speckle, streaks. Zero mean, about unit spread, float32.

Only the pixels of the fan are painted, as a list; what needs neighbours is laid out on the canvas.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom.anatomy import Array, Rng, Sector

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Canvas:
    """Which pixels of a picture are painted: its shape and their numbers intp (n,), row by row."""

    shape: tuple[int, int]
    index: NDArray[np.intp]

    def pick(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the painted pixels (n,) of a picture (rows, columns)."""
        return picture.ravel()[self.index]

    def lay(self, values: NDArray[np.floating | np.integer]) -> Array:
        """Return the picture float32 (rows, columns) of painted pixels (n,), 0 elsewhere."""
        picture = np.zeros(self.shape, np.float32)
        picture.ravel()[self.index] = values
        return picture


def sign(rng: Rng) -> float:
    """Draw -1 or 1."""
    return 1.0 if rng.random() < 0.5 else -1.0


def edge(distance: Array, width: float) -> Array:
    """Soft step: 0 at -width/2, 1 at +width/2 (mm)."""
    step: Array = distance * (1 / max(float(width), 1e-6))
    step += 0.5
    np.clip(step, 0.0, 1.0, out=step)
    return step


def ridge(distance: Array, width: float) -> Array:
    """Soft line: 1 at distance 0, exp(-1) at `width` (mm) to either side."""
    line: Array = distance * (1 / float(width))
    line *= line
    np.negative(line, out=line)
    np.exp(line, out=line)
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


def along(at: Array, low: float, high: float, values: Array) -> Array:
    """Piecewise linear function of a coordinate: `values` at even steps from `low` to `high`."""
    table = np.append(values, values[-1]).astype(np.float32)
    last = len(values) - 1
    place = np.clip((at - low) * (last / (high - low)), 0, last)
    knot = place.astype(np.intp)
    place -= knot
    line: Array = table[knot] + place * np.diff(table, append=table[-1:])[knot]
    return line


@lru_cache(maxsize=256)
def _spread(shape: tuple[int, int], cells: int) -> tuple[Array, Array]:
    """Return what brings cells + 3 knots along each axis to a picture: (rows, knots), (knots,
    columns). By splines along the rows, by smooth steps along the columns."""
    at = [np.linspace(0.7, cells + 1.3, n) for n in shape]
    one = np.eye(cells + 3, dtype=np.float32)
    where = np.meshgrid(at[0], np.arange(cells + 3), indexing="ij")
    down = ndimage.map_coordinates(one, where, order=3, mode="nearest")
    knot = at[1].astype(int)
    t = at[1] - knot
    t = (t * t * (3 - 2 * t)).astype(np.float32)
    across = one[:, knot] * (1 - t) + one[:, knot + 1] * t
    for table in (down, across):
        table.setflags(write=False)
    return down, across


def smooth_field(rng: Rng, canvas: Canvas, cells: int) -> Array:
    """Low-frequency random field (n,) with about `cells` swells along each axis."""
    down, across = _spread(canvas.shape, cells)
    coarse = rng.standard_normal((cells + 3, cells + 3), np.float32)
    coarse *= 1.4
    return canvas.pick(down @ coarse @ across)


def _from_beams(field: Array, distance: Array, angle: Array, sector: Sector) -> Array:
    """Bring (samples, beams) of the whole fan to pixels (n,), linearly."""
    samples, beams = field.shape
    down = np.clip(distance * ((samples - 1) / sector.depth_mm), 0, samples - 1.001)
    across = np.clip((angle * (1 / sector.half_angle) + 1) * (0.5 * (beams - 1)), 0, beams - 1.001)
    row, column = down.astype(np.intp), across.astype(np.intp)
    down -= row
    across -= column
    row *= beams
    row += column
    flat = field.ravel()
    near = flat[row]
    near += across * (flat[1:][row] - near)
    far = flat[beams:][row]
    far += across * (flat[beams + 1 :][row] - far)
    out: Array = near + down * (far - near)
    return out


def _echoes(rng: Rng, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return white Gaussian noise as real and imaginary part of echoes (Box and Muller 1958,
    Annals of Mathematical Statistics 29:610): much faster than one normal after another."""
    size = 1 - rng.random(shape, np.float32)  # never 0
    np.log(size, out=size)
    size *= -2
    np.sqrt(size, out=size)
    phase = rng.random(shape, np.float32)
    phase *= 2 * math.pi
    real, imaginary = np.cos(phase), np.sin(phase, out=phase)
    real *= size
    imaginary *= size
    return real, imaginary


def _gaussian(spread: float, reach: float) -> list[float]:
    """Return the weights of a Gaussian of `spread` steps, out to `reach` times that."""
    radius = int(reach * spread + 0.5)
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(spread, 1e-6)) ** 2)
    normed: list[float] = (weight / weight.sum()).tolist()
    return normed


def _convolved(field: Array, down: list[float], across: list[float]) -> Array:
    """Convolve with symmetric weights along each axis, where they do not leave the field."""
    rows = field.shape[0] - len(down) + 1
    columns = field.shape[1] - len(across) + 1
    middle = len(down) // 2
    between = down[middle] * field[middle : middle + rows]
    for i in range(middle):
        pair = field[i : i + rows] + field[len(down) - 1 - i : len(down) - 1 - i + rows]
        pair *= down[i]
        between += pair
    middle = len(across) // 2
    out: Array = across[middle] * between[:, middle : middle + columns]
    for i in range(middle):
        last = len(across) - 1 - i
        pair = between[:, i : i + columns] + between[:, last : last + columns]
        pair *= across[i]
        out += pair
    return out


def blurred(values: Array, canvas: Canvas, spread: tuple[float, float], reach: float) -> Array:
    """Blur painted pixels (n,) by a Gaussian of `spread` pixels (row, column), out to `reach`
    times that; all else is black."""
    down, across = (_gaussian(each, reach) for each in spread)
    around = [(len(weights) // 2,) * 2 for weights in (down, across)]
    return canvas.pick(_convolved(np.pad(canvas.lay(values), around), down, across))


def speckle(rng: Rng, distance: Array, angle: Array, sector: Sector) -> Array:
    """Log-compressed speckle: made in beam space, so it widens with depth."""
    axial_mm = np.exp(rng.uniform(np.log(0.14), np.log(0.5)))
    beams = int(np.exp(rng.uniform(np.log(90), np.log(340))))
    samples = int(np.clip(sector.depth_mm / (axial_mm / 2), 60, 520))
    looks = int(rng.integers(1, 4))
    power = np.zeros((samples, beams), np.float32)
    spread = (rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.4))
    down, across = (_gaussian(each, 3.0) for each in spread)
    shape = (samples + len(down) - 1, beams + len(across) - 1)
    for _ in range(looks):
        for part in _echoes(rng, shape):
            echo = _convolved(part, down, across)
            echo *= echo
            power += echo
    power += 0.02 * float(power.mean())
    log = np.log(power, out=power)
    log -= float(log.mean())
    log /= float(log.std())
    return _from_beams(log, distance, angle, sector)


def streaks(rng: Rng, distance: Array, angle: Array, sector: Sector) -> Array:
    """Coarse grain drawn out across the beams, as in fat, bowel and fibrous tissue."""
    samples = max(8, int(sector.depth_mm / rng.uniform(0.8, 3.0)))
    field = rng.standard_normal((samples, int(rng.integers(10, 60))), np.float32)
    return _from_beams(np.maximum(field, -0.8), distance, angle, sector)
