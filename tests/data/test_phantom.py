import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from data.phantom import stream
from data.phantom.anatomy import ArcFrame, Endometrium, Pattern, Sector, Subject
from data.phantom.collection import TRUTH_COLUMNS, WORTH_FRAMES, write_phantoms
from data.phantom.dicom import make_phantom, write_dicom
from data.phantom.paint import Look, Place, _pattern
from data.phantom.physical import scene_labels
from data.phantom.render import LABELS, Raster, render
from data.phantom.sampling import sample_scene
from data.phantom.stream import grid_raster, sample, shows
from data.phantom.texture import Canvas, strip_share
from data.phantom.visibility import interface_contrast
from imaging.calibration import Calibration, calibrate
from imaging.clip import Clip
from imaging.grid import GridSpec
from inference.thickness import measure_thickness

SPEC = GridSpec(192, 0.45)


def scenes(number):
    rng = np.random.default_rng(4)
    return [sample_scene(rng, visible=1.0) for _ in range(number)]


@given(
    s=st.floats(-20, 20),
    d=st.floats(-8, 8),
    angle=st.floats(-3.1, 3.1),
    curvature=st.floats(-0.06, 0.06),
)
def test_arc_coordinates_are_the_inverse_of_points(s, d, angle, curvature):
    frame = ArcFrame((30.0, -4.0), angle, curvature)
    z, x = frame.point(s, d)
    found = frame.local(np.array([z]), np.array([x]))
    assert found[0][0] == pytest.approx(s, abs=1e-3)
    assert found[1][0] == pytest.approx(d, abs=1e-3)


@pytest.mark.parametrize(
    ("degrees", "orientation"),
    [(0, "level"), (29, "level"), (-170, "level"), (45, "oblique"), (-120, "steep"), (90, "steep")],
)
def test_the_orientation_is_how_steeply_it_lies(degrees, orientation):
    scene = sample_scene(np.random.default_rng(2), visible=1.0)
    frame = ArcFrame((30, 0), np.radians(degrees), 0)
    turned = replace(scene, endometrium=replace(scene.endometrium, frame=frame))
    assert turned.orientation == orientation
    assert replace(scene, endometrium=None).orientation is None


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_the_profile_reaches_the_true_thickness(seed):
    band = sample_scene(np.random.default_rng(seed), visible=1.0).endometrium
    assert band is not None
    s = np.linspace(-band.length_mm / 2, band.length_mm / 2, 4001)
    assert band.profile(s).max() == pytest.approx(1.0, abs=1e-3)
    assert band.profile(s).min() >= 0
    tissue = 2 * (band.half(s) - np.minimum(band.fluid_half(s), 4 * band.half(s)))
    assert tissue.max() <= band.thickness_mm + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_shares_of_area(seed):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    picture = render(scene, grid_raster(scene.sector, SPEC), rng)
    assert picture.labels.shape == (len(LABELS), 192, 192)
    assert np.allclose(picture.labels.sum(0), 1, atol=1e-5)
    assert picture.labels.min() >= -1e-6
    assert (picture.luma[~picture.sector] == 0).all()


def test_the_label_of_a_phantom_measures_its_truth():
    """Drawn without raggedness, the label's own thickness is the scene's, for every shape."""
    everywhere = Sector(radius_mm=0.01, half_angle=np.pi, depth_mm=300)
    errors = []
    for seed in range(30):
        rng = np.random.default_rng(1000 + seed)
        scene = replace(sample_scene(rng, visible=1.0), sector=everywhere)
        band = scene.endometrium
        assert band is not None
        middle = band.frame.centre
        raster = Raster((420, 420), (0.2, 0.2), (middle[0] - 42, middle[1] - 42))
        if band.length_mm < 78 and band.thickness_mm > 1.5:
            labels = render(scene, raster, rng, ragged_mm=0, marked=0).labels.astype(float)
            assert np.abs(labels - scene_labels(scene, raster)).max() < 1e-5  # both renderers agree
            found = measure_thickness(labels[1], (0.2, 0.2), fluid=labels[2])
            errors.append(found.thickness_mm - band.thickness_mm)
    assert len(errors) >= 15
    assert abs(np.mean(errors)) < 0.06
    assert np.percentile(np.abs(errors), 90) < 0.2


