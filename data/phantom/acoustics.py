"""Sound in a fan: scatterers, interfaces, shadows, the point spread, looks, logarithm, raster.

Everything happens on a grid of (range samples, beams). A complex echo of a point at range r is
its amplitude times exp(-2ikr); echoes add as complex numbers, and what a pulse and an aperture of
finite size leave of them is speckle (Goodman 1975; Wagner et al. 1983, IEEE Trans. Sonics
Ultrason. 30:156). The point spread is separable, its lateral part changes with range.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from data.phantom.anatomy import Array, Rng, Sector

Complex = NDArray[np.complex64]
SOUND_MM_PER_US = 1.54
SAMPLE_MM = 0.1
# Samples in front of the probe face and behind the fan, and beams beside it, that take up what
# the circular Fourier transform wraps around.
MARGIN_MM, MARGIN_RAD = 2.0, 0.06
BEAM_RAD = 0.007
# Nobody sees more than this behind a stone: the shadow fills with noise and side lobes.
DARKEST_SHADOW_DB = 35.0
# Frames of a cine after which its speckle has become another.
SLICES = 5


@dataclass(frozen=True)
class Probe:
    """Transducer and beamformer: centre frequency MHz, standard deviation of the pulse mm,
    f-number and aperture mm of the receiver, transmit focus mm and its zone mm; `aberration` is
    the factor by which tissue widens the beam.
    """

    frequency_mhz: float
    pulse_sd_mm: float
    f_number: float
    aperture_mm: float
    focus_mm: float
    zone_mm: float
    aberration: float

    @property
    def wavelength_mm(self) -> float:
        """Length of one wave in soft tissue."""
        return SOUND_MM_PER_US / self.frequency_mhz

    def lateral_sd_mm(self, distance: Array) -> Array:
        """Return the standard deviation (mm) of the lateral point spread at ranges in mm."""
        f = np.maximum(self.f_number, distance / self.aperture_mm)
        defocus = np.sqrt(1 + np.minimum((distance - self.focus_mm) / self.zone_mm, 2.0) ** 2)
        sd: Array = 0.4 * self.aberration * self.wavelength_mm * f * defocus
        return np.maximum(sd, 0.15)


@dataclass(frozen=True)
class BeamGrid:
    """Samples of a fan: ranges mm (n,), angles rad (m,), and where they lie, mm (n, m)."""

    sector: Sector
    distance: Array
    angle: Array
    depth: Array
    lateral: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(range samples, beams)."""
        return len(self.distance), len(self.angle)

    @property
    def arc_mm(self) -> Array:
        """Distance of neighbouring beams in mm at each range, (n, 1)."""
        step = self.angle[1] - self.angle[0]
        arc: Array = (np.maximum(self.sector.radius_mm + self.distance, 1.0) * step)[:, None]
        return arc


def beam_grid(sector: Sector) -> BeamGrid:
    """Lay samples over a fan."""
    rows = math.ceil((sector.depth_mm + 2 * MARGIN_MM) / SAMPLE_MM)
    rows = fft.next_fast_len(rows)
    distance = (np.arange(rows) * SAMPLE_MM - MARGIN_MM).astype(np.float32)
    half = sector.half_angle + MARGIN_RAD
    beams = fft.next_fast_len(math.ceil(2 * half / BEAM_RAD))
    angle = np.linspace(-half, half, beams, dtype=np.float32)
    reach = (sector.radius_mm + distance)[:, None]
    depth = reach * np.cos(angle) + np.float32(sector.apex_depth_mm)
    return BeamGrid(sector, distance, angle, depth, reach * np.sin(angle))


@dataclass(frozen=True)
class Interface:
    """A thin layer that mirrors sound: `amplitude` (n, m) of its echo at right angles (1 is the
    amplitude of myometrium), `tilt` (n, m) in rad between its normal and the beam, and `spread`,
    the standard deviation in rad of the angles at which a rough interface still answers.
    """

    amplitude: Array
    tilt: Array
    spread: float

    def echo(self, steer: float = 0.0) -> Array:
        """Return the amplitude heard when the beam is steered by `steer` rad."""
        heard: Array = self.amplitude * np.exp(-0.5 * ((self.tilt - steer) / self.spread) ** 2)
        return heard


