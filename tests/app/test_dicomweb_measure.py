"""`endometer measure dicomweb://...`: the way of files, from a server, and results back to it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dicomweb_client")
pytest.importorskip("highdicom")
from dicom_factory import header, speckle, write
from dicomweb_faults import SERIES, STUDY, faulty
from orthanc_server import orthanc

from data.phantom.dicom import make_phantom, write_dicom

ENDOMETER = Path(sys.executable).with_name("endometer")
NAMES = ("ENDOMETER_DICOMWEB_USER", "ENDOMETER_DICOMWEB_PASSWORD")
TOKEN = "s3cret-token-of-the-ward"


def run(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ENDOMETER_DICOMWEB")}
    return subprocess.run(
        [ENDOMETER, "measure", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=clean | {"COLUMNS": "200", "NO_COLOR": "1"} | environment,
        timeout=120,
        check=False,
    )


def rows(out):
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything(out):
    """The bytes of all that a run wrote."""
    return b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())


@pytest.fixture
def instances(tmp_path):
    made = {}
    for number, uid in enumerate(("1.5", "1.6", "1.7")):
        data = header(96, 128, SOPInstanceUID=uid, StudyInstanceUID=STUDY)
        data.SeriesInstanceUID = SERIES
        path = write(tmp_path / f"{uid}.dcm", data, speckle(96, 128, number).tobytes())
        made[uid] = path.read_bytes()
    return made


def test_one_that_cannot_be_fetched_is_a_row_and_the_next_run_fetches_it_alone(instances, tmp_path):
    out = tmp_path / "out"
    with faulty(instances) as faults:
        faults.answers["/instances/1.6"] = lambda handler: handler.send(b"", status=404)
        arguments = (faults.address, "--study", STUDY, "--out", out)
        first = run(*arguments, ENDOMETER_DICOMWEB_TOKEN=TOKEN)
        assert first.returncode == 1, first.stderr
        status = {row["file"].rpartition("/")[2]: row["status"] for row in rows(out)}
        assert status == {"1.5": "not_measurable", "1.6": "failed", "1.7": "not_measurable"}
        assert all(
            row["file"].startswith(f"{faults.address}/studies/{STUDY}/") for row in rows(out)
        )
        (failed,) = [row for row in rows(out) if row["status"] == "failed"]
        assert "HTTP status 404" in failed["message"]
        del faults.answers["/instances/1.6"]
        faults.asked.clear()
        second = run(*arguments, ENDOMETER_DICOMWEB_TOKEN=TOKEN)
        assert second.returncode == 0, second.stderr
        assert faults.count("/instances/") == 1
        assert json.loads((out / "run.json").read_text())["counts"]["resumed"] == 2
        assert all(said["Authorization"] == f"Bearer {TOKEN}" for _, said in faults.asked)
    assert TOKEN.encode() not in everything(out)
    assert TOKEN not in first.stdout + first.stderr + second.stdout + second.stderr


def test_a_server_that_lists_nothing_more_leaves_the_tables_as_they_were(instances, tmp_path):
    out = tmp_path / "out"
    with faulty(instances) as faults:
        arguments = (faults.address, "--since", "2026-01-31", "--out", out)
        assert run(*arguments).returncode == 0
        before = rows(out)
        faults.answers["/studies?"] = lambda handler: handler.send(b"", status=401)
        refused = run(*arguments)
        assert refused.returncode == 1
        assert "ENDOMETER_DICOMWEB_TOKEN" in refused.stderr
        assert rows(out) == before


def test_a_server_that_has_nothing_of_what_was_asked_for_says_so(tmp_path):
    with faulty({}) as faults:
        done = run(faults.address, "--since", "2026-01-31", "--out", tmp_path / "out")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert f"{faults.address} has nothing of what was asked for" in said
    assert "US of studies of 2026-01-31 or later" in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["dicomweb://pacs/web"], "--study UID, or --since"),
        (["dicomweb://pacs/web", "--study", "../1"], "is no UID"),
        (["dicomweb://pacs/web", "--since", "yesterday"], "is no date"),
        (["dicomweb://pacs/web", "scan.dcm", "--study", "1.2"], "only source"),
        (["dicomweb+http://pacs/web", "--study", "1.2"], "--plain-http"),
        ([f"dicomweb://u:{TOKEN}@pacs/web", "--study", "1.2"], "does not belong into the address"),
        (["dicomweb://pacs/web", "--study", "1.2", "--stow"], "add --dicom"),
        (["scan.dcm", "--stow"], "belong to a source"),
    ],
)
def test_wrong_calls_are_told(arguments, word):
    done = run(*arguments)
    assert done.returncode == 2
    assert word in done.stderr.replace("\n", " ")
    assert TOKEN not in done.stderr


def test_from_orthanc_and_back(tmp_path):
    """Scanner, Orthanc, endometer, report in Orthanc; a second run sends and measures none."""
    login = ("ward", TOKEN)
    environment = dict(zip(NAMES, login, strict=True))
    out = tmp_path / "out"
    with orthanc(tmp_path / "server", user=login) as pacs:
        for number in range(2):
            write_dicom(make_phantom((6 + number,), 7.0), tmp_path / f"{number}.dcm")
            pacs.store(tmp_path / f"{number}.dcm")
        address = f"dicomweb+http://{pacs.dicomweb}"
        arguments = (address, "--since", "2020-01-01", "--dicom", "sr,sc", "--stow", "--out", out)
        first = run(*arguments, **environment)
        assert first.returncode == 0, first.stderr
        results = sorted(path.name for path in (out / "dicom").iterdir())
        assert len(rows(out)) == 2
        assert any(name.endswith("-sr.dcm") for name in results)
        assert f"{len(results)} DICOM results sent to the server, 0 were there." in first.stderr
        series = [pacs.ask(f"/series/{one}") for one in pacs.ask("/series")]
        modalities = [one["MainDicomTags"]["Modality"] for one in series]
        assert modalities.count("SR") == sum(name.endswith("-sr.dcm") for name in results)
        stored = pacs.ask("/statistics")["CountInstances"]
        assert stored == 2 + len(results)
        second = run(*arguments, **environment)
        assert second.returncode == 0, second.stderr
        assert f"0 DICOM results sent to the server, {len(results)} were there." in second.stderr
        assert pacs.ask("/statistics")["CountInstances"] == stored
        assert len(rows(out)) == 2
        assert run(*arguments).returncode == 1  # without the login
    assert TOKEN.encode() not in everything(out)
