"""`endometer deidentify` as people and scripts call it: words, exit statuses, files."""

import csv
import hashlib
import json
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from app.cli import app
from benchmarks.planted import draw_texts, encode
from data.phantom.dicom import make_phantom, write_dicom
from inference.clip import measure_clip
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

NAME = "MUSTERMANN"


def call(*arguments):
    return CliRunner().invoke(app, ["deidentify", *map(str, arguments)])


@pytest.fixture(scope="module")
def picture():
    return make_phantom((2, 2), 8.0)


@pytest.fixture
def archive(picture, tmp_path):
    """Two clips of one woman, one with writing in the image, a broken file, a text."""
    folder = tmp_path / "in"
    (folder / NAME).mkdir(parents=True)
    for n in (1, 2):
        write_dicom(picture, folder / NAME / f"{n}.dcm",
                    {"PatientID": "4711", "PatientName": f"{NAME}^Erika",
                     "StudyDate": f"2024050{n}", "SOPInstanceUID": f"1.2.3.{n}",
                     "StudyInstanceUID": f"1.2.4.{n}"})  # fmt: skip
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.3.9"
    data.StudyInstanceUID = data.SeriesInstanceUID = "1.2.4.9"
    data.Modality, data.PatientID = "US", "4711"
    frame = draw_texts(picture.frames[0], [(NAME, 20, (300, 330))])
    encode(data, frame[None], "MONOCHROME2", ExplicitVRLittleEndian, folder / "inside.dcm")
    (folder / "broken.dcm").write_bytes((folder / NAME / "1.dcm").read_bytes()[:90_000])
    (folder / "notes.txt").write_text(NAME)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("0123456789abcdef0123456789abcdef")
    return folder


@pytest.fixture
def key(tmp_path):
    return tmp_path / "secret" / "key"


def files(out):
    return sorted(path for path in Path(out).rglob("*") if path.is_file())


def test_a_broken_file_is_listed_and_the_rest_goes_on(archive, key, tmp_path):
    done = call(archive, tmp_path / "out", "--key", key)
    assert done.exit_code == 1
    assert "2 files are in" in done.stdout
    assert "1 held back for a person to look at, 1 failed, 1 are no images." in done.stdout
    assert "broken.dcm" in done.stderr
    assert "inside.dcm: There is writing in the ultrasound image" in done.stderr
    made = files(tmp_path / "out")
    assert len(made) == 2
    assert not any(NAME in str(path.relative_to(tmp_path)).upper() for path in made)
    assert not any(NAME.encode() in path.read_bytes().upper() for path in made)
    one, two = (dcmread(path) for path in made)
    assert one.PatientID == two.PatientID
    assert abs(date.fromisoformat(one.StudyDate) - date.fromisoformat(two.StudyDate)).days == 1


def test_the_same_key_gives_the_same_files_and_another_other_ones(archive, key, tmp_path):
    for out in ("a", "b"):
        call(archive, tmp_path / out, "--key", key)
    call(archive, tmp_path / "c")  # a key that is thrown away
    a, b, c = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in files(tmp_path / out)}
        for out in "abc"
    )
    assert a == b
    assert not set(a) & set(c)


def test_what_if_writes_nothing_and_tells_of_every_file(archive, key, tmp_path):
    done = call(archive, tmp_path / "out", "--key", key, "--what-if")
    assert done.exit_code == 1
    assert done.stdout.count("would be written: ") == 2
    assert "held: " in done.stdout
    assert "failed: " in done.stdout
    assert "2 files would be written" in done.stdout
    assert not (tmp_path / "out").exists()
    call(archive, tmp_path / "out", "--key", key)
    assert all(path.name in done.stdout for path in files(tmp_path / "out"))


def test_writing_in_the_image_is_blanked_where_that_is_asked_for(archive, key, tmp_path):
    (archive / "broken.dcm").unlink()
    done = call(archive, tmp_path / "out", "--key", key, "--inside", "blank")
    assert done.exit_code == 0
    assert "3 files are in" in done.stdout
    made = [dcmread(path) for path in files(tmp_path / "out")]
    drawn = draw_texts(np.zeros((600, 800), np.uint8), [(NAME, 20, (300, 330))]) > 0
    blanked = [data for data in made if data.pixel_array[drawn].max() == 0]
    assert len(blanked) == 1