@dataclass(frozen=True)
class Medium:
    """What sound meets: `backscatter_db` (n, m) over myometrium; `loss_db_mm` (n, m), two ways,
    beyond what the machine's gain over time makes up for; `clutter_db` (n, m), echoes that come
    by detours and that no shadow darkens; and the interfaces.
    """

    backscatter_db: Array
    loss_db_mm: Array
    clutter_db: Array
    interfaces: tuple[Interface, ...]


def tilt_of(grid: BeamGrid, inside: Array) -> Array:
    """Return the angle in rad (n, m) between the beam and the normal of the surfaces on which
    `inside` (mm) is constant: 0 where the beam meets them at right angles.
    """
    along = np.gradient(inside, axis=0) / SAMPLE_MM
    across = np.gradient(inside, axis=1) / grid.arc_mm
    tilt: Array = np.arctan2(across, np.abs(along) + 1e-6) * np.sign(along)
    return tilt


def transmission_db(grid: BeamGrid, loss_db_mm: Array, steer: float = 0.0) -> Array:
    """Add up losses along beams steered by `steer` rad. Returns dB (n, m), positive is darker."""
    # A ray at a fixed angle to the radius is a logarithmic spiral in a fan.
    reach = np.maximum(grid.sector.radius_mm + grid.distance, 1.0)
    step = float(grid.angle[1] - grid.angle[0])
    shift = np.rint(math.tan(steer) * np.log(reach / grid.sector.radius_mm) / step).astype(int)
    beams, rows = np.arange(grid.shape[1])[None], np.arange(grid.shape[0])[:, None]
    last = grid.shape[1] - 1
    sheared = loss_db_mm[rows, np.clip(beams + shift[:, None], 0, last)]
    total = np.cumsum(sheared, axis=0) * SAMPLE_MM
    back = total[rows, np.clip(beams - shift[:, None], 0, last)]
    dark: Array = np.minimum(back, DARKEST_SHADOW_DB)
    return dark


@dataclass(frozen=True)
class Scatterers:
    """Points that scatter sound: grid index (k,), range mm (k,), lateral mm (k,), strength (k,)."""

    index: NDArray[np.intp]
    distance: Array
    lateral: Array
    strength: Array


def scatterers(grid: BeamGrid, seed: int, per_mm2: float, frame: int = 0) -> Scatterers:
    """Strew points evenly over the plane, of Gaussian strength and unit intensity in all.

    Their places depend on `seed` alone. From frame to frame their strengths change a little, as
    they do in slices next to each other, and after SLICES frames nothing is left of them.
    """
    rng = np.random.default_rng(seed)
    reach = grid.sector.radius_mm + grid.distance
    low, high = max(float(reach[0]), 0.5), float(reach[-1])
    span = float(grid.angle[-1] - grid.angle[0])
    n = round(0.5 * span * (high**2 - low**2) * per_mm2)
    far = np.sqrt(low**2 + (high**2 - low**2) * rng.random(n, np.float32))
    beam = rng.random(n, np.float32) * (grid.shape[1] - 1)
    block, step = divmod(frame, SLICES)
    here, there = (
        np.random.default_rng([seed, 1 + block + i]).standard_normal(n, np.float32) for i in (0, 1)
    )
    turn = 0.5 * math.pi * step / SLICES
    strength = math.cos(turn) * here + math.sin(turn) * there
    row = np.clip(np.rint((far - reach[0]) / SAMPLE_MM), 0, grid.shape[0] - 1).astype(np.intp)
    index = row * grid.shape[1] + np.rint(beam).astype(np.intp)
    angle = grid.angle[0] + beam * (grid.angle[1] - grid.angle[0])
    # So many points fall on one sample: their sum has unit intensity.
    each = np.maximum(per_mm2 * SAMPLE_MM * grid.arc_mm[row, 0], 1e-3)
    return Scatterers(
        index, far - np.float32(grid.sector.radius_mm), far * np.sin(angle), strength / each**0.5
    )


