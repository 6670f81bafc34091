import csv
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - what its own documentation calls it

from data.discover import Found, Skipped, discover
from data.phantom.acoustics import (
    Interface,
    Medium,
    Probe,
    beam_grid,
    look,
    point_spread,
    scatterers,
    tilt_of,
    transmission_db,
)
from data.phantom.anatomy import Kind, Pattern, Sector, Structure, Subject
from data.phantom.collection import TRUTH_COLUMNS, write_phantoms
from data.phantom.dicom import make_phantom, raster_of
from data.phantom.physical import render_physical, scene_labels
from data.phantom.render import LABELS, Raster
from data.phantom.simus import ELEMENTS, FREQUENCY_HZ, _array, _beamform
from data.phantom.testscenes import physical_scene
from inference.thickness import measure_thickness

FAN = Sector(11.0, 0.9, 45.0)
PROBE = Probe(6.5, 0.22, 2.5, 11.0, 22.0, 30.0, 1.7)
GRID = beam_grid(FAN)
IN_FAN = (GRID.distance > 2) & (GRID.distance < 43)


def medium(backscatter=0.0, loss=None, clutter=-90.0, interfaces=()):
    even = np.zeros(GRID.shape, np.float32)
    return Medium(
        even + backscatter, even if loss is None else loss, even + clutter, tuple(interfaces)
    )


def echo(what, steer=0.0, seed=1):
    return look(GRID, PROBE, what, scatterers(GRID, seed, 28.0), steer, (seed, 0, 0))


def scene_of(seed, **wanted):
    rng = np.random.default_rng([77, seed])
    while True:
        scene = physical_scene(rng, None, 0.0, True)
        if all(getattr(scene, name) == value for name, value in wanted.items()):
            return scene


