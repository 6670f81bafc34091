"""Whole runs: real DICOM files made here, the shipped network, every way of going wrong."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dicom_factory import SECRET_ID, SECRET_NAME, header, region, speckle, write
from PIL import Image
from pydicom import dcmread

from data.phantom.dicom import make_phantom, write_dicom
from imaging.calibration import user_calibration
from imaging.reasons import Reason
from inference.clip import Settings, measure_clip
from inference.engines import Serial
from inference.overlay import neighbourhood
from inference.records import CLIP_COLUMNS, FRAME_COLUMNS, Call, Status
from inference.run import measure as run_measure
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

TRUE_MM = 7.0
SEED = 2


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def runtime(bundle):
    return OpenVinoRuntime(bundle)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((SEED,), TRUE_MM, frames=1)


@pytest.fixture
def still(tmp_path, phantom):
    path = tmp_path / "clips/still.dcm"
    path.parent.mkdir()
    write_dicom(phantom, path)
    return path


def measure(sources, bundle, runtime, *settings, **options):
    return run_measure(sources, bundle, Serial(bundle, runtime), *settings, **options)


def edit(path: Path, change, name="edited.dcm") -> Path:
    data = dcmread(path)
    change(data)
    data.save_as(path.parent / name)
    return path.parent / name


def test_a_phantom_is_measured_in_millimetres(still, bundle, runtime):
    clip = measure_clip(still, bundle, runtime)
    best = clip.record.best
    assert best.status is Status.MEASURED
    assert best.thickness_mm == pytest.approx(TRUE_MM, abs=1.0)
    assert best.lower_mm < best.thickness_mm < best.upper_mm
    assert best.calibration == "ultrasound_region" and best.row_mm == best.column_mm
    calipers = np.array(
        [
            [best.caliper_row_1, best.caliper_column_1],
            [best.caliper_row_2, best.caliper_column_2],
        ]
    )
    length_px = np.hypot(*(calipers[1] - calipers[0]))
    assert length_px * best.row_mm == pytest.approx(best.thickness_mm, abs=1e-6)
    assert length_px == pytest.approx(best.thickness_px, abs=1e-6)


def test_calipers_that_a_person_left_are_told_and_not_followed(still, bundle, runtime):
    """White crosses 12 mm apart beside the endometrium of 7 mm."""
    bare = measure_clip(still, bundle, runtime).record.best
    middle = (bare.caliper_row_1 + bare.caliper_row_2) / 2
    aside = (bare.caliper_column_1 + bare.caliper_column_2) / 2 + 5 / bare.column_mm
    rows = [round(middle + k * 6 / bare.row_mm) for k in (-1, 1)]

    def mark(data):
        frame = data.pixel_array.copy()
        for row in rows:
            frame[row - 5 : row + 6, round(aside)] = 235
            frame[row, round(aside) - 5 : round(aside) + 6] = 235
        frame[rows[0] : rows[1] : 4, round(aside)] = 235
        data.PixelData = frame.tobytes()

    found = measure_clip(edit(still, mark), bundle, runtime).record.best
    assert bare.sonographer_mm is None
    assert found.sonographer_mm == pytest.approx(12.0, abs=0.5)
    assert found.thickness_mm == pytest.approx(bare.thickness_mm, abs=0.3)


def without_ruler(data):
    frame = data.pixel_array.copy()
    frame[:, 750:] = 0
    data.PixelData = frame.tobytes()


def test_the_scale_scales_the_thickness(still, bundle, runtime):
    """The same pixels under a scale 1.1 times as large are 1.1 times as thick, roughly: the
    network sees another size, but no cache and no default may stand between."""

    def change(data):
        item = data.SequenceOfUltrasoundRegions[0]
        item.PhysicalDeltaX, item.PhysicalDeltaY = (
            item.PhysicalDeltaX * 1.1,
            -(item.PhysicalDeltaY * 1.1),
        )

    bare = edit(still, without_ruler)  # which would tell that the larger scale is wrong
    one = measure_clip(bare, bundle, runtime).record.best
    other = measure_clip(edit(bare, change), bundle, runtime).record.best
    assert other.row_mm == pytest.approx(1.1 * one.row_mm)
    assert other.thickness_mm == pytest.approx(1.1 * one.thickness_mm, rel=0.05)


def test_without_calibration_there_are_pixels_and_no_millimetres(still, bundle, runtime):
    path = edit(still, lambda data: delattr(data, "SequenceOfUltrasoundRegions"))
    best = measure_clip(path, bundle, runtime).record.best
    assert best.status is Status.NOT_MEASURABLE and best.reason is Reason.NO_CALIBRATION
    assert best.thickness_mm is best.lower_mm is best.call is best.row_mm is None
    assert best.thickness_px is not None and best.thickness_px > 5
    assert "--spacing" in best.message


def test_the_users_spacing_serves_only_files_that_carry_none(still, bundle, runtime, phantom):
    bare = edit(still, lambda data: delattr(data, "SequenceOfUltrasoundRegions"))
    mm = phantom.mm_per_px
    settings = Settings(user=user_calibration(mm, mm))
    best = measure_clip(bare, bundle, runtime, settings).record.best
    assert best.calibration == "user"
    assert best.thickness_mm == pytest.approx(TRUE_MM, abs=1.0)
    wrong = Settings(user=user_calibration(0.5, 0.5))
    own = measure_clip(still, bundle, runtime, wrong).record.best
    assert own.calibration == "ultrasound_region"
    assert own.row_mm == pytest.approx(mm)


def test_a_scale_that_the_ruler_contradicts_is_refused(still, bundle, runtime):
    def change(data):
        item = data.SequenceOfUltrasoundRegions[0]
        item.PhysicalDeltaX = item.PhysicalDeltaY = item.PhysicalDeltaX * factor

    for factor, fits in ((1.02, True), (1.05, False), (0.5, False)):
        best = measure_clip(edit(still, change), bundle, runtime).record.best
        assert (best.reason is not Reason.IMPLAUSIBLE_CALIBRATION) == fits, factor
        if not fits:
            assert best.thickness_mm is best.lower_mm is best.call is best.row_mm is None
            assert "ruler" in best.message and "header says" in best.message


def test_the_ruler_is_a_source_where_it_is_allowed(still, bundle, runtime, phantom):
    bare = edit(still, lambda data: delattr(data, "SequenceOfUltrasoundRegions"))
    stated = measure_clip(still, bundle, runtime).record.best
    clip = measure_clip(bare, bundle, runtime, Settings(allow_ruler=True))
    best = clip.record.best
    assert best.calibration == "ruler"
    assert best.row_mm == best.column_mm == pytest.approx(phantom.mm_per_px, rel=0.003)
    if best.thickness_mm is not None and stated.thickness_mm is not None:
        _, above = bundle.intervals.reach(best.thickness_mm, clip.findings[1].spread_mm)
        assert best.upper_mm - best.thickness_mm > above + 0.03 * best.thickness_mm
    blind = measure_clip(edit(bare, without_ruler), bundle, runtime, Settings(allow_ruler=True))
    assert blind.record.best.reason is Reason.NO_CALIBRATION
    own = measure_clip(still, bundle, runtime, Settings(allow_ruler=True)).record.best
    assert own.calibration == "ultrasound_region"


def test_a_resized_export_is_refused(still, bundle, runtime):
    def halve(data):
        small = data.pixel_array[::2, ::2].copy()
        data.Rows, data.Columns = small.shape
        data.PixelData = small.tobytes()

    best = measure_clip(edit(still, halve), bundle, runtime).record.best
    assert best.reason is Reason.IMPLAUSIBLE_CALIBRATION and best.thickness_mm is None


def test_two_scales_in_one_picture_are_refused(still, bundle, runtime):
    def double(data):
        import copy

        other = copy.deepcopy(data.SequenceOfUltrasoundRegions[0])
        other.PhysicalDeltaX = other.PhysicalDeltaY = 2 * other.PhysicalDeltaX
        data.SequenceOfUltrasoundRegions.append(other)

    best = measure_clip(edit(still, double), bundle, runtime).record.best
    assert best.reason is Reason.AMBIGUOUS_CALIBRATION and best.thickness_mm is None


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_regions_the_one_that_holds_the_outline_decides(tmp_path, bundle, runtime, first):
    """A dual screen with different scales: the endometrium is on one side, noise on the other."""
    phantom = make_phantom((SEED,), TRUE_MM)
    frame = phantom.frames[0]
    rng = np.random.default_rng(0)
    other = np.zeros_like(frame)
    other[100:400, 150:650] = rng.integers(30, 60, (300, 500))
    sides = [frame, other] if first == 0 else [other, frame]
    picture = np.concatenate(sides, 1)
    rows, columns = frame.shape
    items = []
    for i in range(2):
        delta = phantom.mm_per_px / 10 if i == first else 0.031
        box = (55, i * columns + 60, rows - 25, i * columns + 719)
        items.append(region(box=box, delta=(delta, delta)))
    data = header(rows, 2 * columns, SequenceOfUltrasoundRegions=items)
    path = write(tmp_path / "dual.dcm", data, picture.tobytes())
    best = measure_clip(path, bundle, runtime).record.best
    assert best.status is Status.MEASURED, best.message
    assert best.row_mm == pytest.approx(phantom.mm_per_px)
    assert best.thickness_mm == pytest.approx(TRUE_MM, abs=1.0)
    assert (best.caliper_column_1 > columns) == (first == 1)


def test_unequal_pixels_measure_the_same(still, bundle, runtime):
    """Columns squeezed to 60 %: rows and columns have different scales, millimetres do not care."""

    def squeeze(data):
        frame = Image.fromarray(data.pixel_array)
        narrow = np.asarray(frame.resize((480, 600), Image.Resampling.BICUBIC))
        data.Columns = 480
        data.PixelData = narrow.tobytes()
        item = data.SequenceOfUltrasoundRegions[0]
        item.PhysicalDeltaX = item.PhysicalDeltaX / 0.6
        item.RegionLocationMinX0 = round(item.RegionLocationMinX0 * 0.6)
        item.RegionLocationMaxX1 = round(item.RegionLocationMaxX1 * 0.6)

    one = measure_clip(still, bundle, runtime).record.best
    other = measure_clip(edit(still, squeeze), bundle, runtime).record.best
    assert other.column_mm == pytest.approx(other.row_mm / 0.6)
    assert other.thickness_mm == pytest.approx(one.thickness_mm, abs=0.4)


def test_noise_and_empty_screens_are_refused(tmp_path, bundle, runtime):
    rng = np.random.default_rng(0)
    for name, frame in {
        "black": np.zeros((400, 500), np.uint8),
        "noise": rng.integers(0, 255, (400, 500)).astype(np.uint8),
    }.items():
        item = region(box=(0, 0, 399, 499), delta=(0.02, 0.02))
        path = write(
            tmp_path / f"{name}.dcm",
            header(400, 500, SequenceOfUltrasoundRegions=[item]),
            frame.tobytes(),
        )
        best = measure_clip(path, bundle, runtime).record.best
        assert best.status is Status.NOT_MEASURABLE, name
        assert best.reason in (Reason.NOT_BMODE, Reason.NO_ENDOMETRIUM, Reason.LOW_QUALITY)
        assert best.row_mm == pytest.approx(0.2) or best.reason is Reason.NOT_BMODE


def test_a_cine_speaks_through_its_best_frame(tmp_path, bundle, runtime):
    path = tmp_path / "cine.dcm"
    write_dicom(make_phantom((SEED,), TRUE_MM, frames=5), path)
    clip = measure_clip(path, bundle, runtime, Settings(all_frames=True))
    record, measured = clip.record, [f for f in clip.frames if f.status is Status.MEASURED]
    assert [f.frame for f in clip.frames] == [1, 2, 3, 4, 5]
    assert record.frames == 5 and record.frames_measured == len(measured) >= 4
    assert record.best in clip.frames
    assert record.best.quality == max(f.quality for f in measured)
    values = [f.thickness_mm for f in measured]
    assert record.frames_median_mm == pytest.approx(np.median(values))
    assert record.frames_iqr_mm == pytest.approx(np.subtract(*np.percentile(values, [75, 25])))
    assert set(clip.findings) >= {f.frame for f in measured}
    only_best = measure_clip(path, bundle, runtime)
    assert list(only_best.findings) == [record.best.frame]
    assert only_best.record == record


def test_a_damaged_frame_costs_only_itself(tmp_path, bundle, runtime):
    path = tmp_path / "cine.dcm"
    write_dicom(make_phantom((SEED,), TRUE_MM, frames=3), path)
    content = bytearray(path.read_bytes())
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd8\xff") + 3)
    content[second : second + 20] = bytes(20)
    path.write_bytes(content)
    clip = measure_clip(path, bundle, runtime)
    assert [f.status for f in clip.frames].count(Status.FAILED) == 1
    assert clip.record.best.status is Status.MEASURED
    assert "1 of 3 frames could not be read" in clip.record.best.message


BROKEN = {
    "zero.dcm": (lambda raw: b"", "empty"),
    "cut.dcm": (lambda raw: raw[: len(raw) // 2], "truncated|cut|ends"),
    "text.dcm": (lambda raw: b"this is a letter about a patient", "no DICOM|not DICOM"),
}
LIES = {
    "rows.dcm": ("Rows", 6000),
    "columns.dcm": ("Columns", 799),
    "frames.dcm": ("NumberOfFrames", 40),
    "bits.dcm": ("BitsAllocated", 16),
}
DELTAS = {
    "zero-delta.dcm": (0.0, Reason.NO_CALIBRATION),
    "minus-one.dcm": (-1.0, Reason.IMPLAUSIBLE_CALIBRATION),
    "million.dcm": (1e6, Reason.IMPLAUSIBLE_CALIBRATION),
    "nan.dcm": (float("nan"), Reason.IMPLAUSIBLE_CALIBRATION),
}


def test_a_batch_of_broken_files_is_done_to_its_end(still, bundle, runtime, tmp_path):
    folder = still.parent
    raw = still.read_bytes()
    for name, (damage, _) in BROKEN.items():
        (folder / name).write_bytes(damage(raw))
    for name, (keyword, value) in LIES.items():
        edit(still, lambda data, k=keyword, v=value: setattr(data, k, v), name)
    for name, (delta, _) in DELTAS.items():

        def put(data, delta=delta):
            item = data.SequenceOfUltrasoundRegions[0]
            item.PhysicalDeltaX = item.PhysicalDeltaY = delta

        edit(still, put, name)
    (folder / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    run = measure([folder], bundle, runtime, out=out)
    rows = {Path(r.file).name: r.best for r in run.records}
    assert set(rows) == {"still.dcm", *BROKEN, *LIES, *DELTAS} and run.skipped == 1
    assert rows["still.dcm"].status is Status.MEASURED
    messages = set()
    for name in (*BROKEN, *LIES):
        assert rows[name].status is Status.FAILED, name
        messages.add(rows[name].message)
    assert len(messages) == len(BROKEN) + len(LIES), "every fault has its own message"
    for name, (_, reason) in DELTAS.items():
        assert rows[name].status is Status.NOT_MEASURABLE, name
        assert rows[name].reason is reason, (name, rows[name].message)
        assert rows[name].thickness_mm is None
    assert run.failed == len(BROKEN) + len(LIES)


def test_a_fault_of_the_program_ends_no_batch_and_tells_nothing(still, bundle, runtime, tmp_path):
    class Broken:
        device = "cpu"

        def __call__(self, batch):
            raise RuntimeError(f"something with {SECRET_NAME}")

    run = measure([still], bundle, Broken(), out=tmp_path / "out")
    (record,) = run.records
    assert record.best.status is Status.FAILED and record.sha256
    assert "RuntimeError at test_run.py" in record.best.message
    assert SECRET_NAME not in (tmp_path / "out/measurements.csv").read_text()


def test_a_report_beside_the_clips_is_skipped_and_one_that_is_named_fails(still, bundle, runtime):
    report = still.parent / "report.dcm"

    def strip(data):
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
        data.Modality = "SR"
        for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated"):
            delattr(data, keyword)

    edit(still, strip, report.name)
    run = measure([still.parent], bundle, runtime)
    assert len(run.records) == 1 and run.skipped == 1 and run.failed == 0
    run = measure([report], bundle, runtime)
    assert run.failed == 1
    assert "Comprehensive SR" in run.records[0].best.message


@pytest.mark.parametrize("length", [200, 390, 700])
def test_a_clip_cut_within_its_header_is_failed_and_not_skipped(still, bundle, runtime, length):
    (still.parent / "cut.dcm").write_bytes(still.read_bytes()[:length])
    run = measure([still.parent], bundle, runtime)
    assert run.failed == 1 and run.skipped == 0


def test_what_a_run_leaves(still, bundle, runtime, tmp_path):
    write_dicom(make_phantom((SEED,), TRUE_MM, frames=2), still.parent / "cine.dcm")
    (still.parent / "broken.dcm").write_bytes(b"")
    out = tmp_path / "out"
    measure([still.parent], bundle, runtime, out=out)
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CLIP_COLUMNS)
    assert [r["file"] for r in rows] == sorted(r["file"] for r in rows)
    table = pq.read_table(out / "measurements.parquet").to_pylist()
    for text, typed in zip(rows, table, strict=True):
        assert text["file"] == typed["file"] and text["status"] == typed["status"]
        assert text["thickness_mm"] == (
            "" if typed["thickness_mm"] is None else str(typed["thickness_mm"])
        )
    frames = pq.read_table(out / "frames.parquet")
    assert frames.column_names == list(FRAME_COLUMNS)
    assert frames.num_rows == 3
    summary = json.loads((out / "run.json").read_text())
    assert summary["bundle"]["sha256"] == bundle.sha256
    assert summary["counts"]["status"] == {"failed": 1, "measured": 2}
    assert sum(summary["counts"]["call"].values()) == 2
    assert summary["settings"]["threshold_mm"] == 6.0 and summary["seconds"] > 0
    measured = [r for r in rows if r["status"] == "measured"]
    names = {r["overlay"] for r in measured}
    assert {p.name for p in (out / "overlays").iterdir()} == names
    assert sorted(p.name for p in out.iterdir()) == [
        "frames.parquet",
        "ledger.sqlite",
        "measurements.csv",
        "measurements.parquet",
        "overlays",
        "run.json",
    ]


def test_two_runs_give_the_same_tables(still, bundle, runtime, tmp_path):
    for name in ("one", "two"):
        measure([still.parent], bundle, runtime, out=tmp_path / name)
    for name in ("measurements.csv", "measurements.parquet", "frames.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_overlay_shows_outline_and_calipers_but_no_writing(still, bundle, runtime, tmp_path):
    """Burned-in text lies outside the sector; a name there must not be in the picture."""
    measure([still], bundle, runtime, out=tmp_path)
    (path,) = (tmp_path / "overlays").iterdir()
    picture = np.asarray(Image.open(path))
    assert Image.open(path).info == {}
    coloured = np.ptp(picture.astype(int), axis=2) > 60
    assert coloured.sum() > 500

    def blank(data):
        frame = data.pixel_array.copy()
        frame[:50] = 0  # the header line of the screen
        data.PixelData = frame.tobytes()

    again = tmp_path / "again"
    measure([edit(still, blank)], bundle, runtime, out=again)
    (other,) = (again / "overlays").iterdir()
    assert np.array_equal(picture, np.asarray(Image.open(other)))


def test_without_a_region_only_the_outlines_neighbourhood_is_shown(
    still, bundle, runtime, tmp_path
):
    """Where the picture is guessed from the pixels, writing beside it could be taken for it."""
    measure([still], bundle, runtime, out=tmp_path / "one")
    bare = edit(still, lambda data: delattr(data, "SequenceOfUltrasoundRegions"))
    measure([bare], bundle, runtime, out=tmp_path / "two")
    shown = [
        np.asarray(Image.open(next((tmp_path / name / "overlays").iterdir())).convert("L"))
        for name in ("one", "two")
    ]
    clip = measure_clip(bare, bundle, runtime)
    (finding,) = clip.findings.values()
    near = neighbourhood(clip.sector, finding)
    assert near.sum() < 0.8 * clip.sector.sum()
    outline = np.concatenate(finding.outline).round().astype(int)
    assert near[outline[:, 0], outline[:, 1]].mean() > 0.99
    assert shown[0].shape != shown[1].shape


def test_identities_stay_in_the_table_and_can_be_hashed(tmp_path, bundle, runtime, capfd):
    frame = speckle(300, 400)
    path = write(tmp_path / "a.dcm", header(300, 400), frame.tobytes())
    broken = tmp_path / "b.dcm"
    broken.write_bytes(path.read_bytes()[:-1000])
    out = tmp_path / "out"
    key, other_key = Settings(pseudonym_key=b"k" * 32), Settings(pseudonym_key=b"j" * 32)
    run = measure([path, broken], bundle, runtime, key, out=out)
    assert run.records[0].identity.patient_id not in (None, SECRET_ID)
    same = measure([path], bundle, runtime, key)
    other = measure([path], bundle, runtime, other_key)
    assert same.records[0].identity == run.records[0].identity
    assert other.records[0].identity != run.records[0].identity
    captured = capfd.readouterr()
    written = [p.read_bytes() for p in out.rglob("*") if p.is_file()]
    for secret in (SECRET_ID, SECRET_NAME):
        assert secret not in captured.out + captured.err
        assert not any(secret.encode() in content for content in written)
    plain = measure([path], bundle, runtime)
    assert plain.records[0].identity.patient_id == SECRET_ID


def test_a_png_is_measured_with_the_users_scale_only(tmp_path, bundle, runtime, phantom):
    path = tmp_path / "still.png"
    Image.fromarray(phantom.frames[0]).save(path, dpi=(25.4, 25.4))  # 1 mm: must not be believed
    refused = measure_clip(path, bundle, runtime).record.best
    assert refused.reason is Reason.NO_CALIBRATION
    scale = user_calibration(phantom.mm_per_px, phantom.mm_per_px)
    best = measure_clip(path, bundle, runtime, Settings(user=scale)).record.best
    assert best.thickness_mm == pytest.approx(TRUE_MM, abs=1.0)
    assert best.call in set(Call)


def test_coloured_calipers_do_not_move_the_measurement(still, bundle, runtime, tmp_path, phantom):
    """Somebody's calipers, drawn at a wrong place, are taken out before the network sees them."""
    one = measure_clip(still, bundle, runtime).record.best
    colour = np.stack([phantom.frames[0]] * 3, -1)
    row = round((one.caliper_row_1 + one.caliper_row_2) / 2)
    column = round((one.caliper_column_1 + one.caliper_column_2) / 2)
    for r in (row - 45, row + 30):
        colour[r - 1 : r + 2, column - 8 : column + 9] = (255, 220, 0)
        colour[r - 8 : r + 9, column - 1 : column + 2] = (255, 220, 0)

    def paint(data):
        data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
        data.PlanarConfiguration = 0
        data.PixelData = colour.tobytes()

    other = measure_clip(edit(still, paint), bundle, runtime).record.best
    assert other.thickness_mm == pytest.approx(one.thickness_mm, abs=0.4)
