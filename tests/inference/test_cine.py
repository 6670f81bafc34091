"""Which frames of a cine are measured, which speaks for it, and what is said of the others."""

from dataclasses import replace

import numpy as np
import pytest
from dicom_factory import header, region, write
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from data.phantom.dicom import make_phantom, write_dicom
from imaging.clip import Clip
from imaging.grid import GridSpec, to_grid
from imaging.reasons import Reason
from inference.cine import STEADINESS, THRIFT, choose, measure_all, measure_best, summarise
from inference.clip import Settings, find_views, measure_clip
from inference.glance import Glancer, estimate
from inference.records import ClipRecord, Measurement, Status
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

BLANK = ClipRecord.failed("cine.dcm", None, "bundle", "cpu")


def measured(number, quality=0.8, mm=6.0):
    return Measurement(number, Status.MEASURED, thickness_mm=mm, quality=quality)


def refused(number, reason=Reason.NO_ENDOMETRIUM):
    return Measurement(number, Status.NOT_MEASURABLE, reason=reason, message="nothing there")


class Cine:
    """A cine of which the test knows everything, and which counts what is asked of it.

    `quality` and `mm` by frame; what has no quality is refused, frames in `damaged` cannot be
    read. A look sees the quality through `haze`.
    """

    def __init__(self, quality, mm=None, damaged=(), haze=None):
        self.quality, self.damaged = np.asarray(quality, float), damaged
        self.mm = np.full(len(self.quality), 6.0) if mm is None else np.asarray(mm, float)
        self.haze = np.zeros(len(self.quality)) if haze is None else haze
        self.looked, self.measured = [], []

    def look(self, number):
        self.looked.append(number)
        if number in self.damaged:
            return None
        return max(0.0, self.quality[number - 1] + self.haze[number - 1])

    def measure(self, number):
        self.measured.append(number)
        if number in self.damaged:
            return Measurement(number, Status.FAILED, message="damaged")
        if self.quality[number - 1] <= 0:
            return refused(number)
        return measured(number, self.quality[number - 1], self.mm[number - 1])

    def best(self):
        return measure_best(len(self.quality), self.look, self.measure)

    def every(self):
        return measure_all(len(self.quality), self.measure)


def wave(rng, frames, memory=5):
    """A quality that comes and goes within a second or so, and is a little different every time."""
    slow = ndimage.gaussian_filter1d(rng.standard_normal(frames + 100), memory)[50:-50]
    return np.clip(0.5 + 0.2 * slow / slow.std() + 0.03 * rng.standard_normal(frames), 0.02, None)


@pytest.mark.parametrize("frames", [60, 200])
def test_best_comes_to_what_all_frames_come_to(frames):
    """Where a look tells the quality roughly; at a third of the cost with looks at a quarter."""
    rng = np.random.default_rng(1)
    same, cost = [], []
    for _ in range(40):
        haze = ndimage.gaussian_filter1d(rng.standard_normal(frames), 3) * 0.1
        haze += 0.03 * rng.standard_normal(frames)
        mm = 6 + 0.15 * rng.standard_normal(frames)
        cine = Cine(wave(rng, frames), mm, haze=haze)
        best = choose(cine.best())
        cost.append((len(cine.measured) + len(cine.looked) / 4) / frames)
        same.append(abs(best.thickness_mm - choose(cine.every()).thickness_mm) <= 0.05)
    assert np.mean(same) >= 0.95
    assert np.mean(cost) <= 1 / 3


def test_every_frame_is_measured_once_and_rows_come_in_order():
    cine = Cine(wave(np.random.default_rng(3), 100))
    rows = cine.best()
    numbers = [row.frame for row in rows]
    assert numbers == sorted(set(numbers)) and sorted(cine.measured) == numbers
    assert len(numbers) < 30
    assert cine.looked == list(range(1, 101, THRIFT.stride))


@pytest.mark.parametrize("frames", [1, 2, THRIFT.short])
def test_a_short_clip_is_measured_whole_without_a_look(frames):
    cine = Cine(np.full(frames, 0.5))
    assert [row.frame for row in cine.best()] == list(range(1, frames + 1))
    assert cine.looked == []


@given(st.integers(0, 2**32 - 1), st.integers(1, 90))
def test_the_chosen_frame_has_all_its_neighbours_measured(seed, frames):
    rng = np.random.default_rng(seed)
    quality = wave(rng, frames) - 0.3
    cine = Cine(quality, rng.uniform(5, 8, frames), haze=0.2 * rng.standard_normal(frames))
    rows = {row.frame: row for row in cine.best()}
    best = choose(rows.values())
    if best is None:
        assert all(row.quality is None for row in rows.values())
        return
    assert set(STEADINESS.window(best.frame, frames)) <= rows.keys()


