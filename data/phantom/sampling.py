"""Draw scenes at random, in sizes that follow outlines of 1,647 real endometria and 55 images.

Nothing about the picture is drawn here, and no nuisance depends on the thickness.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

import numpy as np

from data.phantom.anatomy import (
    ArcFrame,
    Endometrium,
    Kind,
    Pattern,
    Rng,
    Scene,
    Sector,
    Structure,
    Subject,
    Uterus,
)

Name = TypeVar("Name", bound=StrEnum)


def sample_sector(rng: Rng) -> Sector:
    """Draw a fan: radius 11.4 +- 0.7 mm measured; wider here, with some abdominal probes."""
    if rng.random() < 0.06:
        return Sector(rng.uniform(20, 60), rng.uniform(0.4, 0.75), rng.uniform(60, 120))
    radius = rng.uniform(9, 14) if rng.random() < 0.7 else rng.uniform(7, 16)
    depth = rng.uniform(35, 70) if rng.random() < 0.75 else rng.uniform(30, 95)
    fan = Sector(float(radius), math.radians(rng.uniform(45, 78)), float(depth))
    if rng.random() < 0.4:  # many screens cut one side of the fan off
        side = rng.uniform(0.25, 0.9) * (fan.radius_mm + fan.depth_mm) * math.sin(fan.half_angle)
        if rng.random() < 0.5:
            return replace(fan, left_mm=-float(side))
        return replace(fan, right_mm=float(side))
    return fan


def sample_thickness(rng: Rng, pattern: Pattern) -> float:
    """Draw 0.7-20 mm, dense around the 6 mm line; thin lines stay thin."""
    if pattern is Pattern.THIN_LINE:
        return float(rng.uniform(0.7, 1.3) if rng.random() < 0.6 else rng.uniform(0.7, 3.0))
    kind = rng.random()
    if kind < 0.35:
        return float(np.clip(rng.normal(6.0, 1.5), 2.5, 10))
    if kind < 0.85:
        return float(rng.uniform(2.0, 12))
    return float(rng.uniform(1.5, 20))


# Share of pictures with an endometrium.
VISIBLE = 0.68
# Share of each subject among frames that show no endometrium.
EMPTY = {
    Subject.HIDDEN: 0.55,
    Subject.OVARY: 0.14,
    Subject.CERVIX: 0.07,
    Subject.BLADDER: 0.07,
    Subject.POOR_CONTACT: 0.10,
    Subject.NOISE: 0.07,
}
# Share of each pattern among endometria.
PATTERNS = {
    Pattern.THREE_LAYER: 0.25,
    Pattern.HYPERECHOIC: 0.29,
    Pattern.ISOECHOIC: 0.03,
    Pattern.THIN_LINE: 0.30,
    Pattern.LINE_IN_BAND: 0.13,
}


def _draw(rng: Rng, shares: Mapping[Name, float]) -> Name:
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def _place_uterus(rng: Rng, sector: Sector, long_mm: float, short_mm: float) -> Uterus:
    """Lay a uterus into the fan, mostly just under the probe face and nearly level."""
    # Anteverted, axial and retroverted uteri, and both flips: any direction, level most often.
    tilt = rng.normal(0, 0.3) if rng.random() < 0.75 else rng.uniform(-math.pi / 2, math.pi / 2)
    reach = 0.5 * math.hypot(short_mm * math.cos(tilt), long_mm * math.sin(tilt))
    gap = rng.uniform(-4, 8) if rng.random() < 0.75 else rng.uniform(-8, 25)
    depth = min(reach + gap, rng.uniform(0.45, 0.65) * sector.depth_mm)
    across = math.tan(min(sector.half_angle, 1.0)) * (depth + 10) * rng.normal(0, 0.22)
    angle = tilt + math.pi * (rng.random() < 0.5)
    bend = rng.normal(0, 0.45) / (0.5 * long_mm)
    frame = ArcFrame((float(depth), float(across)), float(angle), float(bend))
    w = rng.normal(0, 0.03, 4).tolist()
    return Uterus(frame, long_mm, short_mm, rng.uniform(1.9, 2.6), (w[0], w[1], w[2], w[3]))


def _endometrium(
    rng: Rng, uterus: Uterus, pattern: Pattern, thickness: float, transverse: bool
) -> tuple[Uterus, Endometrium]:
    """Draw the band and, where it would fill the uterus, a larger uterus around it."""
    # However thin: outlines have 0.34 to 0.65 of the uterus. Were lines always short, a long one
    # would have to be a band. Across it is as wide as the cavity, narrow towards the cervix.
    share = rng.uniform(0.2, 0.6) if transverse else rng.uniform(0.32, 0.66)
    long_mm, short_mm = uterus.long_mm, uterus.short_mm
    thick_share = rng.uniform(0.2, 0.36)
    if thickness > thick_share * short_mm:  # a thick endometrium sits in a uterus that holds it
        grow = thickness / (thick_share * short_mm)
        uterus = replace(uterus, short_mm=short_mm * grow, long_mm=max(long_mm, short_mm * grow))
    length = max(share * uterus.long_mm, 1.8 * thickness)
    centre = uterus.frame.point(
        -rng.uniform(0.0, 0.14) * uterus.long_mm, rng.normal(0, 0.04) * uterus.short_mm
    )
    own_bend = uterus.frame.curvature * rng.uniform(0.5, 1.3) + rng.normal(0, 0.25) / length
    limit = 1.45 / length
    band = Endometrium(
        frame=ArcFrame(
            centre,
            uterus.frame.angle + float(rng.normal(0, 0.17)),
            float(np.clip(own_bend, -limit, limit)),
        ),
        length_mm=length,
        thickness_mm=float(thickness),
        rise=float(np.clip(rng.uniform(0.4, 1.4) * 0.5 * thickness / length, 0.03, 0.45)),
        fall=float(rng.uniform(0.4, 0.7) if transverse else rng.uniform(0.15, 0.85)),
        tail=float(rng.uniform(0.08, 0.8)),
        fluid_mm=float(rng.uniform(0.8, 6)) if rng.random() < 0.1 else 0.0,
        canal_mm=float(rng.uniform(0, 0.4) * long_mm) if not transverse else 0.0,
    )
    if pattern is Pattern.THIN_LINE:  # a line is even along its length
        band = replace(band, tail=float(rng.uniform(0.4, 0.9)), fluid_mm=0.0)
    # The flat part starts where the rise ends, so that the maximum is reached.
    return uterus, replace(band, fall=max(band.fall, band.rise + 0.05))


def _within(rng: Rng, uterus: Uterus, kind: Kind, semi_mm: float) -> Structure:
    """Put a structure somewhere into the uterus."""
    s = rng.uniform(-0.4, 0.4) * uterus.long_mm
    d = rng.uniform(0.2, 0.42) * rng.choice([-1, 1]) * uterus.short_mm
    if kind is Kind.NABOTHIAN_CYST:
        s, d = rng.uniform(0.3, 0.45) * uterus.long_mm, rng.uniform(-0.2, 0.2) * uterus.short_mm
    flat = rng.uniform(0.6, 1.0) if kind is Kind.FIBROID else rng.uniform(0.3, 1.0)
    semi = (float(semi_mm), float(flat * semi_mm))
    # Vessels and cysts lie along the wall.
    return Structure(kind, uterus.frame.point(float(s), float(d)), semi, uterus.frame.angle)


def _around(rng: Rng, sector: Sector, kind: Kind, semi_mm: float, flat: float) -> Structure:
    """Put a structure somewhere into the fan."""
    depth = rng.uniform(0.1, 1.0) * sector.depth_mm
    lateral = rng.uniform(-0.9, 0.9) * math.sin(sector.half_angle) * (sector.radius_mm + depth)
    if kind is Kind.BLADDER:  # beside the probe, in front of the uterus
        depth = rng.uniform(0.05, 0.35) * sector.depth_mm
    semi = (float(semi_mm), float(flat * semi_mm))
    return Structure(kind, (float(depth), float(lateral)), semi, float(rng.uniform(0, math.pi)))


def _ovary(rng: Rng, sector: Sector) -> list[Structure]:
    """Draw an ovary and the follicles in it."""
    ovary = _around(rng, sector, Kind.OVARY, rng.uniform(10, 22), rng.uniform(0.5, 0.8))
    out = [ovary]
    for _ in range(int(rng.integers(1, 8))):
        at = ovary.semi_mm[1] * rng.uniform(-0.75, 0.75, 2)
        semi = float(rng.uniform(1.5, 0.5 * ovary.semi_mm[1]))
        centre = (ovary.centre[0] + float(at[0]), ovary.centre[1] + float(at[1]))
        out.append(
            Structure(Kind.FOLLICLE, centre, (semi, semi * rng.uniform(0.7, 1.0)), ovary.angle)
        )
    return out


def _number(rng: Rng, share: float, most: int) -> int:
    """Return 0, or with probability `share` a number from 1 to `most`."""
    return int(rng.integers(1, most + 1)) if rng.random() < share else 0


def sample_surroundings(rng: Rng, sector: Sector) -> list[Structure]:
    """Draw what lies around the uterus, or takes its place."""
    out: list[Structure] = []
    for kind, share, most, (low, high), (thin, round_) in (
        (Kind.BLADDER, 0.15, 1, (6, 25), (0.3, 0.8)),
        (Kind.BOWEL_GAS, 0.5, 2, (2, 12), (0.15, 0.6)),
        (Kind.FREE_FLUID, 0.1, 1, (5, 20), (0.1, 0.4)),
    ):
        for _ in range(_number(rng, share, most)):
            semi, flat = rng.uniform(low, high), rng.uniform(thin, round_)
            out.append(_around(rng, sector, kind, semi, flat))
    if rng.random() < 0.2:
        out += _ovary(rng, sector)
    return out


def sample_contents(rng: Rng, uterus: Uterus, band: Endometrium | None) -> list[Structure]:
    """Draw what lies in the uterus. Only a polyp's size depends on the endometrium's."""
    out = [
        _within(rng, uterus, kind, rng.uniform(low, high))
        for kind, share, most, (low, high) in (
            (Kind.FIBROID, 0.2, 3, (2.5, 11)),
            (Kind.VESSEL, 0.3, 6, (0.5, 2.5)),
            (Kind.NABOTHIAN_CYST, 0.12, 2, (1, 4)),
        )
        for _ in range(_number(rng, share, most))
    ]
    if band is None:
        return out
    at = band.frame.point(float(rng.uniform(-0.25, 0.15) * band.length_mm), 0.0)
    if rng.random() < 0.06 and band.thickness_mm > 4:
        semi = float(0.5 * band.thickness_mm * rng.uniform(0.4, 0.8))
        axes = (semi * float(rng.uniform(1, 2)), semi)
        out.append(Structure(Kind.POLYP, at, axes, band.frame.angle))
    if rng.random() < 0.03:
        axes = (float(rng.uniform(0.25, 0.5) * band.length_mm), float(rng.uniform(0.4, 1.0)))
        out.append(Structure(Kind.IUD, at, axes, band.frame.angle))
    return out


def _cervix(rng: Rng, uterus: Uterus) -> tuple[Uterus, Structure]:
    """Shrink a uterus to a cervix with its canal."""
    long_mm = float(rng.uniform(26, 42))
    cervix = replace(uterus, long_mm=long_mm, short_mm=long_mm / float(rng.uniform(1.1, 1.8)))
    semi = (0.4 * long_mm, float(rng.uniform(0.3, 1.2)))
    return cervix, Structure(Kind.CANAL, uterus.frame.centre, semi, uterus.frame.angle)


def sample_empty(rng: Rng, sector: Sector, uterus: Uterus) -> Scene:
    """Draw a scene that shows no endometrium; `uterus` is what it would lie in."""
    subject = _draw(rng, EMPTY)
    structures = sample_surroundings(rng, sector)
    shown = None
    if subject is Subject.HIDDEN:
        shown = uterus
        structures += sample_contents(rng, uterus, None)
    elif subject is Subject.CERVIX:
        shown, canal = _cervix(rng, uterus)
        structures += [*sample_contents(rng, shown, None), canal]
    elif subject is Subject.OVARY:
        structures += _ovary(rng, sector)
    elif subject is Subject.BLADDER:
        semi, flat = rng.uniform(15, 35), rng.uniform(0.4, 0.9)
        structures.append(_around(rng, sector, Kind.BLADDER, semi, flat))
    return Scene(sector, shown, None, Pattern.NONE, subject, tuple(structures))


def sample_scene(rng: Rng, *, visible: float = VISIBLE, thickness_mm: float | None = None) -> Scene:
    """Draw a scene; a share `visible` shows an endometrium. `thickness_mm` fixes the truth."""
    sector = sample_sector(rng)
    empty = rng.random() >= visible and thickness_mm is None
    transverse = bool(rng.random() < 0.25)
    long_mm = rng.uniform(40, 90)
    short_mm = long_mm / rng.uniform(1.4, 2.5)
    if transverse:
        long_mm = short_mm * rng.uniform(1.0, 1.5)
    uterus = _place_uterus(rng, sector, float(long_mm), float(short_mm))
    if empty:
        return sample_empty(rng, sector, uterus)

    pattern = _draw(rng, PATTERNS)
    if thickness_mm is not None and pattern is Pattern.THIN_LINE and thickness_mm > 3:
        pattern = Pattern.HYPERECHOIC
    thickness = thickness_mm if thickness_mm is not None else sample_thickness(rng, pattern)
    uterus, band = _endometrium(rng, uterus, pattern, thickness, transverse)
    structures = sample_surroundings(rng, sector) + sample_contents(rng, uterus, band)
    subject = Subject.TRANSVERSE if transverse else Subject.SAGITTAL
    return Scene(sector, uterus, band, pattern, subject, tuple(structures))
