"""What goes out: a person's word wins, the machine's stays beside it, and others can read it."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydicom import dcmread
from review_run import SECRET_ID, rows_of

from app.review.export import AUDIT, READINGS, REVIEWED, Source, export
from app.review.rows import read_run
from app.review.store import Store
from inference.records import CLIP_COLUMNS, ClipRecord

LINE = [[150.0, 300.0], [180.0, 300.0]]
OUTLINE = [[[150.0, 250.0], [150.0, 450.0], [180.0, 450.0], [180.0, 250.0]]]
HOLE = [[[160.0, 270.0], [160.0, 430.0], [165.0, 430.0], [165.0, 270.0]]]


@pytest.fixture
def reviewed(seat):
    """One corrected, one accepted, one rejected, one withdrawn; and who did it."""
    person = seat(reviewer="Müller-Lüdenscheidt").enter()
    person.review(person.clip("a/one.dcm"), "reject", reason="cut_off")
    person.review(
        person.clip("a/one.dcm"),
        "correct",
        frame=1,
        calipers=LINE,
        contours=OUTLINE,
        fluid=HOLE,
        note="=1+1; the outline ran too far",
    )
    person.review(person.clip("a/two.dcm"))
    person.review(person.clip("a/cine.dcm"), "reject", reason="other", note="moved")
    person.review(person.clip("b/three.dcm"))
    person.review(person.clip("b/three.dcm"), "withdraw")
    person.review(person.clip("b/nothing.dcm"))
    return person


def put_out(person, run, out, formats=("csv", "parquet"), *, dicom=False):
    store = Store(person.desk.engine)
    return export(Source(run, read_run(run), store), out, formats, dicom=dicom)


def by_file(rows):
    return {"/".join(Path(row["file"]).parts[-2:]): row for row in rows}


def test_the_newest_review_of_every_clip_and_all_that_was_ever_saved(reviewed, run, tmp_path):
    done = put_out(reviewed, run, tmp_path / "out")
    assert (done.reviews, done.corrections, done.readings, done.notes) == (4, 1, 0, ())
    newest = by_file(rows_of(tmp_path / "out/reviews.csv"))
    assert {name: row["action"] for name, row in newest.items()} == {
        "a/one.dcm": "correct",
        "a/two.dcm": "accept",
        "a/cine.dcm": "reject",
        "b/nothing.dcm": "accept",
    }
    one = newest["a/one.dcm"]
    assert one["reviewer"] == "Müller-Lüdenscheidt" and json.loads(one["calipers"]) == LINE
    assert one["note"] == "'=1+1; the outline ran too far", "a spreadsheet runs no note"
    assert one["number"] == "2" and one["before_mm"] == ""
    audit = rows_of(tmp_path / "out/reviews-audit.csv")
    assert [row["action"] for row in audit] == [
        "reject", "correct", "accept", "reject", "accept", "withdraw", "accept"
    ]  # fmt: skip
    assert all(row["bundle_sha256"] and row["software"] for row in audit)
    table = pq.read_table(tmp_path / "out/reviews-audit.parquet")
    assert table.column_names == list(AUDIT) and table.num_rows == 7


def test_in_the_joined_table_a_person_wins_and_the_machine_stays(reviewed, run, tmp_path):
    put_out(reviewed, run, tmp_path / "out")
    before = by_file(rows_of(run / "measurements.csv"))
    rows = rows_of(tmp_path / "out/measurements-reviewed.csv")
    after = by_file(rows)
    assert list(rows[0]) == list(REVIEWED) and list(after) == list(before)
    one, machine = after["a/one.dcm"], before["a/one.dcm"]
    assert one["machine_thickness_mm"] == machine["thickness_mm"] != one["thickness_mm"]
    assert (one["lower_mm"], one["machine_lower_mm"]) == ("", machine["lower_mm"])
    assert (one["caliper_row_1"], one["status"], one["review"]) == (
        "150.0",
        "measured",
        "corrected",
    )
    assert one["reviews"] == "2" and one["fluid"] == "true"
    copy = after["b/copy.dcm"]
    assert copy["thickness_mm"] == one["thickness_mm"] and copy["review"] == "corrected"
    cine = after["a/cine.dcm"]
    assert (cine["status"], cine["thickness_mm"], cine["call"]) == ("not_measurable", "", "")
    assert cine["machine_status"] == "measured" and "another reason" in cine["message"]
    two = after["a/two.dcm"]
    assert two["thickness_mm"] == before["a/two.dcm"]["thickness_mm"]
    assert two["lower_mm"] == before["a/two.dcm"]["lower_mm"]
    three = after["b/three.dcm"]
    assert three["review"] == "" and three["reviews"] == "2", "withdrawn"
    assert {n: three[n] for n in CLIP_COLUMNS} == before["b/three.dcm"]
    for row in pq.read_table(tmp_path / "out/measurements-reviewed.parquet").to_pylist():
        assert ClipRecord.from_row(row).best.status == row["status"], "other tools read it"


def test_corrected_outlines_are_what_a_dataset_takes(reviewed, run, measured, tmp_path):
    put_out(reviewed, run, tmp_path / "out")
    items = json.loads((tmp_path / "out/corrections.json").read_text())["items"]
    assert len(items) == 1
    item, row = items[0], by_file(rows_of(run / "measurements.csv"))["a/one.dcm"]
    assert item["file"] == str(measured / "clips/a/one.dcm") and item["sha256"] == row["sha256"]
    assert item["contours"] == OUTLINE and item["fluid"] == HOLE and item["frame"] == 1
    assert item["patient"] == SECRET_ID and item["reviewer"] == "Müller-Lüdenscheidt"
    assert item["spacing"] == [float(row["row_mm"]), float(row["column_mm"])]
    assert set(item) == {
        "file", "sha256", "frame", "contours", "fluid", "reviewer", "at", "patient", "spacing"
    }  # fmt: skip


@pytest.fixture
def reports(reviewed, run, tmp_path):
    pytest.importorskip("highdicom", reason="DICOM results are the extra `dicom`")
    done = put_out(reviewed, run, tmp_path / "out", ["csv"], dicom=True)
    assert done.reports == 4 and not done.notes
    by_uid = {}
    for path in (tmp_path / "out/dicom").iterdir():
        made = dcmread(path)
        source = made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        by_uid[source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID] = path
    rows = by_file(rows_of(run / "measurements.csv"))
    return {name: by_uid.get(row["sop_instance_uid"]) for name, row in rows.items()}


def items_of(data):
    for item in data.get("ContentSequence", ()):
        yield item
        yield from items_of(item)


def codes_of(path):
    found = {}
    for item in items_of(dcmread(path)):
        if item.ValueType == "CODE":
            name = item.ConceptNameCodeSequence[0].CodeMeaning
            found[name] = item.ConceptCodeSequence[0].CodeValue
    return found


def test_a_report_says_that_a_person_measured(reports, run):
    data = dcmread(reports["a/one.dcm"])
    numbers = [i for i in items_of(data) if i.ValueType == "NUM" and "MeasuredValueSequence" in i]
    thickness = next(i for i in numbers if i.ConceptNameCodeSequence[0].CodeValue == "12145-9")
    value = thickness.MeasuredValueSequence[0]
    mm = float(by_file(rows_of(run / "measurements.csv"))["a/one.dcm"]["row_mm"])
    assert value.FloatingPointValue == pytest.approx(25 * mm)
    assert not [i for i in items_of(thickness) if i.ValueType == "NUM"], "no interval"
    line = next(i for i in items_of(thickness) if i.ValueType == "SCOORD").GraphicData
    assert list(line) == [300.5, 150.5, 300.5, 180.5]
    codes = codes_of(reports["a/one.dcm"])
    assert codes["Observer Type"] == "121006" and codes["Measurement Method"] == "BY_HAND"
    person = next(i for i in items_of(data) if i.ValueType == "PNAME")
    assert str(person.PersonName) == "Müller-Lüdenscheidt^"
    assert "Algorithm" not in reports["a/one.dcm"].read_bytes().decode("latin-1")
    assert (data.SeriesNumber, data.PatientID) == (9804, SECRET_ID)
    outlines = [
        i
        for i in items_of(data)
        if i.ValueType == "SCOORD" and len(i.GraphicData) == 2 * (len(OUTLINE[0]) + 1)
    ]
    assert len(outlines) == 1 and list(outlines[0].GraphicData[:2]) == [250.5, 150.5]


def test_a_confirmed_and_a_rejected_clip_have_reports_of_their_own(reports):
    assert codes_of(reports["a/two.dcm"])["Measurement Method"] == "CONFIRMED"
    rejected = codes_of(reports["a/cine.dcm"])
    assert rejected["Endometrium Thickness"] == "114006"
    assert rejected["Reason for no measurement"] == "OTHER"
    assert codes_of(reports["b/nothing.dcm"])["Endometrium Thickness"] == "114006"
    uids = [dcmread(path).SOPInstanceUID for path in reports.values() if path]
    assert len(set(uids)) == 4


def test_the_same_reviews_give_the_same_reports(reports, reviewed, run, tmp_path):
    put_out(reviewed, run, tmp_path / "again", ["csv"], dicom=True)
    for path in (tmp_path / "out/dicom").iterdir():
        assert (tmp_path / "again/dicom" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs dcmtk: apt-get install dcmtk")
def test_dcmtk_reads_the_reports_without_complaint(reports):
    for name, path in reports.items():
        if path is not None:
            done = subprocess.run(
                ["dsrdump", "--print-all-codes", str(path)],
                capture_output=True,
                text=True,
                check=False,
            )
            # It checks no text in UTF-8, which the name of this reviewer needs, and says so.
            said = [line for line in done.stderr.splitlines() if "ISO_IR 192" not in line]
            assert (done.returncode, said) == (0, []), name


def test_a_clip_that_has_gone_is_told_and_the_others_go_out(reviewed, run, tmp_path, measured):
    pytest.importorskip("highdicom")
    moved = tmp_path / "moved"
    shutil.copytree(measured / "clips", moved)
    (moved / "a/one.dcm").unlink()
    (moved / "b/copy.dcm").unlink()
    tables = read_run(run)
    for row in tables.rows:
        row["file"] = str(row["file"]).replace(str(measured / "clips"), str(moved))
        if row["duplicate_of"]:
            row["duplicate_of"] = str(row["duplicate_of"]).replace(
                str(measured / "clips"), str(moved)
            )
    source = Source(run, tables, Store(reviewed.desk.engine))
    done = export(source, tmp_path / "out", ["csv"], dicom=True)
    assert done.reports == 3 and "--archive" in done.notes[0] and done.corrections == 1


def test_readings_are_what_agree_takes(seat, run, tmp_path):
    expected = set()
    for name in ("anna", "berta"):
        person = seat(blind=True, seed=3, repeats=2, reviewer=name).enter()
        for case in person.desk._order(next(iter(person.desk.sessions._sessions.values()))).cases:
            if not case.entry.file.endswith(("one.dcm", "nothing.dcm")):
                continue
            clip = person.json(f"/api/clip/{case.id}")
            if case.entry.file.endswith("nothing.dcm"):
                person.review(clip, "reject", reason="not_visible")
                expected.add((case.entry.row["sha256"][:16], name, str(case.replicate), "reject"))
            else:
                person.review(clip, "correct", frame=1, calipers=[[100, 300], [99, 310]])
                again = clip | {"version": 1}
                person.review(again, "correct", frame=1, calipers=LINE)
                expected.add((case.entry.row["sha256"][:16], name, str(case.replicate), "correct"))
    done = put_out(person, run, tmp_path / "out", ["parquet"])
    assert done.readings == 8 and "under way" in done.notes[0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "readings.csv",
        "readings.parquet",
    ], "while the study is blind nothing else goes out"
    rows = rows_of(tmp_path / "out/readings.csv")
    assert list(rows[0]) == list(READINGS)
    assert {(r["case"], r["reader"], r["replicate"], r["action"]) for r in rows} == expected
    numbers = {r["thickness_mm"][:6] for r in rows}
    assert len(numbers) == 2 and "" in numbers, "the newest of each"
    assert SECRET_ID not in (tmp_path / "out/readings.csv").read_text()
    person.desk.store.open_study("x")
    assert put_out(person, run, tmp_path / "later").reviews == 0
    assert (tmp_path / "later/reviews.csv").exists() and (tmp_path / "later/readings.csv").exists()


def test_nothing_reviewed_gives_empty_tables(seat, run, tmp_path):
    done = put_out(seat().enter(), run, tmp_path / "out")
    assert done.reviews == 0 and rows_of(tmp_path / "out/reviews.csv") == []
    assert len(rows_of(tmp_path / "out/measurements-reviewed.csv")) == 8
    assert not (tmp_path / "out/readings.csv").exists()