def test_a_clip_that_a_person_has_looked_at_is_not_held_back(archive, key, tmp_path):
    clip, seen = archive / "inside.dcm", tmp_path / "looked-at"
    digest = hashlib.sha256(clip.read_bytes()).hexdigest()
    seen.write_text(f"# by Ada\n\n{digest}  {clip}\n")
    done = call(clip, tmp_path / "out", "--key", key, "--looked-at", seen)
    assert (done.exit_code, "held" in done.stdout) == (0, False)
    (made,) = files(tmp_path / "out")
    drawn = draw_texts(np.zeros((600, 800), np.uint8), [(NAME, 20, (300, 330))]) > 0
    assert (dcmread(made).pixel_array[drawn] == dcmread(clip).pixel_array[drawn]).all()
    other = archive / "other.dcm"  # of other content, it is held back still
    data = dcmread(clip)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.10"
    data.save_as(other)
    assert (
        "--looked-at lets it pass"
        in call(other, tmp_path / "out2", "--key", key, "--looked-at", seen).stderr
    )
    seen.write_text("inside.dcm is fine\n")
    wrong = call(clip, tmp_path / "out3", "--looked-at", seen)
    assert (wrong.exit_code, "line 1: no SHA-256" in wrong.stderr) == (2, True)
    assert call(clip, tmp_path / "out3", "--looked-at", tmp_path / "none").exit_code == 2


def test_json_is_an_object_per_file(archive, key, tmp_path):
    done = call(archive, tmp_path / "out", "--key", key, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["action"] for row in rows) == ["failed", "held", "written", "written"]
    assert all((tmp_path / "out" / row["new_file"]).is_file() for row in rows if row["new_file"])


def test_the_mapping_stands_beside_the_key_for_its_owner_only(archive, key, tmp_path):
    table = key.parent / "mapping.csv"
    call(archive, tmp_path / "out", "--key", key, "--mapping", table)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["old_SOPInstanceUID"] for row in rows] == ["1.2.3.1", "1.2.3.2"]
    assert {row["old_PatientID"] for row in rows} == {"4711"}
    for row in rows:
        data = dcmread(tmp_path / "out" / row["new_file"])
        assert data.PatientID == row["new_PatientID"]
        assert data.SOPInstanceUID == row["new_SOPInstanceUID"]
    assert table.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--inside", "keep"], "is none of hold, blank"),
        (["--mapping", "out/map.csv", "--key", "secret/key"], "lies in OUT"),
        (["--mapping", "map.csv", "--key", "secret/key"], "has to lie beside the key"),
        (["--mapping", "secret/map.csv"], "--mapping needs --key"),
        (["--mapping", "secret/key", "--key", "secret/key"], "are the same file"),
        (["--key", "missing"], "--key missing cannot be read"),
    ],
)
def test_wrong_usage_ends_with_2(archive, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    done = call("in", "out", *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_short_key_and_the_same_folder_and_no_source_are_wrong_usage(archive, tmp_path):
    (tmp_path / "short").write_text("abc")
    assert call(archive, tmp_path / "out", "--key", tmp_path / "short").exit_code == 2
    assert call(archive, archive).exit_code == 2
    assert call(archive, archive / "new" / "out").exit_code == 2
    assert not (archive / "new").exists()
    assert call(tmp_path / "nothing", tmp_path / "out").exit_code == 2
    assert call(archive / "notes.txt", tmp_path / "out").exit_code == 1


def test_members_of_a_zip_are_read_in_place(archive, key, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for path in (archive / NAME).iterdir():
            packed.write(path, f"{NAME}/{path.name}")
    done = call(tmp_path / "in.zip", tmp_path / "out", "--key", key)
    assert done.exit_code == 0
    assert len(files(tmp_path / "out")) == 2


def test_an_output_that_cannot_be_written_is_told_and_nothing_half_is_left(archive, key, tmp_path):
    out = tmp_path / "out"
    what_if = call(archive / NAME / "1.dcm", out, "--key", key, "--what-if", "--json")
    patient = json.loads(what_if.stdout)["new_file"].split("/")[0]
    out.mkdir()
    (out / patient).write_text("a file where the patient's folder should be")
    done = call(archive / NAME / "1.dcm", out, "--key", key)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert [path.name for path in files(out)] == [patient]


def test_the_thickness_is_the_same_afterwards(archive, key, tmp_path):
    """With the shipped model; what is kept of the picture keeps its grey levels."""
    call(archive / NAME / "1.dcm", tmp_path / "out", "--key", key)
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    before, after = (
        measure_clip(path, bundle, runtime).record.best
        for path in (archive / NAME / "1.dcm", *files(tmp_path / "out"))
    )
    assert before.thickness_mm is not None
    assert abs(before.thickness_mm - after.thickness_mm) <= 0.02
    assert (before.row_mm, before.calibration) == (after.row_mm, after.calibration)