@given(half=st.floats(0, 5), offset=st.floats(-0.5, 0.5), px=st.sampled_from([0.1, 0.3, 0.45, 2.0]))
def test_the_shares_of_a_strip_add_up_to_its_width(half, offset, px):
    distance = px * (np.arange(-60, 61) + offset)
    share = strip_share(distance, np.full_like(distance, half), px)
    assert share.min() >= 0 and share.max() <= 1
    assert share.sum() * px == pytest.approx(2 * half, abs=1e-9)


def band_picture(inside, above, below, spread=8.0, thickness_mm=6.0, bright=False, shown=1.0):
    """Return the contrast of a level band of grey `inside` between two tissues; `shown` is the part
    of its length where it differs from what is below."""
    band = Endometrium(ArcFrame((0, 0), 0, 0), 40, thickness_mm, 0.1, 0.6, 0.8, 0)
    raster = Raster((160, 240), (0.3, 0.3), (-24, -36))
    field = band.field(*raster.coordinates())
    grey = np.where(np.abs(field.d) <= field.half, inside, np.where(field.d < 0, above, below))
    grey = np.where(field.s > (shown - 0.5) * band.length_mm, below, grey)
    noise = np.random.default_rng(1).normal(0, spread, grey.shape)
    luma = np.clip(grey + noise, 0, 255).astype(np.uint8)
    return interface_contrast(field, luma, np.ones(luma.shape, bool), bright=bright)


def test_an_interface_shows_by_its_difference_over_the_speckle():
    assert band_picture(120, 80, 80) == pytest.approx(40 / 8, rel=0.1)
    assert band_picture(120, 80, 80, thickness_mm=1.0) == pytest.approx(40 / 8, rel=0.1)
    assert band_picture(50, 80, 80) == pytest.approx(30 / 8, rel=0.1)  # darker shows, too
    assert band_picture(100, 98, 98) < 0.5


def test_the_fainter_interface_counts():
    assert band_picture(120, 80, 119) < 0.3
    assert band_picture(0, 0, 0) < 0.1  # all black


def test_a_shade_across_the_picture_is_no_band():
    assert band_picture(100, 60, 140) == 0
    assert band_picture(100, 140, 60) == 0


def test_a_dark_zone_shows_no_bright_band():
    assert band_picture(50, 80, 80, bright=True) == 0
    assert band_picture(120, 80, 80, bright=True) == pytest.approx(40 / 8, rel=0.1)


def test_a_band_that_shows_over_less_than_half_of_its_length_does_not_show():
    assert band_picture(160, 80, 80, shown=0.4) < 0.5
    assert band_picture(160, 80, 80, shown=0.8) == pytest.approx(80 / 8, rel=0.1)


def test_a_faint_line_is_kept_and_a_band_as_faint_is_not():
    scenes = {}
    for i in range(300):
        scene = sample_scene(np.random.default_rng(i), visible=1.0)
        scenes[scene.pattern] = scene
    raster = Raster((64, 64), (1.0, 1.0), (0, -32))
    picture = replace(
        render(scenes[Pattern.THIN_LINE], raster, np.random.default_rng(1)), contrast=0.5
    )
    kept = {pattern for pattern, scene in scenes.items() if shows(scene, picture)}
    assert kept == {Pattern.THIN_LINE} and len(scenes) == len(Pattern) - 1
    assert shows(scenes[Pattern.HYPERECHOIC], replace(picture, contrast=None))


def test_an_interface_outside_the_picture_does_not_show():
    band = Endometrium(ArcFrame((0, 0), 0, 0), 40, 6, 0.1, 0.6, 0.8, 0)
    raster = Raster((60, 60), (0.3, 0.3), (0, 0))
    luma = np.full((60, 60), 90, np.uint8)
    seen = np.ones((60, 60), bool)
    assert interface_contrast(band.field(*raster.coordinates()), luma, seen) == 0