def point_spread(grid: BeamGrid, probe: Probe, field: Complex) -> Complex:
    """Convolve a field (n, m) with pulse and beam; white noise of unit intensity keeps it."""
    wave = 2 * np.pi * fft.fftfreq(grid.shape[1]).astype(np.float32)
    sd = probe.lateral_sd_mm(grid.distance)[:, None] / grid.arc_mm
    beam = np.exp(-0.5 * (sd * wave) ** 2)
    # Out of focus, the wave front is curved as well as wide.
    out = np.clip((grid.distance - probe.focus_mm) / probe.zone_mm, -2, 2)[:, None]
    beam = beam * np.exp(0.5j * out * (sd * wave) ** 2)
    beam /= np.sqrt(np.mean(np.abs(beam) ** 2, axis=1, keepdims=True))
    field = fft.ifft(fft.fft(field, axis=1) * beam.astype(np.complex64), axis=1)
    wave = 2 * np.pi * fft.fftfreq(grid.shape[0]).astype(np.float32)
    pulse = np.exp(-0.5 * (probe.pulse_sd_mm / SAMPLE_MM * wave) ** 2)
    pulse /= np.sqrt(np.mean(pulse**2))
    echo: Complex = fft.ifft(fft.fft(field, axis=0) * pulse[:, None].astype(np.float32), axis=0)
    return echo


def layer_gain(grid: BeamGrid, probe: Probe) -> Array:
    """Return by what `point_spread` magnifies an even layer over white noise, (n, 1)."""
    sd = probe.lateral_sd_mm(grid.distance)[:, None] / grid.arc_mm
    lateral = np.sqrt(2 * math.sqrt(math.pi) * sd)
    axial = math.sqrt(2 * math.sqrt(math.pi) * probe.pulse_sd_mm / SAMPLE_MM)
    gain: Array = lateral * axial
    return gain


def smooth_noise(rng: Rng, shape: tuple[int, int], step: tuple[float, float]) -> Array:
    """Return a random field (n, m) of zero mean and unit spread that varies over `step` samples."""
    coarse = tuple(max(4, math.ceil(n / s) + 3) for n, s in zip(shape, step, strict=True))
    field = ndimage.zoom(
        rng.standard_normal(coarse, np.float32),
        [n / c for n, c in zip(shape, coarse, strict=True)],
        order=3,
        mode="nearest",
        grid_mode=False,
    )
    field = field[: shape[0], : shape[1]]
    out: Array = (field - field.mean()) / max(float(field.std()), 1e-6)
    return out


def look(
    grid: BeamGrid,
    probe: Probe,
    medium: Medium,
    points: Scatterers,
    steer: float,
    key: tuple[int, int, int],
) -> Complex:
    """Return the beamformed echo (n, m) of one transmission that is steered by `steer` rad.

    `key` are whole numbers that name the scene, the frame and the look: noise depends on all
    three, what an interface looks like on the scene alone.
    """
    wave = 4 * math.pi / probe.wavelength_mm
    size = grid.shape[0] * grid.shape[1]
    path = points.distance * math.cos(steer) + points.lateral * math.sin(steer)
    turn = wave * path
    echo = np.empty(size, np.complex64)
    echo.real = np.bincount(points.index, points.strength * np.cos(turn), size)
    echo.imag = np.bincount(points.index, -points.strength * np.sin(turn), size)
    field = echo.reshape(grid.shape)
    field *= 10 ** (medium.backscatter_db / 20)
    # Interfaces answer as a whole: their phase hardly changes from beam to beam.
    gain = 1 / layer_gain(grid, probe)
    gain = gain * np.exp(
        1j * np.pi * smooth_noise(np.random.default_rng(key[0]), grid.shape, (40, 14))
    )
    specular = np.sum([interface.echo(steer) for interface in medium.interfaces], axis=0)
    field += (specular * gain).astype(np.complex64)
    field *= 10 ** (-transmission_db(grid, medium.loss_db_mm, steer) / 20)
    noise = np.random.default_rng(key).standard_normal((2, *grid.shape), np.float32)
    noise *= 10 ** (medium.clutter_db / 20)
    field += (noise[0] + 1j * noise[1]) * np.float32(math.sqrt(0.5))
    return point_spread(grid, probe, field)


def scan_convert(grid: BeamGrid, image: Array, depth: Array, lateral: Array) -> Array:
    """Sample an image (n, m) at points in mm; linear between samples."""
    distance, angle = grid.sector.polar(depth, lateral)
    where = np.stack(
        [
            (distance - grid.distance[0]) / SAMPLE_MM,
            (angle - grid.angle[0]) / (grid.angle[1] - grid.angle[0]),
        ]
    )
    out: Array = ndimage.map_coordinates(image, where, order=1, mode="nearest")
    return out
