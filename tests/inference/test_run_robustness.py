"""A run that meets bad names, full disks, interruptions and its own output. No network is needed:
every file counts as measured in the same place."""

import csv
import errno
import json
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from dicom_factory import header, speckle, write
from PIL import Image

from inference import jobs as module
from inference.clip import MeasuredClip, Settings
from inference.engines import Serial
from inference.records import Call, ClipRecord, Measurement, Status
from inference.run import Output, OutputError, UnusableOutputError, measure

BUNDLE = SimpleNamespace(name="none", sha256="0" * 64, min_quality=0.1, intervals=None)
RUNTIME = SimpleNamespace(device="cpu")
STALE = "0123456789abcdef-frame0001.png"


@pytest.fixture(autouse=True)
def pretended(monkeypatch):
    """Stands for the network: a measurement, drawn as a black picture."""

    def measure_clip(source, bundle, runtime, settings, digest):
        mm = {"thickness_mm": 7.0, "lower_mm": 6.0, "upper_mm": 8.0, "threshold_mm": 6.0}
        best = Measurement(1, Status.MEASURED, call=Call.NOT_THIN, quality=0.9, **mm)
        record = ClipRecord(
            source.name, digest, None, 1, best, 1, 7.0, 0.0, bundle.name, runtime.device
        )
        if source.path.stem.startswith("report"):
            return MeasuredClip(record, (), {}, None, no_image=True)
        sector = np.ones((48, 64), bool)
        return MeasuredClip(record, (best,), {1: object()}, sector, in_region=True)

    monkeypatch.setattr(module, "measure_clip", measure_clip)
    monkeypatch.setattr(module, "draw_overlay", lambda *_: Image.new("RGB", (8, 8)))


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for seed, name in enumerate(("a.dcm", "b.dcm", "c.dcm")):
        write(folder / name, header(48, 64, PatientID="p"), speckle(seed=seed).tobytes())
    return folder


class Told:
    """Calls a function with every clip."""

    def __init__(self, clip):
        self.clip, self.total = clip, lambda clips: None


def go(*sources, out=None, settings=None, on_clip=None):
    return measure(
        sources,
        BUNDLE,
        Serial(BUNDLE, RUNTIME),
        settings,
        output=Output(out) if out else None,
        watcher=Told(on_clip) if on_clip else None,
    )


def files(out):
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as file:
        return [row["file"].rpartition("/")[2] for row in csv.DictReader(file)]


def summary(out):
    return json.loads((out / "run.json").read_text("utf-8"))


def test_names_and_headers_that_are_no_text_reach_every_table(clips, tmp_path):
    odd = clips / os.fsdecode(b"caf\xe9.dcm")
    try:
        (clips / "a.dcm").rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    empty = tmp_path / os.fsdecode(b"\xff")
    empty.mkdir()
    out, seen = tmp_path / "out", []
    run = go(clips, empty, out=out, on_clip=lambda record: seen.append(json.dumps(record.row())))
    assert files(out) == ["b.dcm", "c.dcm", "caf\\xe9.dcm"]
    assert run.complete
    for name in ("measurements.parquet", "frames.parquet"):
        table = pq.read_table(out / name).to_pylist()
        assert table[2]["file"].endswith("caf\\xe9.dcm")
    assert summary(out)["counts"]["empty_sources"][0].endswith("\\xff")
    assert not any("\\udc" in row for row in seen)
    go(clips, settings=Settings(pseudonym_key=b"k" * 32))


def test_what_was_measured_is_written_when_the_user_interrupts(clips, tmp_path):
    def on_clip(record):
        if record.file.endswith("b.dcm"):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        go(clips, out=out, on_clip=on_clip)
    assert files(out) == ["a.dcm", "b.dcm"] and summary(out)["complete"] is False
    go(clips, out=out)
    assert summary(out)["complete"] is True