def test_a_jump_does_not_speak_for_the_cine():
    """The frame of the best quality is 3 mm away from what all around it say."""
    mm = np.full(9, 6.0)
    quality = np.full(9, 0.8)
    mm[4], quality[4] = 9.0, 0.95
    cine = Cine(quality, mm)
    best = choose(cine.every())
    assert best.frame != 5 and best.thickness_mm == 6.0
    mm[4] = 6.2
    assert choose(Cine(quality, mm).every()).frame == 5


def test_a_jump_is_found_out_in_a_long_cine_too():
    mm = np.full(100, 6.0)
    quality = np.full(100, 0.5)
    quality[30:40], quality[34], mm[34] = 0.8, 0.95, 9.0
    best = choose(Cine(quality, mm).best())
    assert 31 <= best.frame <= 40 and best.thickness_mm == 6.0


def test_a_cut_costs_only_the_frames_beside_it():
    rows = [measured(n, mm=6.0 if n <= 10 else 9.0) for n in range(1, 21)]
    by_number = {row.frame: row for row in rows}
    score = [STEADINESS.score(row, STEADINESS.neighbours(row, by_number)) for row in rows]
    assert [row.frame for row, each in zip(rows, score, strict=True) if each < 1] == [10, 11]


@pytest.mark.parametrize(("mm", "score"), [(6.5, 1.0), (5.5, 1.0), (7.2, 0.5), (12.0, 0.1)])
def test_twice_what_is_allowed_counts_half(mm, score):
    around = [measured(n, mm=6.0) for n in (1, 2, 4)]
    assert STEADINESS.score(measured(3, mm=mm), around) == pytest.approx(score)


def test_an_outline_that_no_neighbour_has_is_suspicious():
    rows = [refused(1), refused(2), measured(3, 0.9, 5.0), refused(4), refused(5)]
    rows += [measured(n, 0.6, 6.0) for n in range(6, 11)]
    assert choose(rows).frame == 6, "beside refused ones, too, but others agree with it"
    only = summarise(replace(BLANK, frames=5), rows[:5])
    assert only.best.frame == 3 and "just before and after" in only.best.message
    assert only.best.status is Status.NOT_MEASURABLE and only.best.reason is Reason.LOW_QUALITY
    assert only.best.thickness_mm is only.best.lower_mm is only.best.call is None
    two = summarise(replace(BLANK, frames=2), rows[1:3])
    assert two.best.thickness_mm == 5.0, "two stills may share a file"


def test_a_chosen_frame_that_disagrees_says_so():
    rows = [measured(n, mm=mm) for n, mm in ((1, 4.0), (2, 9.0), (3, 4.2))]
    rows[1] = replace(rows[1], quality=1.0)
    rows[0], rows[2] = replace(rows[0], quality=0.1), replace(rows[2], quality=0.1)
    record = summarise(replace(BLANK, frames=3), rows)
    assert record.best.frame == 2
    assert "measure 4.1 mm" in record.best.message and "outline" in record.best.message
    assert record.frames_median_mm == 4.2


def test_neighbours_that_agree_are_not_spoken_of():
    record = summarise(replace(BLANK, frames=3), [measured(n) for n in (1, 2, 3)])
    assert record.best.message is None
    assert (record.frames_measured, record.frames_median_mm, record.frames_iqr_mm) == (3, 6.0, 0.0)


def test_one_frame_has_nobody_to_disagree_with():
    record = summarise(replace(BLANK, frames=1), [measured(1)])
    assert record.best == measured(1) and record.frames_measured == 1


def test_frames_that_cannot_be_read_are_passed_over_and_told():
    quality = np.full(80, 0.3)
    quality[39:50] = 0.9
    cine = Cine(quality, damaged={1, 41, 44, 46, 80})
    rows = cine.best()
    record = summarise(replace(BLANK, frames=80), rows)
    assert record.best.status is Status.MEASURED and 40 <= record.best.frame <= 50
    failed = [row.frame for row in rows if row.status is Status.FAILED]
    assert {1, 41} <= set(failed)
    assert record.best.message == f"At least {len(failed)} of 80 frames could not be read."


def test_a_cine_of_which_nothing_can_be_read_has_failed():
    cine = Cine(np.full(50, 0.5), damaged=set(range(1, 51)))
    record = summarise(replace(BLANK, frames=50), cine.best())
    assert record.best.status is Status.FAILED and record.best.frame is None


def test_no_cine_is_refused_on_the_word_of_a_look():
    """A look that sees nothing anywhere leaves frames spread over the clip to be measured."""
    cine = Cine(np.full(100, 0.5), haze=np.full(100, -1.0))
    rows = cine.best()
    assert choose(rows).status is Status.MEASURED
    assert rows[0].frame == 1 and rows[-1].frame == 100
    assert len(rows) < 30


