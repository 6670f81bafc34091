import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from data.phantom.anatomy import ArcFrame, Pattern
from data.phantom.collection import TRUTH_COLUMNS, write_phantoms
from data.phantom.dicom import make_phantom, write_dicom
from data.phantom.render import LABELS, Raster, render
from data.phantom.sampling import sample_scene
from data.phantom.stream import grid_raster, sample
from imaging.calibration import Calibration, calibrate
from imaging.clip import Clip
from imaging.grid import GridSpec
from inference.thickness import measure_thickness

SPEC = GridSpec(192, 0.45)


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
    errors = []
    for seed in range(30):
        rng = np.random.default_rng(1000 + seed)
        scene = sample_scene(rng, visible=1.0)
        band = scene.endometrium
        assert band is not None
        middle = band.frame.centre
        raster = Raster((420, 420), (0.2, 0.2), (middle[0] - 42, middle[1] - 42))
        s, d = band.frame.local(*raster.coordinates())
        half = band.half(s)
        fluid_half = np.minimum(band.fluid_half(s), 2 * band.thickness_mm * band.profile(s))
        cover = np.clip(0.5 + (half - np.abs(d)) / 0.2, 0, 1) * (half > 0)
        fluid = np.clip(0.5 + (fluid_half - np.abs(d)) / 0.2, 0, 1) * (fluid_half > 0)
        inside = band.length_mm < 78 and band.thickness_mm > 1.5
        if inside:
            found = measure_thickness(np.clip(cover - fluid, 0, 1), (0.2, 0.2), fluid=fluid)
            errors.append(found.thickness_mm - band.thickness_mm)
    assert len(errors) >= 15
    assert abs(np.mean(errors)) < 0.06
    assert np.percentile(np.abs(errors), 90) < 0.2


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
    for name in ("one", "two"):
        write_phantoms(tmp_path / name, n=2, seed=4)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    with (tmp_path / "one/truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(TRUTH_COLUMNS) and len(rows) == 2
    assert all(0.5 < float(row["thickness_mm"]) < 21 for row in rows)
