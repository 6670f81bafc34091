"""Furniture: what of a screen reaches the network, and that none of it tells the thickness."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data.phantom import furniture, render, stream
from data.phantom.anatomy import Sector
from data.phantom.dicom import BOX_HEIGHT, BOX_LEFT, BOX_TOP, BOX_WIDTH, make_phantom, raster_of
from data.phantom.furniture import REACH_MM, Fan, Furniture, furnish
from data.phantom.sampling import sample_scene
from data.phantom.stream import grid_raster, sample
from imaging.grid import GridSpec
from imaging.sector import find_sector

SPEC = GridSpec(96, 0.8)
ALL = dict.fromkeys(Furniture, 1.0)


def fan_on(sector, raster):
    depth, lateral = raster.coordinates()
    distance, angle = sector.polar(depth, lateral)
    mask = sector.contains(depth, lateral)
    return Fan(sector, mask, distance, angle, lateral, raster.spacing_mm, raster.origin_mm)


def drawn(seed, monkeypatch, shares, **changes):
    """Return the picture of a scene and what was on its screen."""
    monkeypatch.setattr(furniture, "SHARES", shares)
    screens = []

    def watched(*args):
        screens.append(furnish(*args))
        return screens[-1]

    monkeypatch.setattr(render, "furnish", watched)
    scene = sample_scene(np.random.default_rng([6, seed]), visible=1.0)
    scene = replace(scene, **changes)
    rng = np.random.default_rng([7, seed])
    picture = render.render(scene, grid_raster(scene.sector, SPEC), rng)
    return picture, screens[-1]


@pytest.mark.parametrize("seed", range(4))
def test_the_anatomy_does_not_move_the_furniture(monkeypatch, seed):
    """Another thickness, another pattern, no uterus at all: the same things in the same places."""
    _, screen = drawn(seed, monkeypatch, ALL)
    band = sample_scene(np.random.default_rng([6, seed]), visible=1.0).endometrium
    thick = replace(band, thickness_mm=2.5 * band.thickness_mm)
    for changes in ({"endometrium": thick}, {"uterus": None, "endometrium": None}):
        _, other = drawn(seed, monkeypatch, ALL, **changes)
        assert other.kinds == screen.kinds == frozenset(Furniture)
        assert np.array_equal(other.seen, screen.seen)
        assert np.array_equal(other.covered, screen.covered)
        assert np.array_equal(other.luma[screen.covered], screen.luma[screen.covered])


def test_presence_tells_nothing_about_the_thickness_in_the_stream(monkeypatch):
    """Also after pictures that hide their endometrium were drawn again. A share of a half each
    makes the test as sharp as it can be: 3.5 standard errors of a correlation."""
    monkeypatch.setattr(furniture, "SHARES", dict.fromkeys(Furniture, 0.5))
    shown = []

    def watched(*args, **options):
        shown.append(render.render(*args, **options))
        return shown[-1]

    monkeypatch.setattr(stream, "render", watched)
    thickness, present = [], []
    for i in range(250):
        truth = sample(23, i, GridSpec(48, 1.6)).scene.true_thickness_mm
        if truth is not None:
            thickness.append(truth)
            present.append([kind in shown[-1].furniture for kind in Furniture])
    limit = 3.5 / math.sqrt(len(thickness))
    for kind, presence in zip(Furniture, np.transpose(present), strict=True):
        assert abs(presence.mean() - 0.5) < 0.5 * limit, kind
        assert abs(np.corrcoef(presence, thickness)[0, 1]) < limit, kind


@pytest.mark.parametrize("kind", Furniture)
def test_every_kind_reaches_the_network(monkeypatch, kind):
    changed = 0
    for seed in range(10):
        plain, _ = drawn(seed, monkeypatch, {})
        with_it, screen = drawn(seed, monkeypatch, {kind: 1.0})
        assert screen.kinds == with_it.furniture == {kind}
        both = plain.sector & with_it.sector
        changed += bool((plain.luma != with_it.luma)[both].sum() > 5)
    assert changed >= 4


@pytest.mark.parametrize("kind", [Furniture.GREY_BAR, Furniture.SECOND_IMAGE])
def test_what_is_covered_is_no_endometrium(monkeypatch, kind):
    covered = 0
    for seed in range(10):
        picture, screen = drawn(seed, monkeypatch, {kind: 1.0})
        assert (picture.labels[0][screen.covered] == 1).all()
        covered += screen.covered.sum()
        assert (picture.luma[~picture.sector] == 0).all()
        assert np.allclose(picture.labels.sum(0), 1, atol=1e-5)
    assert covered > 100


def test_without_furniture_the_sector_is_the_fan():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scene = sample_scene(rng)
        raster = grid_raster(scene.sector, SPEC)
        picture = render.render(scene, raster, rng, marked=0.0)
        assert not picture.furniture
        assert np.array_equal(picture.sector, scene.sector.contains(*raster.coordinates()))


@pytest.mark.parametrize("seed", (1, 3))
def test_the_mask_reaches_as_far_as_that_of_a_real_frame(seed):
    """What is found in a frame lies between the fan and the furthest that a training mask goes."""
    phantom = make_phantom((12, seed))
    fan = fan_on(phantom.scene.sector, raster_of(phantom.scene.sector))
    box = np.s_[BOX_TOP : BOX_TOP + BOX_HEIGHT, BOX_LEFT : BOX_LEFT + BOX_WIDTH]
    found = find_sector(phantom.frames[0])[box]
    reached = fan.reached(REACH_MM)
    assert np.mean(found[fan.mask]) > 0.999
    assert np.mean(reached[found]) > 0.999
    # The gap below the probe belongs to the hull, and a mask that only grows would not have it.
    gap = fan.reached(0.0) & ~fan.mask
    assert gap.sum() > 300 and np.mean(found[gap]) > 0.9


class Plain:
    """A generator that gives the middle of a range, the last of a list, and never what is rare."""

    def random(self):
        return 0.99

    def uniform(self, low, high):
        return (low + high) / 2

    def choice(self, values):
        return values[-1]


def test_ticks_lie_at_true_depths():
    sector = Sector(11, math.radians(60), 62)
    fan = fan_on(sector, grid_raster(sector, GridSpec(512, 0.15)))
    ink = Image.new("L", fan.mask.shape[::-1])
    furniture.PENS[Furniture.RULER](Plain(), ImageDraw.Draw(ink), fan)
    rows = np.flatnonzero(np.asarray(ink).any(1))
    depth = fan.origin_mm[0] + rows * fan.spacing_mm[0]
    assert depth == pytest.approx(10 * np.arange(7), abs=0.15)


def test_a_tint_is_a_rising_curve():
    for seed in range(20):
        curve = furniture._tint(np.random.default_rng(seed)).astype(int)
        assert curve[0] == 0 and curve.shape == (256,)
        assert (np.diff(curve) >= 0).all() and curve[-1] >= 200
