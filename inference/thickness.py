"""Endometrial thickness from a probability map: the measurement of design section 5.

Double-layer thickness, basal interface to basal interface, perpendicular to the midline at its
thickest, without the fluid in the cavity (Leone et al., IETA, Ultrasound Obstet Gynecol 35, 2010,
103). The three steps are in `inference.outline`, `inference.midline` and `inference.profile`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from imaging.reasons import Reason
from inference.midline import Chords, find_midline
from inference.outline import (
    LEVEL,
    Array,
    Mask,
    Region,
    contours,
    find_region,
    fluid_contours,
    inscribed_circle,
)
from inference.profile import Profile, build_profile

SMALLEST_PX = 6  # pixels above one half: fewer are a speck, not an endometrium
PLAUSIBLE_MM = (0.3, 60.0)  # thickness; an endometrium above 60 mm has not been described
OVER_CIRCLE = 1.25  # a chord this much longer than the largest circle inside is oblique
CUT_RUN = 1.2  # of the thickness: the longest end run without whole chords at an oblique exit
CUT_RISE = 0.0075  # of the thickness, over a quarter of it: still rising at the cut
LEAST_RUN = 0.5  # of the thickness: midline with whole chords that a cut band must keep

Point = tuple[float, float]


class NotMeasurable(ValueError):  # noqa: N818 - a refusal, not a fault; the name is the contract
    """There is no safe thickness; `reason` is machine-readable, the message is for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep the reason (closed list) and the message."""
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Thickness:
    """One measurement. Points are (row, column) in pixels of the input array, floats.

    thickness_mm: maximum of the profile. calipers: the two ends of the chord that was measured; the
    distance between them in mm is `outer_mm` = `thickness_mm` + `fluid_mm`. profile_mm: (n,)
    float64, smoothed chord lengths without fluid, `step_mm` (<= 0.1) apart along the midline,
    tip to tip. fluid: there is fluid in the cavity. fluid_mm: its length between the calipers.
    inscribed_circle_mm: diameter of the largest circle inside the outline (fluid included), the
    cross-check; circle_centre: its centre. midline: (n, 2) float64, one point for each entry of the
    profile. outline: closed contours (m, 2) float64, exterior first. component: bool, shape of the
    input, the connected area that was measured, holes filled. length_mm: of the midline.
    noise_mm: standard deviation of the boundary noise left in the lightly smoothed profile.
    touches_border: the endometrium reaches the border of the array; only whole chords were used.
    fluid_outline: closed contours (m, 2) float64 of the fluid, none without any.
    """

    thickness_mm: float
    calipers: tuple[Point, Point]
    profile_mm: Array
    fluid: bool
    inscribed_circle_mm: float
    circle_centre: Point
    midline: Array
    outline: tuple[Array, ...]
    component: Mask
    length_mm: float
    step_mm: float
    fluid_mm: float
    outer_mm: float
    noise_mm: float
    touches_border: bool
    fluid_outline: tuple[Array, ...] = ()


def measure_thickness(
    probability: ArrayLike, spacing_mm: tuple[float, float], fluid: ArrayLike | None = None
) -> Thickness:
    """Measure the endometrium in a probability map.

    probability: (rows, columns) floats in [0, 1], probability of endometrium. spacing_mm: (row,
    column) mm per pixel. fluid: the same shape, probability of fluid in the cavity; both classes
    together make the outline, and fluid is subtracted along the chords.

    Raises ValueError for arrays or spacings that break this contract, and NotMeasurable with
    reason no_endometrium (nothing above one half, or a speck), cut_off (the border of the array
    hides the thickest place) or implausible_geometry (no midline, or a length nobody has).
    """
    endometrium, spacing = _checked(probability, "probability"), _checked_spacing(spacing_mm)
    water = None if fluid is None else _checked(fluid, "fluid")
    if water is not None and water.shape != endometrium.shape:
        raise ValueError(
            f"fluid has shape {water.shape} and probability {endometrium.shape}; "
            "they must be maps of the same frame"
        )
    if not (endometrium > LEVEL).any():
        raise NotMeasurable(
            Reason.NO_ENDOMETRIUM,
            f"No endometrium was found: the highest probability is {endometrium.max():.2f}, "
            f"and nothing is above {LEVEL}.",
        )
    region = find_region(endometrium, water, spacing)
    if region is None:
        raise NotMeasurable(Reason.CUT_OFF, "The endometrium fills the whole array.")
    _refuse_specks(region)
    outline = contours(region)
    if not outline:
        raise NotMeasurable(
            Reason.NO_ENDOMETRIUM, "The largest area above one half is a speck without an outline."
        )
    circle, centre = inscribed_circle(region, outline[0])
    chords = find_midline(region, circle / 2)
    profile = None if chords is None else build_profile(region, chords, circle / 2)
    if chords is None or profile is None:
        if region.touches_border:
            raise NotMeasurable(
                Reason.CUT_OFF,
                "The border of the image cuts the endometrium: no whole chord is left.",
            )
        raise NotMeasurable(
            Reason.IMPLAUSIBLE_GEOMETRY,
            "The area that was found has no midline; it does not look like an endometrium.",
        )
    if region.touches_border:
        _refuse_cut(chords, profile, float(region.spacing.max()))
    component = np.zeros(endometrium.shape, dtype=bool)
    top, left = region.origin.astype(int)
    rows, columns = region.filled.shape
    component[top : top + rows, left : left + columns] = region.filled
    return _result(region, chords, profile, outline, component, (circle, centre))


def _checked(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values)
    if array.ndim != 2 or min(array.shape, default=0) < 2:
        raise ValueError(
            f"{name} has shape {array.shape}; a map (rows, columns) of at least 2 x 2 is needed"
        )
    if array.dtype.kind not in "fbiu":
        raise ValueError(f"{name} has dtype {array.dtype}; numbers in [0, 1] are needed")
    result = array.astype(np.float64)
    low, high = float(result.min()), float(result.max())
    if not (low >= 0.0 and high <= 1.0):  # false for NaN, too
        raise ValueError(f"{name} holds values from {low} to {high}; it must stay within [0, 1]")
    return result


def _checked_spacing(spacing_mm: tuple[float, float]) -> tuple[float, float]:
    try:
        values = np.asarray(spacing_mm, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (2,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"spacing_mm is {spacing_mm!r}; two positive numbers (row, column) in mm are needed"
        )
    return float(values[0]), float(values[1])


def _refuse_specks(region: Region) -> None:
    area = int(region.filled.sum())
    if region.fluid is not None:
        area -= int((region.fluid > LEVEL).sum())
    if area < SMALLEST_PX:
        raise NotMeasurable(
            Reason.NO_ENDOMETRIUM,
            f"The largest area above one half has {max(area, 0)} pixels of endometrium; "
            f"at least {SMALLEST_PX} are needed.",
        )


def _refuse_cut(chords: Chords, profile: Profile, pixel_mm: float) -> None:
    """Raise cut_off if the border of the array may hide the thickest place."""
    step, thickness = chords.step_mm, float(profile.values[profile.peak])
    whole = np.nonzero(profile.valid)[0]
    first, last = int(whole[0]), int(whole[-1])
    runs = (int(chords.cut[:first].sum()), int(chords.cut[last + 1 :].sum()))
    longest = max(runs) * step - 3.0 * pixel_mm  # the last pixels before the border hide chords
    if chords.cut[first : last + 1].any() or longest > CUT_RUN * thickness:
        raise NotMeasurable(
            Reason.CUT_OFF, "The border of the image cuts the endometrium along its length."
        )
    if any(chords.open_ends) and len(whole) * step < LEAST_RUN * thickness:
        raise NotMeasurable(
            Reason.CUT_OFF, "The border of the image leaves too little of the endometrium."
        )
    reach = max(int(0.25 * thickness / step), 1)
    least = max(CUT_RISE * thickness, profile.noise, 0.15 * pixel_mm)
    for is_open, at, inwards in zip(chords.open_ends, (first, last), (1, -1), strict=True):
        inner = int(np.clip(at + inwards * reach, first, last))
        near_peak = abs(profile.peak - at) <= max(reach // 5, 1)
        rise = float(profile.values[at] - profile.values[inner])
        if is_open and near_peak and rise > least:
            raise NotMeasurable(
                Reason.CUT_OFF,
                "The endometrium is still getting thicker where the border of the image cuts it.",
            )


def _result(
    region: Region,
    chords: Chords,
    profile: Profile,
    outline: tuple[Array, ...],
    component: Mask,
    circle: tuple[float, Array],
) -> Thickness:
    thickness = float(profile.values[profile.peak])
    if not PLAUSIBLE_MM[0] <= thickness <= PLAUSIBLE_MM[1]:
        raise NotMeasurable(
            Reason.IMPLAUSIBLE_GEOMETRY,
            f"The thickness would be {thickness:.2f} mm; plausible is {PLAUSIBLE_MM[0]} to "
            f"{PLAUSIBLE_MM[1]} mm. Check the calibration.",
        )
    fluid_mm = float(profile.fluid[profile.peak])
    outer = thickness + fluid_mm
    if outer > OVER_CIRCLE * circle[0] + 2.0 * float(region.spacing.max()):
        raise NotMeasurable(
            Reason.IMPLAUSIBLE_GEOMETRY,
            f"The longest chord has {outer:.1f} mm, but the largest circle inside only "
            f"{circle[0]:.1f} mm: the area does not have the form of an endometrium.",
        )
    middle = chords.points[profile.peak]
    normal = chords.normals[profile.peak]
    middle = middle + profile.offset[profile.peak] * normal
    limit = (np.array(region.field.shape) - 1) * region.spacing
    ends = np.stack([middle - outer / 2 * normal, middle + outer / 2 * normal])
    # smoothing may lift an end over the border by less than a pixel: move the pair, keep its length
    shift = np.maximum(-ends.min(0), 0.0) - np.maximum(ends.max(0) - limit, 0.0)
    ends = (ends + np.where(region.touches_border, shift, 0.0)) / region.spacing + region.origin
    return Thickness(
        thickness_mm=thickness,
        calipers=(_point(ends[0]), _point(ends[1])),
        profile_mm=profile.values,
        fluid=region.fluid is not None and bool((region.fluid > LEVEL).any()),
        inscribed_circle_mm=circle[0],
        circle_centre=_point(circle[1]),
        midline=chords.points / region.spacing + region.origin,
        outline=outline,
        component=component,
        length_mm=chords.step_mm * (len(chords.points) - 1),
        step_mm=chords.step_mm,
        fluid_mm=fluid_mm,
        outer_mm=outer,
        noise_mm=profile.noise,
        touches_border=region.touches_border,
        fluid_outline=fluid_contours(region),
    )


def _point(values: Array) -> Point:
    return float(values[0]), float(values[1])