def test_a_line_has_its_thickness_at_half_of_its_brightness():
    distance = np.linspace(0, 12, 2401, dtype=np.float32)
    half = np.where(distance < 10, np.float32(0.6), np.float32(0))
    inside = np.where(half > 0, half - distance, np.float32(-9))
    scene = next(s for s in scenes(200) if s.pattern is Pattern.THIN_LINE)
    nothing = np.zeros_like(distance)
    place = Place(*[nothing] * 4, 0.05, None, Canvas((1, distance.size), np.arange(distance.size)))
    peaked = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        soft = (inside > 0).astype(np.float32)
        add = _pattern(rng, scene, soft, distance, inside, place, Look(0.3, 0.05, 0.0))
        assert add[0] >= 0.07
        assert add[distance > 3].max() < 0.01 * add[0]
        at_the_edge = float(np.interp(0.6, distance, add)) / float(add[0])
        assert float(np.interp(0.5, distance, add)) >= 0.5 * add[0]
        if float(np.interp(0.3, distance, add)) < add[0]:
            peaked += 1
            assert at_the_edge == pytest.approx(0.5, abs=0.01)
    assert 5 <= peaked <= 18


def test_an_endometrium_is_as_long_as_real_ones_however_thin():
    # Outlines of 1,647 real ones: 0.34 to 0.65 of the uterus (2.5th and 97.5th percentile), and no
    # less for thin ones. Lines in phantoms that are always short teach that long ones are bands.
    shares = {True: [], False: []}
    for scene in scenes(3000):
        if scene.subject is Subject.SAGITTAL and scene.endometrium.thickness_mm < 10:
            share = scene.endometrium.length_mm / scene.uterus.long_mm
            shares[scene.pattern is Pattern.THIN_LINE].append(share)
    thin, thick = (np.percentile(shares[line], (2.5, 50, 97.5)) for line in (True, False))
    assert thin == pytest.approx(thick, abs=0.04)
    assert thin[0] == pytest.approx(0.34, abs=0.03)
    assert thin[1] == pytest.approx(0.49, abs=0.03)
    assert thin[2] == pytest.approx(0.65, abs=0.03)


def test_a_picture_that_hides_its_endometrium_is_drawn_again(monkeypatch):
    """With a limit that most pictures miss, every one that comes out is above it."""
    drawn = []

    def watched(*args, **options):
        drawn.append(render(*args, **options))
        return drawn[-1]

    monkeypatch.setattr(stream, "MIN_CONTRAST_BAND", 2.0)
    monkeypatch.setattr(stream, "MIN_CONTRAST_LINE", 2.0)
    monkeypatch.setattr(stream, "render", watched)
    for i in range(8):
        shown = sample(11, i, SPEC).scene.endometrium
        assert (drawn[-1].contrast is None) == (shown is None)
        assert shown is None or drawn[-1].contrast >= 2.0
    assert len(drawn) > 8


def test_the_stream_repeats_and_differs():
    one, again, other = sample(3, 7, SPEC), sample(3, 7, SPEC), sample(3, 8, SPEC)
    assert np.array_equal(one.pixels, again.pixels) and np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.pixels, other.pixels)


def test_every_pattern_and_absence_are_drawn():
    drawn = {sample_scene(np.random.default_rng(i)).pattern for i in range(300)}
    assert drawn == set(Pattern)


def test_a_phantom_is_a_readable_calibrated_clip(tmp_path):
    phantom = make_phantom((5,), 6.3, frames=3)
    path = tmp_path / "cine.dcm"
    write_dicom(phantom, path)
    header = dcmread(path, stop_before_pixels=True)
    assert header.NumberOfFrames == 3
    scale = calibrate(header, (600, 800))
    assert isinstance(scale, Calibration)
    assert scale.spacing_mm == pytest.approx((phantom.mm_per_px,) * 2)
    with Clip.open(path) as clip:
        for frame, drawn in zip(clip, phantom.frames, strict=True):
            assert np.abs(frame.luma.astype(int) - drawn).mean() < 3  # JPEG
    assert not np.array_equal(phantom.frames[0], phantom.frames[1])


def test_a_folder_of_phantoms_repeats_byte_by_byte(tmp_path):
    n = WORTH_FRAMES  # as many as several processes share
    for name, workers in (("one", 1), ("two", 2)):
        write_phantoms(tmp_path / name, n=n, seed=4, empty=0.2, unmeasurable=0.3, workers=workers)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    with (tmp_path / "one/truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(TRUTH_COLUMNS) and len(rows) == n
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    thick = [float(row["thickness_mm"]) for row in rows if row["thickness_mm"]]
    assert 8 < len(thick) < n and all(0.5 < each < 21 for each in thick)