def test_a_cine_without_endometrium_is_refused_cheaply():
    cine = Cine(np.zeros(100))
    record = summarise(replace(BLANK, frames=100), cine.best())
    assert record.best.reason is Reason.NO_ENDOMETRIUM and record.best.frame is None
    assert record.frames_measured == 0 and len(cine.measured) < 30


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


def band_of(p, width, length=60):
    image = np.zeros((96, 96), np.float32)
    image[48 - width // 2 : 48 + (width + 1) // 2, 18 : 18 + length] = p
    return image


def test_an_estimate_falls_with_each_doubt():
    uterus = np.ones((96, 96), np.float32)
    good = estimate(band_of(0.95, 10), uterus, 0.3)
    assert good == pytest.approx(0.9, abs=0.01)
    assert estimate(band_of(0.95, 10), None, 0.3) == pytest.approx(good)
    assert estimate(band_of(0.6, 10), uterus, 0.3) == pytest.approx(0.2, abs=0.01)
    assert estimate(band_of(0.95, 10), 0.25 * uterus, 0.3) == pytest.approx(good / 2, rel=0.01)
    assert estimate(band_of(0.95, 6, 30), uterus, 0.3) < 0.7 * good
    assert estimate(band_of(0.4, 10), uterus, 0.3) == 0


def test_a_look_sees_the_picture_that_a_measurement_sees(bundle, tmp_path):
    """The sparse matrices smooth and interpolate as SimpleITK does."""
    path = tmp_path / "still.dcm"
    write_dicom(make_phantom((3,), 7.0, renderer="physical"), path)
    shown = []

    class Watching:
        device = "cpu"

        def __call__(self, batch):
            shown.append(batch[0, 0])
            return np.zeros((1, len(bundle.labels), *batch.shape[2:]), np.float32)

    with Clip.open(path) as clip:
        frame, (view,) = clip.frame(1), find_views(clip, Settings())
    assert Glancer(view, bundle, Watching())(frame) == 0
    exact = to_grid(frame.luma, view.sector, view.spacing_mm, bundle.grid)
    away = np.abs(shown[0] - exact.pixels)[exact.sector]
    assert away.mean() < 0.03 and np.corrcoef(shown[0].ravel(), exact.pixels.ravel())[0, 1] > 0.999


class Banded:
    """A runtime that sees an even band of 6 mm in everything, and counts what it was shown."""

    device = "cpu"

    def __init__(self):
        self.shown = 0

    def __call__(self, batch):
        self.shown += len(batch)
        answer = np.zeros((len(batch), 4, *batch.shape[2:]), np.float32)
        answer[:, 3] = 0.9
        answer[:, 1, 86:106, 40:152], answer[:, 3, 86:106, 40:152] = 0.9, 0.1
        answer[:, 0] = 1 - answer[:, 1:].sum(1)
        return answer


@pytest.mark.parametrize("every", [False, True])
def test_all_frames_of_a_file_are_measured_on_demand(bundle, tmp_path, every):
    """Of 40 frames every third is looked at once, and what is measured is looked at twice."""
    grid = GridSpec(192, 0.3)
    item = region(box=(0, 0, 191, 191), delta=(0.03, 0.03))
    data = header(192, 192, SequenceOfUltrasoundRegions=[item], NumberOfFrames=40)
    picture = np.random.default_rng(0).integers(60, 140, (40, 192, 192)).astype(np.uint8)
    path, runtime = write(tmp_path / "cine.dcm", data, picture.tobytes()), Banded()
    clip = measure_clip(path, replace(bundle, grid=grid), runtime, Settings(all_frames=every))
    record = clip.record
    assert record.best.thickness_mm == pytest.approx(6.0, abs=0.1) and record.frames == 40
    assert record.frames_measured == len(clip.frames)
    if every:
        assert [row.frame for row in clip.frames] == list(range(1, 41))
        assert len(clip.findings) == 40 and runtime.shown == 80
    else:
        assert 6 <= len(clip.frames) <= 12 and list(clip.findings) == [record.best.frame]
        assert runtime.shown == 14 + 2 * len(clip.frames)


def test_a_long_phantom_cine_is_measured_in_part(bundle, tmp_path):
    """A cine that is dark but for seven frames: they are found."""
    phantom = make_phantom((2,), 7.5, 3, "physical")
    frames = np.zeros((THRIFT.short + 1, *phantom.frames.shape[1:]), np.uint8)
    frames[20:27] = phantom.frames[[0, 1, 2, 2, 1, 0, 1]]
    path = tmp_path / "cine.dcm"
    write_dicom(replace(phantom, frames=frames), path)
    clip = measure_clip(path, bundle, OpenVinoRuntime(bundle))
    best = clip.record.best
    assert best.status is Status.MEASURED and 21 <= best.frame <= 27
    assert best.thickness_mm == pytest.approx(7.5, abs=1.5)
    assert len(clip.frames) <= 12 and clip.record.frames == len(frames)
