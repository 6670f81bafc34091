import csv
import os
from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inference import tables
from inference.records import CLIP_COLUMNS, FRAME_COLUMNS
from inference.tables import printable, replacing, write_csv, write_parquet

CONTRACT = [
    name
    for line in """
    file sha256 sop_instance_uid study_instance_uid patient_id acquired_at frames frame status
    reason message thickness_mm lower_mm upper_mm call threshold_mm fluid quality frames_measured
    frames_median_mm frames_iqr_mm row_mm column_mm calibration caliper_row_1 caliper_column_1
    caliper_row_2 caliper_column_2 thickness_px manufacturer manufacturer_model bundle device
    sonographer_mm duplicate_of overlay
    """.splitlines()
    for name in line.split()
]


def test_the_columns_are_the_contract():
    assert list(CLIP_COLUMNS) == CONTRACT
    assert [name for name in CONTRACT if name in FRAME_COLUMNS] == list(FRAME_COLUMNS)


def row(**values):
    return dict.fromkeys(CLIP_COLUMNS) | values


def test_csv_has_dots_and_empty_for_none(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, CLIP_COLUMNS, [row(file="ä.dcm", thickness_mm=6.25, fluid=False, frames=3)])
    assert path.read_bytes().startswith(b"file,sha256")
    with path.open(encoding="utf-8", newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["file"] == "ä.dcm" and read["thickness_mm"] == "6.25"
    assert read["fluid"] == "false" and read["frames"] == "3" and read["lower_mm"] == ""


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+A1", "-2+3", "\t=1"])
def test_a_spreadsheet_runs_nothing_that_a_file_says(tmp_path, text):
    write_csv(tmp_path / "t.csv", CLIP_COLUMNS, [row(file="a", patient_id=text)])
    with (tmp_path / "t.csv").open(newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["patient_id"] == "'" + text


@pytest.mark.parametrize("text", ["-12", "+1.5", "-0012"])
def test_plain_numbers_and_paths_stay_as_they_are(tmp_path, text):
    write_csv(tmp_path / "t.csv", CLIP_COLUMNS, [row(file="-a.dcm", patient_id=text)])
    with (tmp_path / "t.csv").open(newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["patient_id"] == text and read["file"] == "-a.dcm"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("ä.dcm", "ä.dcm"),
        (os.fsdecode(b"caf\xe9.dcm"), "caf\\xe9.dcm"),
        ("a\ud800b", "a\\ud800b"),
        ("\udce9\ud800", "\\udce9\\ud800"),
    ],
)
def test_lone_surrogates_are_spelled_out(text, safe):
    assert printable(text) == safe


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk is a device of Linux")
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_full_disk_is_an_os_error_whoever_writes(monkeypatch, write):
    """arro3 would panic, past every `except Exception`."""
    monkeypatch.setattr(tables, "replacing", nullcontext)
    with pytest.raises(OSError, match="No space"):
        write(Path("/dev/full"), CLIP_COLUMNS, [row(file="a")])


def test_parquet_keeps_types_even_when_all_is_none(tmp_path):
    path = tmp_path / "t.parquet"
    write_parquet(path, CLIP_COLUMNS, [row(file="a")])
    schema = pq.read_schema(path)
    assert schema.names == CONTRACT
    assert str(schema.field("thickness_mm").type) == "double"
    assert str(schema.field("frames").type) == "int64"
    assert str(schema.field("fluid").type) == "bool"
    write_parquet(path, CLIP_COLUMNS, [])
    assert pq.read_table(path).num_rows == 0


def test_a_failed_write_leaves_the_former_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("former")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]
