"""A run that a test may review, and a person who does."""

import csv
import re
import shutil
from pathlib import Path

from fastapi.testclient import TestClient
from pydicom import dcmread
from pydicom.uid import generate_uid

from data.phantom.dicom import make_phantom, write_dicom
from inference.clip import Settings
from inference.engines import Threaded
from inference.records import CLIP_COLUMNS
from inference.run import Output, measure
from inference.tables import write_csv, write_parquet
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

SECRET_NAME, SECRET_ID = "<script>alert(1)</script>^ANNA", "SECRET-4711"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PASSWORD = "four words are easy"
# (file, patient, date, seed, thickness, frames)
CLIPS = (
    ("a/one.dcm", SECRET_ID, "20260105", 2, 5.2, 1),
    ("a/two.dcm", SECRET_ID, "20260202", 15, 6.4, 1),
    ("a/cine.dcm", "W-2", "20260110", 2, 8.0, 4),
    ("b/three.dcm", "W-3", "20260111", 21, 5.2, 1),
    ("b/unscaled.dcm", "W-4", "20260112", 5, 7.0, 1),
    ("b/nothing.dcm", "W-5", "20260113", 23, None, 1),
)


def measured_run(folder: Path) -> Path:
    """Write clips and measure them: `folder/clips`, `folder/results`."""
    clips = folder / "clips"
    for name, patient, date, seed, mm, frames in CLIPS:
        path = clips / name
        path.parent.mkdir(parents=True, exist_ok=True)
        phantom = make_phantom((seed,), mm, frames, visible=mm is not None)
        write_dicom(phantom, path)
        data = dcmread(path)
        data.PatientID, data.PatientName = patient, SECRET_NAME
        data.StudyDate = data.ContentDate = date
        data.StudyInstanceUID = generate_uid(entropy_srcs=[patient, date])
        if "unscaled" in name:
            del data.SequenceOfUltrasoundRegions
        data.save_as(path)
    shutil.copy(clips / "a/one.dcm", clips / "b/copy.dcm")
    (clips / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    bundle = load_bundle()
    engine = Threaded(bundle, OpenVinoRuntime(bundle), 1)
    measure([clips], bundle, engine, Settings(), output=Output(folder / "results"))
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_tables(folder: Path, rows) -> None:
    """Put other rows into a run's tables."""
    write_csv(folder / "measurements.csv", CLIP_COLUMNS, rows)
    write_parquet(folder / "measurements.parquet", CLIP_COLUMNS, rows)


class Seat:
    """A person at a server: a browser with its cookies, and the token of its pages."""

    def __init__(self, app, host="127.0.0.1:8000"):
        self.app, self.desk = app, app.state.desk
        self.client = TestClient(
            app,
            base_url=f"{'https' if self.desk.settings.secure else 'http'}://{host}",
            follow_redirects=False,
            raise_server_exceptions=False,
        )
        self.csrf = ""

    def enter(self):
        """Open the address of the terminal."""
        token = self.desk.sessions.new_token()
        assert self.client.get("/", params={"token": token}).headers["location"] == "/worklist"
        return self.read_csrf("/worklist")

    def login(self, name, password):
        """Log in as a person does."""
        self.read_csrf("/login")
        done = self.post("/api/login", {"name": name, "password": password})
        if done.status_code == 200:
            self.read_csrf("/worklist")
        return done

    def read_csrf(self, page):
        self.csrf = re.search('name="csrf" content="([^"]*)"', self.client.get(page).text)[1]
        return self

    def get(self, path, **query):
        return self.client.get(path, params=query)

    def json(self, path, **query):
        found = self.get(path, **query)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path, given=None, **headers):
        return self.client.post(path, json=given, headers={"X-CSRF-Token": self.csrf, **headers})

    def items(self, **query):
        return self.json("/api/worklist", **query)["items"]

    def clip(self, name):
        """Return a clip of the run by the name of its file."""
        entry = next(e for e in self.desk.clips.order if e.file.endswith(name))
        return self.json(f"/api/clip/{entry.id}")

    def review(self, clip, action="accept", **values):
        """Save a review of a clip as it was shown."""
        given = {"version": clip["version"], "action": action, **values}
        return self.post(f"/api/clip/{clip['id']}/reviews", given)
