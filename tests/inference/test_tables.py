import csv

import pyarrow.parquet as pq
import pytest

from inference.records import CLIP_COLUMNS, FRAME_COLUMNS
from inference.tables import replacing, write_csv, write_parquet

CONTRACT = [
    name
    for line in """
    file sha256 sop_instance_uid study_instance_uid patient_id acquired_at frames frame status
    reason message thickness_mm lower_mm upper_mm call threshold_mm fluid quality frames_measured
    frames_median_mm frames_iqr_mm row_mm column_mm calibration caliper_row_1 caliper_column_1
    caliper_row_2 caliper_column_2 thickness_px manufacturer manufacturer_model bundle device
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


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1", "-2+3", "\t=1"])
def test_a_spreadsheet_runs_nothing_that_a_file_says(tmp_path, text):
    write_csv(tmp_path / "t.csv", CLIP_COLUMNS, [row(file="a", patient_id=text)])
    with (tmp_path / "t.csv").open(newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["patient_id"] == "'" + text


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