@pytest.mark.parametrize("steer", [0.0, 0.15])
def test_speckle_is_rayleigh_of_unit_intensity(steer):
    size = np.abs(echo(medium(), steer))[IN_FAN]
    assert (size**2).mean() == pytest.approx(1.0, abs=0.08)
    # Mean over deviation is 1.91 for Rayleigh, a little less for a finite number of points.
    assert size.mean() / size.std() == pytest.approx(1.87, abs=0.09)
    assert np.median(size**2) == pytest.approx(math.log(2), abs=0.06)
    # Near and far alike: the density of scatterers cancels.
    near, far = size[: len(size) // 4], size[-len(size) // 4 :]
    assert (near**2).mean() == pytest.approx((far**2).mean(), rel=0.2)


def test_looks_from_different_angles_have_different_speckle():
    one, other, again = (
        np.abs(echo(medium(), steer))[IN_FAN].ravel() for steer in (-0.1, 0.1, -0.1)
    )
    assert np.array_equal(one, again)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


def test_the_beam_is_narrow_in_focus_and_as_wide_as_stated():
    widths = []
    for at in (10.0, 22.0, 40.0):
        row = int(np.argmin(np.abs(GRID.distance - at)))
        field = np.zeros(GRID.shape, np.complex64)
        field[row, GRID.shape[1] // 2] = 1
        power = np.abs(point_spread(GRID, PROBE, field)[row]) ** 2
        step = float(GRID.arc_mm[row, 0])
        x = step * np.arange(len(power))
        mean = (power * x).sum() / power.sum()
        widths.append(math.sqrt(2 * (power * (x - mean) ** 2).sum() / power.sum()))
    assert widths[1] == pytest.approx(float(PROBE.lateral_sd_mm(np.array([22.0]))[0]), rel=0.05)
    assert widths[2] > 1.3 * widths[1]


def test_an_interface_is_heard_at_right_angles():
    # Level ground under a fan: normal to the middle beam, slanting for those at the rim.
    tilt = tilt_of(GRID, GRID.depth - 25)
    middle = GRID.shape[1] // 2
    assert abs(tilt[100, middle]) < 0.02
    assert np.abs(tilt[100, [3, -4]]) == pytest.approx(np.abs(GRID.angle[[3, -4]]), abs=0.03)
    layer = np.exp(-(((GRID.depth - 25) / 0.2) ** 2)).astype(np.float32)
    heard = np.abs(echo(medium(-60, interfaces=[Interface(100 * layer, tilt, 0.3)])))
    along = heard.max(axis=0)
    centre, rim = along[middle - 20 : middle + 20].mean(), along[np.abs(GRID.angle) > 0.75].mean()
    assert rim < 0.25 * centre
    # A beam steered towards the normal hears the slope again.
    steered = np.abs(echo(medium(-60, interfaces=[Interface(100 * layer, tilt, 0.3)]), 0.4))
    side = slice(np.argmin(np.abs(GRID.angle - 0.4)) - 10, None)
    assert steered.max(0)[side].max() != pytest.approx(along[side].max(), rel=0.05)


def test_a_stone_throws_a_shadow_along_the_beam():
    distance, angle = GRID.distance[:, None], GRID.angle[None]
    stone = ((np.abs(distance - 15) < 1) & (np.abs(angle) < 0.15)).astype(np.float32)
    image = np.abs(echo(medium(loss=8 * stone))) ** 2
    behind = (distance > 20) & (np.abs(angle) < 0.08) & (distance < 43)
    beside = (distance > 20) & (np.abs(angle) > 0.4) & (distance < 43)
    before = (distance > 3) & (distance < 12) & (np.abs(angle) < 0.08)
    dark = 10 * np.log10(image[behind].mean() / image[beside].mean())
    assert dark == pytest.approx(-16, abs=2)
    assert image[before].mean() == pytest.approx(image[beside].mean(), rel=0.25)
    # Where fluid took nothing away from the sound, what lies behind is brighter.
    image = np.abs(echo(medium(loss=-2 * stone))) ** 2
    assert 10 * np.log10(image[behind].mean() / image[beside].mean()) == pytest.approx(4, abs=1.5)
    # Seen at an angle, the shadow falls to the side.
    total = transmission_db(GRID, 8 * stone, 0.2)
    row = int(np.argmin(np.abs(GRID.distance - 40)))
    assert abs((total[row] * GRID.angle).sum() / total[row].sum()) > 0.05


def test_speckle_changes_slowly_from_frame_to_frame():
    def picture(frame):
        return scatterers(GRID, 5, 5.0, frame).strength

    first, next_, later = picture(0), picture(1), picture(10)
    assert np.corrcoef(first, next_)[0, 1] > 0.85
    assert abs(np.corrcoef(first, later)[0, 1]) < 0.05


def test_a_picture_repeats_and_its_labels_are_shares():
    scene = scene_of(1)
    raster = raster_of(scene.sector)
    one, again = (render_physical(scene, raster, np.random.default_rng(4)) for _ in range(2))
    other = render_physical(scene, raster, np.random.default_rng(5))
    assert np.array_equal(one.luma, again.luma) and not np.array_equal(one.luma, other.luma)
    assert one.labels.shape == (len(LABELS), *raster.shape)
    assert np.allclose(one.labels.sum(0), 1, atol=1e-5) and one.labels.min() > -1e-6
    assert (one.luma[~one.sector] == 0).all()
    assert 20 < one.luma[one.sector].mean() < 150


def test_the_labels_measure_the_truth():
    errors = []
    for seed in range(14):
        rng = np.random.default_rng([31, seed])
        scene = physical_scene(rng, None, 0.0, True)
        raster = raster_of(scene.sector)
        fine = Raster(
            (2 * raster.shape[0], 2 * raster.shape[1]),
            (raster.spacing_mm[0] / 2, raster.spacing_mm[1] / 2),
            raster.origin_mm,
        )
        labels = scene_labels(scene, fine)
        found = measure_thickness(labels[1], fine.spacing_mm, fluid=labels[2])
        errors.append(found.thickness_mm - scene.true_thickness_mm)
    assert np.abs(errors).max() < 0.15, errors
    assert abs(np.mean(errors)) < 0.06


def test_fluid_is_dark_and_bladders_brighten_what_lies_behind():
    scene = scene_of(2, subject=Subject.SAGITTAL)
    bladder = Structure(Kind.BLADDER, (25.0, 0.0), (9.0, 7.0), 0.0)
    sector = Sector(11.0, 1.0, 60.0)
    scene = replace(
        scene, sector=sector, uterus=None, endometrium=None, pattern=Pattern.NONE,
        structures=(bladder,),
    )  # fmt: skip
    raster = raster_of(sector)
    at = raster.coordinates()
    dark, change = [], []
    for seed in range(4):
        luma = render_physical(scene, raster, np.random.default_rng(seed)).luma
        inside = bladder.inside(*at) > 2
        behind = (np.abs(at[1]) < 4) & (at[0] > 34) & (at[0] < 40)
        beside = (np.abs(at[1]) > 18) & (np.abs(at[1]) < 25) & (at[0] > 28) & (at[0] < 36)
        dark.append(luma[inside].mean() / luma[beside].mean())
        change.append(luma[behind].mean() - luma[beside].mean())
    assert np.mean(dark) < 0.3
    assert np.mean(change) > 0


def test_gas_hides_what_lies_behind():
    gas = Structure(Kind.BOWEL_GAS, (18.0, 0.0), (6.0, 2.0), 0.0)
    sector = Sector(11.0, 1.0, 60.0)
    scene = replace(
        scene_of(3), sector=sector, uterus=None, endometrium=None, pattern=Pattern.NONE,
        structures=(gas,),
    )  # fmt: skip
    raster = raster_of(sector)
    depth, lateral = raster.coordinates()
    luma = render_physical(scene, raster, np.random.default_rng(0)).luma
    behind = (np.abs(lateral) < 3) & (depth > 40) & (depth < 55)
    beside = (np.abs(lateral) > 25) & (depth > 25) & (depth < 40) & (luma > 0)
    assert luma[behind].mean() < 0.6 * luma[beside].mean()


@pytest.mark.parametrize(
    "pattern", [Pattern.HYPERECHOIC, Pattern.THIN_LINE, Pattern.LINE_IN_BAND, Pattern.THREE_LAYER]
)
def test_patterns_stand_out_from_the_myometrium(pattern):
    """On average: single pictures may be as poor as real ones."""
    differences = []
    for seed in range(6):
        scene = scene_of(seed, pattern=pattern)
        picture = render_physical(scene, raster_of(scene.sector), np.random.default_rng(seed))
        band = scene.endometrium
        depth, lateral = raster_of(scene.sector).coordinates()
        s, d = band.frame.local(depth, lateral)
        ring = (np.abs(d) > band.half(s) + 1) & (np.abs(d) < band.half(s) + 4)
        ring &= (np.abs(s) < 0.4 * band.length_mm) & (picture.labels[3] > 0.9)
        inside = picture.labels[1] > 0.5
        differences.append(picture.luma[inside].mean() - picture.luma[ring].mean())
    assert np.mean(differences) > {Pattern.THREE_LAYER: 4}.get(pattern, 10), differences


def test_physical_phantoms_show_any_pattern_and_subject():
    scenes = [
        physical_scene(np.random.default_rng([9, i]), None, 0.0, i % 2 == 0) for i in range(160)
    ]
    assert {scene.pattern for scene in scenes} == set(Pattern)
    assert {scene.subject for scene in scenes} == set(Subject)
    assert any(math.isfinite(scene.sector.right_mm) for scene in scenes)


def test_the_label_of_a_clip_measures_its_truth(tmp_path):
    rows = write_phantoms(tmp_path, n=4, seed=8, renderer="physical", empty=0.5)
    with (tmp_path / "truth.csv").open() as file:
        read = list(csv.DictReader(file))
    assert read == rows and tuple(read[0]) == TRUTH_COLUMNS
    kinds = {row["thickness_mm"] != "" for row in rows}
    assert kinds == {True, False}
    for row in rows:
        image = sitk.ReadImage(str(tmp_path / row["label"]))
        label = sitk.GetArrayFromImage(image)
        assert image.GetSpacing() == pytest.approx((float(row["mm_per_px"]),) * 2, abs=1e-6)
        assert label.shape == (600, 800) and label.dtype == np.uint8
        if not row["thickness_mm"]:
            assert not label.any() and row["pattern"] == "none"
            continue
        mm = float(row["mm_per_px"])
        found = measure_thickness(
            (label == 1).astype(float), (mm, mm), fluid=(label == 2).astype(float)
        )
        assert found.thickness_mm == pytest.approx(float(row["thickness_mm"]), abs=0.35)


def test_labels_are_not_taken_for_clips(tmp_path):
    write_phantoms(tmp_path, n=1, seed=8, renderer="physical")
    found = list(discover([tmp_path]))
    assert [item.source.path.name for item in found if isinstance(item, Found)] == [
        "phantom-0001.dcm"
    ]
    skipped = {item.source.path.name for item in found if isinstance(item, Skipped)}
    assert skipped == {"phantom-0001.label.nrrd", "truth.csv"}


def test_a_physical_cine_keeps_its_thickness_while_it_moves():
    cine = make_phantom((2,), 7.5, 3, "physical")
    still = make_phantom((2,), 7.5, 3, "physical")
    assert np.array_equal(cine.frames, still.frames)
    assert cine.scene.true_thickness_mm == 7.5
    one, two, three = cine.frames.astype(float)
    assert 1 < np.abs(one - two).mean() < np.abs(one - three).mean()


def test_an_unknown_renderer_is_named():
    with pytest.raises(ValueError, match="paint"):
        make_phantom((1,), renderer="paint")


def test_the_slow_renderer_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymust", None)
    with pytest.raises(ImportError, match=r"pip install 'endometer\[simus\]'"):
        make_phantom((1,), renderer="simus")


@pytest.mark.parametrize("point", [(20.0, 0.0), (28.0, 14.0)])
def test_delay_and_sum_finds_a_point(point):
    grid, source, rate = beam_grid(Sector(11.0, 0.9, 35.0)), (-11.0, 2.0), 20e6
    _, depth, lateral, _ = _array(grid)
    away = np.hypot(depth - source[0], lateral - source[1]).min()
    there = np.hypot(point[0] - source[0], point[1] - source[1]) - away
    delay = (there + np.hypot(point[0] - depth, point[1] - lateral)) / 1.54e6
    times = np.arange(1400)[:, None] / rate
    echoes = np.exp(-(((times - delay) / 2e-7) ** 2) - 2j * np.pi * FREQUENCY_HZ * delay)
    assert echoes.shape == (1400, ELEMENTS)
    image = _beamform(grid, echoes.astype(np.complex64), rate, source)
    peak = np.unravel_index(image.argmax(), image.shape)
    assert (grid.depth[peak], grid.lateral[peak]) == pytest.approx(point, abs=0.35)
