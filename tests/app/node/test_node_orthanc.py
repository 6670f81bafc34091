"""From a scanner through a real Orthanc to the node; the results back into it by both routes."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_world import REPORTS, free_port, send_until_kept, wait_for
from orthanc_server import orthanc

from data.phantom.dicom import make_phantom, write_dicom

SECRET = "SECRET^ANNA"
FORWARD = Path(__file__).parents[3] / "deploy/forward.lua"


@pytest.mark.parametrize("route", ["c-store", "stow"])
def test_scanner_to_orthanc_to_node_and_back(tmp_path, route):
    if route == "stow":
        pytest.importorskip("dicomweb_client", reason="STOW-RS is the extra `dicomweb`")
    port = free_port()
    clips = [tmp_path / f"{number}.dcm" for number in range(2)]
    for path, seed, mm in zip(clips, (2, 15), (5.2, 6.4), strict=True):  # both are measured
        # One study, as a scanner sends it
        said = {"PatientName": SECRET, "PatientID": "SECRET-1", "StudyInstanceUID": "1.2.826.7.1"}
        write_dicom(make_phantom((seed,), mm), path, said)
    node_of = {"endometer": ("ENDOMETER", "127.0.0.1", port)}
    settings = {"DicomAlwaysAllowStore": True, "LuaScripts": [str(FORWARD)]}
    with orthanc(tmp_path / "orthanc", modalities=node_of, **settings) as server:
        back = {
            "c-store": ("--send-to", f"{server.title}@127.0.0.1:{server.dicom}"),
            "stow": ("--stow", f"dicomweb+http://{server.dicomweb}"),
        }[route]
        with running(tmp_path, "--port", str(port), *back) as process:
            assert send_until_kept(server.dicom, clips)
            studies = server.ask("/studies")  # it sends them on by itself
            # Two clips, a report and a picture of each
            assert wait_for(lambda: server.ask("/statistics")["CountInstances"] == 6, 60), log(
                tmp_path
            )
            assert wait_for(lambda: not list((tmp_path / "node/outbox").iterdir()), 10)
            # What came back did not go round
            assert "own_result" not in log(tmp_path)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log(tmp_path)
        found = [tags(server, name) for name in server.ask("/instances")]
        assert server.ask("/studies") == studies  # all in the one study
        assert {one["PatientID"] for one in found} == {"SECRET-1"}
        reports = [one for one in found if one["SOPClassUID"] in REPORTS]
        assert len(reports) == 2
        rows = rows_of(tmp_path / "node/results/measurements.csv")
        assert len(rows) == 2
        for row in rows:
            assert row["status"] == "measured"
            value = f"{float(row['thickness_mm']):.1f}"
            assert any(value in number for number in map(numbers, reports)), (value, reports)
    assert "SECRET" not in log(tmp_path)


class running:  # noqa: N801 - reads as a word
    """The real command, with the real model."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options

    def __enter__(self):
        command = [sys.executable, "-c", "from app.cli import main; main()", "node"]
        given = ["--out", self.folder / "node", "--quiet-seconds", "0.5", "--min-free-mb", "0"]
        with (self.folder / "log.txt").open("wb") as file:
            self.process = subprocess.Popen(
                [*map(str, [*command, *given, "--workers", "1", *self.options])],
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        assert b"listens on" in self.process.stdout.readline(), log(self.folder)
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def log(folder: Path) -> str:
    return (folder / "log.txt").read_text()


def rows_of(path: Path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tags(server, name):
    return server.ask(f"/instances/{name}/simplified-tags")


def numbers(item):
    """Return every NumericValue of a report, as it is written, to one decimal."""
    if isinstance(item, list):
        return [n for each in item for n in numbers(each)]
    found = []
    for key, value in item.items():
        if key == "NumericValue":
            found.append(f"{float(value):.1f}")
        elif isinstance(value, list | dict):
            found += numbers(value)
    return found


def test_a_refused_call_says_why(tmp_path):
    def call(*options):
        command = [sys.executable, "-c", "from app.cli import main; main()", "node"]
        return subprocess.run(
            [*command, "--out", str(tmp_path / "node"), *options],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=60,
        )

    open_to_all = call("--host", "0.0.0.0")
    assert (open_to_all.returncode, "--allow-from" in open_to_all.stderr) == (2, True)
    password = call("--stow", "dicomweb://anna:sesame@127.0.0.1/")
    assert (password.returncode, "ENDOMETER_DICOMWEB_USER" in password.stderr) == (2, True)
    assert "sesame" not in password.stderr
    plain = call("--stow", "dicomweb+http://pacs.example/dicom-web")
    assert (plain.returncode, "--plain-http" in plain.stderr) == (2, True)
    itself = call("--send-to", "ENDOMETER@localhost:11112")
    assert (itself.returncode, "the node itself" in itself.stderr) == (2, True)
    assert not (tmp_path / "node").exists()
    lacking = call("--certificate", str(tmp_path / "no.pem"), "--key", str(tmp_path / "no.key"))
    assert (lacking.returncode, "no.pem" in lacking.stderr) == (2, True)
    assert "cannot listen" not in lacking.stderr
