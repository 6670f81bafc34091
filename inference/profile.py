"""The thickness profile: chord lengths along the midline without fluid, smoothed, and its peak.

Boundary noise makes every maximum too large, and smoothing makes every peak too low. So the
shortest smoothing that is safe shows the noise, and then the strongest smoothing is taken that
changes the profile around its peak by no more than that noise (after Lepski, Theory Probab. Appl.
35, 1991, 454).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.midline import Chords, penalty_for, smooth
from inference.outline import LEVEL, Array, Mask, Region, interpolate

TIP = 0.3  # of the half chord: stations closer to a tip than this are end cap, not measurement
SHORTEST = 1.2  # of the inscribed radius: the shortest smoothing, as a wavelength
SPIKE = 0.6  # of the inscribed radius: peaks of the profile narrower than this are spurs
TOP = 0.85  # of the peak: the part of the profile around it in which smoothing adapts
TRUST = 2.5  # how many noise amplitudes a stronger smoothing may move the profile


@dataclass(frozen=True)
class Profile:
    """n stations along the midline.

    values: (n,) mm, smoothed chords without fluid, never above the peak; fluid: (n,) mm of fluid on
    each chord, smoothed; offset: (n,) mm from the midline to the middle of the chord; valid: (n,)
    stations that count (not end cap, chord known); peak: index; noise: mm, standard deviation of
    the lightly smoothed profile around the peak.
    """

    values: Array
    fluid: Array
    offset: Array
    valid: Mask
    peak: int
    noise: float


def fluid_along(region: Region, chords: Chords) -> Array:
    """Length (n,) in mm on each chord where fluid is above one half; 0 without fluid."""
    n = len(chords.points)
    if region.fluid is None or not (region.fluid > LEVEL).any():
        return np.zeros(n)
    known = np.isfinite(chords.outer)
    plus = np.where(known, chords.plus, 0.0)
    minus = np.where(known, chords.minus, 0.0)
    count = int(np.ceil(float((plus + minus).max()) / (0.5 * float(region.spacing.min())))) + 2
    t = np.linspace(0.0, 1.0, min(count, 400))
    along = -minus[:, None] + t * (plus + minus)[:, None]
    points = chords.points[:, None] + along[..., None] * chords.normals[:, None]
    value = interpolate(region.fluid, points / region.spacing, order=1) - LEVEL
    a, b = value[:, :-1], value[:, 1:]
    gap = np.where(np.abs(a - b) > 1e-12, np.abs(a - b), 1.0)
    share = np.where((a > 0) & (b > 0), 1.0, np.where(a * b < 0, np.maximum(a, b) / gap, 0.0))
    length = share.mean(axis=1) * (plus + minus)
    # the tips of a lens are thinner than a pixel and never reach one half, but their sum is right
    summed = np.where(value + LEVEL > 0.1, value + LEVEL, 0.0)
    thin = np.minimum(
        (summed[:, :-1] + summed[:, 1:]).mean(axis=1) / 2 * (plus + minus), plus + minus
    )
    return np.where(known, np.maximum(length, thin), np.nan)


def _measurable(chords: Chords, net: Array, wet: bool) -> Mask:
    """Stations (n,) that count. Chords through a round end beside fluid run along one layer and
    are longer than both layers together, so with fluid the whole end is left out if it can be.
    """
    known: Mask = np.isfinite(net)
    for fraction in (1.0, 0.9, 0.7) if wet else ():
        valid = known & ~chords.cap(fraction)
        if valid.sum() >= 5:
            return valid
    return known & ~chords.cap(TIP)


def _bridge(values: Array, known: Mask) -> Array:
    """Values (n,) with linear bridges over stations that are not known."""
    index = np.arange(len(values))
    result: Array = np.interp(index, index[known], values[known])
    return result


def _spikes(net: Array, valid: Mask, step_mm: float, radius_mm: float) -> Mask:
    """Stations (n,) on a peak of the profile that is narrow and steep: a thin spur."""
    bridged = _bridge(net, valid)
    window = max(int(SPIKE * radius_mm / step_mm), 3)
    above = bridged - ndimage.grey_opening(bridged, window, mode="nearest")
    steep = ndimage.maximum_filter1d(np.abs(np.gradient(bridged, step_mm)), window) > 1.0
    spikes: Mask = ndimage.binary_dilation((above > 0.12 * radius_mm) & steep, iterations=2)
    return spikes & valid


def build_profile(region: Region, chords: Chords, radius_mm: float) -> Profile | None:
    """Smooth the chords of a midline; None when fewer than five of them are known.

    radius_mm: of the inscribed circle, the scale of the smoothing.
    """
    step = chords.step_mm
    fluid = fluid_along(region, chords)
    net = chords.outer - fluid
    wet = bool(np.nanmax(fluid, initial=0.0) > 0)
    valid = _measurable(chords, net, wet)
    if valid.sum() < 5:
        return None
    weights = (valid & ~_spikes(net, valid, step, radius_mm)).astype(np.float64)
    if weights.sum() < 5:
        return None
    shortest = SHORTEST * radius_mm

    def at(wavelength: float, inner: Mask | None = None) -> Array:
        strength = np.full(len(net), penalty_for(shortest, step, 2))
        if inner is not None:
            strength[inner] = penalty_for(wavelength, step, 2)
        else:
            strength[:] = penalty_for(wavelength, step, 2)
        return smooth(net, weights, strength[1:-1], 2)

    # smoothing overshoots beside a kink: no value may exceed the largest chord around it
    window = 2 * int(0.6 * radius_mm / step) + 1
    largest = ndimage.maximum_filter1d(_bridge(net, weights > 0), window, mode="nearest")
    light = at(shortest)
    peak = int(np.argmax(np.where(valid, light, -np.inf)))
    low = np.nonzero(~valid[:peak] | (light[:peak] < TOP * light[peak]))[0]
    high = np.nonzero(~valid[peak:] | (light[peak:] < TOP * light[peak]))[0]
    top = np.zeros(len(net), dtype=bool)
    top[(low[-1] + 1 if len(low) else 0) : (peak + high[0] if len(high) else len(net))] = True
    top &= ~chords.cap(1.0)  # the shoulders of the ends are form, not noise
    noise = float(np.sqrt(np.mean((at(shortest / 2) - light)[top] ** 2))) if top.any() else 0.0
    values, wavelength = light, shortest * np.sqrt(2.0)
    while wavelength < 6.0 * top.sum() * step:
        smoother = at(wavelength, top)
        change = float(np.sqrt(np.mean((smoother - light)[top] ** 2)))
        if change > TRUST * noise * np.sqrt(1 - shortest / wavelength):
            break
        values, wavelength = smoother, wavelength * np.sqrt(2.0)
    values = np.minimum(values, largest)
    peak = int(np.argmax(np.where(valid, values, -np.inf)))
    raw = np.where(np.isfinite(net), net, 0.0)
    shown = np.clip(np.where(valid, values, raw), 0.0, values[peak])
    sides = (chords.plus - chords.minus) / 2
    known = (valid & (weights > 0)).astype(np.float64)
    light_penalty = penalty_for(shortest, step, 2)
    return Profile(
        values=shown,
        fluid=np.clip(smooth(fluid, known, light_penalty, 2), 0.0, None)
        if wet
        else np.zeros(len(net)),
        offset=smooth(sides, known, light_penalty, 2),
        valid=valid,
        peak=peak,
        noise=noise,
    )
