"""Scenes for test objects: what an examiner would save, at an endocavity preset."""

import math
from dataclasses import replace

import numpy as np

from data.phantom.anatomy import ArcFrame, Kind, Pattern, Rng, Scene, Sector, Structure
from data.phantom.render import Picture
from data.phantom.sampling import sample_scene
from data.phantom.stream import shows

# A randomised test object must show what it is about: difference of the mean grey levels of band
# and surroundings over the spread of the surroundings. Real ones have 0.4 to 2.4, half of them
# 1.5; where layers and lines carry the pattern the means may be closer.
MIN_CONTRAST = 1.2
MIN_CONTRAST_LAYERED = 0.6
# A screen that cuts the fan leaves this much around the endometrium, or it does not cut.
KEPT_MM = 3.0


def legible_scene(rng: Rng, thickness_mm: float | None, sweep_mm: float) -> Scene:
    """Draw a scene for renderer 1: the whole endometrium lies within the fan, also when it moves
    sideways by `sweep_mm`, and its pattern is one that can be seen.
    """
    while True:
        scene = sample_scene(rng, visible=1.0, thickness_mm=thickness_mm)
        scene = replace(scene, sector=_preset(rng))
        if scene.pattern is not Pattern.ISOECHOIC and _within(scene, sweep_mm):
            return scene


def physical_scene(rng: Rng, thickness_mm: float | None, sweep_mm: float, visible: bool) -> Scene:
    """Draw a scene for renderer 2: any subject and any pattern, isoechoic ones among them.

    Only scenes whose endometrium leaves the fan are drawn again: how well it shows is the test.
    """
    while True:
        scene = sample_scene(rng, visible=float(visible), thickness_mm=thickness_mm)
        cut = scene.sector
        scene = replace(scene, sector=_preset(rng))
        if not visible:
            return _cut(scene, cut)
        if _within(scene, sweep_mm):
            lit = tuple(each for each in scene.structures if not _hides(each, scene))
            scene = replace(scene, structures=lit)
            narrow = _cut(scene, cut)
            return narrow if _within(narrow, sweep_mm) else scene


def _preset(rng: Rng) -> Sector:
    radius, half_angle = rng.uniform(10, 13), math.radians(rng.uniform(55, 72))
    return Sector(radius, half_angle, rng.uniform(50, 75))


def _cut(scene: Scene, like: Sector) -> Scene:
    """Cut the fan off where another one is."""
    return replace(
        scene, sector=replace(scene.sector, left_mm=like.left_mm, right_mm=like.right_mm)
    )


def _outline(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and lateral (mm) of six points just outside the endometrium."""
    band = scene.endometrium
    if band is None:
        raise ValueError("the scene shows no endometrium")
    margin = 0.5 * band.thickness_mm + band.fluid_mm / 2 + 2
    ends = [
        band.frame.point(s, d)
        for s in (-band.length_mm / 2, 0.0, band.length_mm / 2)
        for d in (-margin, margin)
    ]
    depth, lateral = zip(*ends, strict=True)
    return np.array(depth), np.array(lateral)


def _within(scene: Scene, sweep_mm: float) -> bool:
    """Tell whether all of the endometrium is in the fan wherever a sweep brings it."""
    depth, lateral = (np.tile(axis, 2) for axis in _outline(scene))
    lateral = lateral + np.repeat([-sweep_mm, sweep_mm], len(lateral) // 2)
    sector = scene.sector
    distance, angle = sector.polar(depth, lateral)
    return bool(
        distance.min() > 4
        and distance.max() < sector.depth_mm - 3
        and np.abs(angle).max() < sector.half_angle - 0.08
        and lateral.min() > sector.left_mm + KEPT_MM
        and lateral.max() < sector.right_mm - KEPT_MM
    )


def _hides(structure: Structure, scene: Scene) -> bool:
    """Tell whether a structure is gas in front of the endometrium: nobody measures behind it."""
    if structure.kind is not Kind.BOWEL_GAS:
        return False
    far, beams = scene.sector.polar(*_outline(scene))
    at = np.asarray(structure.centre[0]), np.asarray(structure.centre[1])
    distance, beam = (float(each) for each in scene.sector.polar(*at))
    width = math.atan2(max(structure.semi_mm), scene.sector.radius_mm + max(distance, 0.0))
    return (
        distance - max(structure.semi_mm) < float(far.max())
        and float(beams.min()) - width < beam < float(beams.max()) + width
    )


def legible(scene: Scene, picture: Picture) -> bool:
    """Tell whether the picture shows its endometrium as in training, and more: band and
    surroundings differ enough, and are neither black nor white."""
    from scipy import ndimage

    if not shows(scene, picture):
        return False
    band = picture.labels[1] > 0.5
    ring = ndimage.binary_dilation(band, iterations=20) & (picture.labels[3] > 0.5)
    if not band.any() or not ring.any():
        return False
    inside, around = float(picture.luma[band].mean()), float(picture.luma[ring].mean())
    contrast = abs(inside - around) / max(float(picture.luma[ring].std()), 1.0)
    layered = scene.pattern in (Pattern.THREE_LAYER, Pattern.LINE_IN_BAND)
    wanted = MIN_CONTRAST_LAYERED if layered else MIN_CONTRAST
    return contrast >= wanted and 25 < around < 150 and 25 < inside < 235


def moved(scene: Scene, shift_mm: tuple[float, float], turn: float = 0.0) -> Scene:
    """Shift the uterus and all that lies in it by mm (depth, lateral) and turn them by rad about
    its middle, as a small sweep of the probe does."""
    uterus, band = scene.uterus, scene.endometrium
    if uterus is None:
        return scene
    middle, cosine, sine = uterus.frame.centre, math.cos(turn), math.sin(turn)

    def at(centre: tuple[float, float]) -> tuple[float, float]:
        z, x = centre[0] - middle[0], centre[1] - middle[1]
        return (
            middle[0] + cosine * z + sine * x + shift_mm[0],
            middle[1] + cosine * x - sine * z + shift_mm[1],
        )

    def place(frame: ArcFrame) -> ArcFrame:
        return replace(frame, centre=at(frame.centre), angle=frame.angle + turn)

    uterus = replace(uterus, frame=place(uterus.frame))
    if band is not None:
        band = replace(band, frame=place(band.frame))
    structures = tuple(
        replace(each, centre=at(each.centre), angle=each.angle + turn)
        if each.kind.in_uterus or each.kind.in_cavity
        else each
        for each in scene.structures
    )
    return replace(scene, uterus=uterus, endometrium=band, structures=structures)
