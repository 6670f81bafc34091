"""A simulated study, from phantoms through the review database to its report."""

import csv
import json

import pydicom
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.cohort import READER, READER_SD_MM
from trial.simulation import simulate

WOMEN, SEED = 3, 6


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    arguments = ["trial", "demo", str(out), "--women", str(WOMEN), "--seed", str(SEED)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_the_archive_is_the_cohorts(study):
    out, _ = study
    cohort = simulate(SEED, WOMEN)
    files = sorted((out / "scans").iterdir())
    assert len(files) == len(cohort.scans)
    for path, scan in zip(files, cohort.scans, strict=True):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.StudyInstanceUID == scan.study and header.PatientID == scan.patient_id
        assert header.StudyDate == f"{scan.date:%Y%m%d}"
    truth = json.loads((out / "truth.json").read_text("utf-8"))["scans_mm"]
    assert [truth[path.name] for path in files] == [scan.true_mm for scan in cohort.scans]
    assert len(rows(out / "visits.csv")) == len(cohort.rows)


def test_the_simulated_reader_went_through_the_review_database(study):
    out, output = study
    truth = json.loads((out / "truth.json").read_text("utf-8"))["scans_mm"]
    reviewed = rows(out / "reviewed" / "measurements-reviewed.csv")
    corrected = [each for each in reviewed if each["review"] == "corrected"]
    assert corrected and {each["reviewer"] for each in corrected} == {READER}
    for each in corrected:
        file = each["file"].rsplit("/", 1)[-1]
        assert abs(float(each["thickness_mm"]) - truth[file]) < 4.5 * READER_SD_MM
    for each in reviewed:
        if each["review"] == "accepted":
            assert each["machine_call"] != "indeterminate"
    assert f"{len(corrected)} corrected" in output
    assert all(not each["review"] for each in reviewed if each["machine_status"] != "measured")


def test_what_the_reader_settled_is_settled_in_the_screening(study):
    out, _ = study
    before, after = (rows(out / name / "screening.csv")
                     for name in ("screening-automatic", "screening"))  # fmt: skip
    assert len(before) == len(after) == WOMEN
    steps = [sum(len(each["settle_rows"].split(";")) for each in table if each["settle_rows"])
             for table in (before, after)]  # fmt: skip
    assert steps[1] < steps[0]


def test_the_report_is_of_the_checked_values(study):
    out, output = study
    assert (out / "study" / "report.html").is_file()
    origins = {each["origin"] for each in rows(out / "study" / "thickness.csv")}
    assert "review" in origins
    assert "mm at baseline" in output


def test_a_second_run_goes_on_with_what_is_there(study):
    out, _ = study
    before = (out / "study" / "analysis.json").read_bytes()
    arguments = ["trial", "demo", str(out), "--women", str(WOMEN), "--seed", str(SEED)]
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert "checked by" not in again.output
    assert (out / "study" / "analysis.json").read_bytes() == before


def test_a_folder_with_another_cohort_is_left_alone(study):
    out, _ = study
    other = CliRunner().invoke(app, ["trial", "simulate", str(out), "--women", "4"])
    assert other.exit_code == 2 and "another cohort" in other.output
    assert len(list((out / "scans").iterdir())) == len(simulate(SEED, WOMEN).scans)