def test_a_disk_that_fills_up_ends_the_run_with_what_was_measured(clips, tmp_path, monkeypatch):
    real, out = module.save_overlay, tmp_path / "out"

    def save(picture, path):
        if len(list(path.parent.glob("*.png"))) == 1:
            path.write_bytes(b"half a picture")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(picture, path)

    monkeypatch.setattr(module, "save_overlay", save)
    with pytest.raises(OutputError, match=r"overlays/.*: No space left.*free space") as error:
        go(clips, out=out)
    assert not isinstance(error.value, UnusableOutputError)
    assert files(out) == ["a.dcm"], "b is measured again when there is room"
    assert len(list((out / "overlays").iterdir())) == 1, "no half picture"
    monkeypatch.setattr(module, "save_overlay", real)
    run = go(clips, out=out)
    assert run.resumed == 1 and files(out) == ["a.dcm", "b.dcm", "c.dcm"]


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), OSError("encoder error -2")])
@pytest.mark.parametrize("where", ["draw_overlay", "save_overlay"])
def test_a_picture_that_cannot_be_drawn_costs_only_itself(
    clips, tmp_path, monkeypatch, error, where
):
    def fail(*_):
        raise error

    monkeypatch.setattr(module, where, fail)
    run = go(clips, out=tmp_path / "out")
    assert [r.best.status for r in run.records] == [Status.MEASURED] * 3
    assert summary(tmp_path / "out")["counts"]["overlays_missing"] == 3
    assert list((tmp_path / "out/overlays").iterdir()) == []


@pytest.mark.parametrize("below", ["", "/deep/er"])
def test_an_output_folder_that_cannot_be_is_found_before_anything_is_measured(
    clips, tmp_path, below
):
    (tmp_path / "file").touch()
    seen = []
    with pytest.raises(UnusableOutputError, match="is a file" if not below else "cannot be"):
        go(clips, out=tmp_path / f"file{below}", on_clip=seen.append)
    assert seen == []


@pytest.mark.parametrize("folder", ["", "overlays"])
def test_a_full_disk_is_found_before_anything_is_measured(clips, tmp_path, monkeypatch, folder):
    from inference import tables

    real, seen, out = tables.TemporaryFile, [], tmp_path / "out"

    def full(dir, **options):
        if dir == out / folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(dir=dir, **options)

    monkeypatch.setattr(tables, "TemporaryFile", full)
    with pytest.raises(UnusableOutputError, match="No space left"):
        go(clips, out=out, on_clip=seen.append)
    assert seen == []


def test_a_table_that_cannot_be_replaced_keeps_no_other_from_being_written(clips, tmp_path):
    """As on a computer where a spreadsheet program has the former table open."""
    out = tmp_path / "out"
    (out / "measurements.csv").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"measurements\.csv cannot be written"):
        go(clips, out=out)
    assert pq.read_table(out / "measurements.parquet").num_rows == 3
    assert summary(out)["counts"]["files"] == 3


def test_results_among_the_clips_are_no_clips(clips):
    for _ in range(2):
        assert len(go(clips, out=clips).records) == 3
    assert len(list((clips / "overlays").iterdir())) == 3


def test_overlays_of_a_former_run_are_taken_away_and_nothing_else(clips, tmp_path):
    out = tmp_path / "out"
    (out / "overlays").mkdir(parents=True)
    kept = ("notes.txt", "my-frame0001.png", f"{STALE}.txt")
    for name in (STALE, *kept):
        (out / "overlays" / name).touch()
    run = go(clips / "a.dcm", out=out)
    new = run.records[0].overlay
    assert {p.name for p in (out / "overlays").iterdir()} == {new, *kept}


def test_a_run_that_finds_nothing_leaves_everything_as_it_was(tmp_path):
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    (out / "overlays").mkdir(parents=True)
    (out / "overlays" / STALE).touch()
    assert go(empty, out=out).empty_sources == [str(empty)]
    assert [p for p in out.rglob("*") if p.is_file()] == [out / "overlays" / STALE]


def test_clips_in_a_zip_have_rows_and_pictures(clips, tmp_path):
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(clips / "a.dcm", "x/a.dcm")
    run = go(tmp_path / "clips.zip", out=tmp_path / "out")
    assert [r.file for r in run.records] == [f"{tmp_path.as_posix()}/clips.zip/x/a.dcm"]
    assert run.overlays_missing == 0 and len(list((tmp_path / "out/overlays").iterdir())) == 1


def test_folders_without_images_and_archives_are_counted(clips, tmp_path):
    for name in ("empty", "reports"):
        (tmp_path / name).mkdir()
    (tmp_path / "reports/report.dcm").touch()
    (clips / "more.rar").touch()
    sources = [tmp_path / name for name in ("empty", "clips", "reports", "clips")]
    run = go(*sources, out=tmp_path / "out")
    counts = summary(tmp_path / "out")["counts"]
    assert counts["empty_sources"] == [str(tmp_path / "empty"), str(tmp_path / "reports")]
    assert counts["archives"] == run.archives == 1 and counts["skipped"] == 2
    assert run.failed == 0
