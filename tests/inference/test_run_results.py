"""What a run leaves beside its tables: DICOM results, scanner reports' values, the page."""

import csv
import json
from dataclasses import replace

import pytest
from PIL import Image
from pydicom import dcmread
from sr_factory import image, number, ob_gyn, save

from data.phantom.dicom import make_phantom, write_dicom
from inference.clip import Settings
from inference.dicom.maker import Kind
from inference.engines import Serial
from inference.run import Output, measure
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

KINDS = frozenset(Kind)
SECRET = "SURNAME^FIRST"


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def engine(bundle):
    return Serial(bundle, OpenVinoRuntime(bundle))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((2,), 7.0)


@pytest.fixture
def archive(tmp_path, phantom):
    """A clip whose patient and file have a name, its scanner's report, and a PNG."""
    folder = tmp_path / "archive"
    folder.mkdir()
    clip = folder / "Surname 7.dcm"
    write_dicom(phantom, clip)
    data = dcmread(clip)
    data.PatientName, data.PatientID = SECRET, "id-77"
    data.save_as(clip)
    report = ob_gyn(number("6.4"))
    report.StudyInstanceUID = data.StudyInstanceUID
    save(report, folder / "report.dcm")
    Image.fromarray(phantom.frames[0]).save(folder / "still.png")
    return folder


def rows(out):
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"].rpartition("/")[2]: row for row in csv.DictReader(file)}


def test_dicom_results_are_written_kept_and_taken_away(archive, bundle, engine, tmp_path):
    out = tmp_path / "out"
    run = measure([archive], bundle, engine, output=Output(out, KINDS))
    made = {path.name: path.read_bytes() for path in (out / "dicom").iterdir()}
    kinds = {name.partition("-")[2] for name in made}
    assert kinds == {"sr.dcm", "seg.dcm", "sc.dcm"}
    assert {str(dcmread(out / "dicom" / name).PatientName) for name in made} == {SECRET}
    (note,) = run.dicom_notes
    assert "PNG" in note and SECRET not in note and run.skipped == 1

    again = measure([archive], bundle, engine, output=Output(out, KINDS))
    assert again.resumed == 2 and again.dicom_notes == run.dicom_notes
    fresh = measure([archive], bundle, engine, output=Output(out, KINDS), fresh=True)
    assert fresh.resumed == 0
    assert {path.name: path.read_bytes() for path in (out / "dicom").iterdir()} == made
    measure([archive], bundle, engine, output=Output(out, frozenset({Kind.SR})))
    assert [path.name.partition("-")[2] for path in (out / "dicom").iterdir()] == ["sr.dcm"]


def test_the_sonographers_value_of_the_study_stands_beside_ours(archive, bundle, engine, tmp_path):
    out = tmp_path / "out"
    measure([archive], bundle, engine, output=Output(out))
    assert rows(out)["Surname 7.dcm"]["sonographer_mm"] == "6.4"
    assert rows(out)["still.png"]["sonographer_mm"] == ""
    measured = float(rows(out)["Surname 7.dcm"]["thickness_mm"])
    # A value of another image of the study does not count where this one's is there.
    uid = dcmread(archive / "Surname 7.dcm").SOPInstanceUID
    report = ob_gyn(number("6.4"), number("5.1", "mm", ("12145-9", "LN", "x"), image(uid)))
    report.StudyInstanceUID = dcmread(archive / "Surname 7.dcm").StudyInstanceUID
    save(report, archive / "report.dcm")
    run = measure([archive], bundle, engine, output=Output(out))
    assert rows(out)["Surname 7.dcm"]["sonographer_mm"] == "5.1" and run.resumed == 2
    assert float(rows(out)["Surname 7.dcm"]["thickness_mm"]) == measured
    (archive / "report.dcm").unlink()
    measure([archive], bundle, engine, output=Output(out))
    assert rows(out)["Surname 7.dcm"]["sonographer_mm"] == ""


def test_the_page_is_there_and_names_nobody_unless_asked(archive, bundle, engine, tmp_path):
    out = tmp_path / "out"
    measure([archive], bundle, engine, output=Output(out))
    page = (out / "report.html").read_text("utf-8")
    assert "Surname" not in page and "id-77" not in page
    measure([archive], bundle, engine, output=Output(out, names=True))
    page = (out / "report.html").read_text("utf-8")
    assert "Surname 7.dcm" in page and "id-77" in page
    summary = json.loads((out / "run.json").read_text("utf-8"))
    assert summary["complete"] and summary["counts"]["resumed"] == 2


def test_a_clip_and_its_corrected_copy_share_a_measurement(archive, bundle, engine, tmp_path):
    clip = archive / "Surname 7.dcm"
    data = dcmread(clip)
    data.PatientID = "id-78"
    data.save_as(archive / "A corrected copy.dcm")
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data.save_as(archive / "Another instance.dcm")
    out = tmp_path / "out"
    run = measure(
        [archive], bundle, engine, replace(Settings(), threshold_mm=5), output=Output(out)
    )
    found = rows(out)
    copy, original = found["A corrected copy.dcm"], found["Surname 7.dcm"]
    assert original["duplicate_of"].endswith("/A corrected copy.dcm")
    assert copy["duplicate_of"] == "" == found["Another instance.dcm"]["duplicate_of"]
    assert (copy["patient_id"], original["patient_id"]) == ("id-78", "id-77")
    assert copy["thickness_mm"] == original["thickness_mm"] != ""
    assert copy["sha256"] != original["sha256"] and copy["overlay"] == original["overlay"] != ""
    assert (out / "overlays" / copy["overlay"]).is_file()
    assert run.duplicates == 1 and run.files == 4
