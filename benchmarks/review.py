"""How long the server of the review page keeps a sonographer waiting: key press to next clip.

python -m benchmarks.review [--clips 2000] [--steps 300] [--pause 0.5]

Measures a few phantoms, lists them as so many clips by rows of their own, and works through the
list as the page does: save, ask for the next clip, fetch its picture; over HTTP from a real server
in a process of its own. `pause` is how long a person looks at a clip; the next ones are made ready
meanwhile. Prints the part of the server in milliseconds: the browser's comes on top.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from app.review.rows import read_run
from data.phantom.dicom import make_phantom, write_dicom
from inference.records import CLIP_COLUMNS
from inference.tables import write_csv, write_parquet

PHANTOMS = 12


def make_run(folder: Path, clips: int) -> Path:
    """Write phantoms, measure them, and list copies of them as clips of their own."""
    (folder / "clips").mkdir()
    for seed in range(PHANTOMS):
        frames = 20 if seed % 4 == 0 else 1
        path = folder / f"clips/{seed:02d}.dcm"
        write_dicom(make_phantom((seed + 2,), 3.0 + seed * 0.7, frames, "physical"), path)
    measure = [sys.executable, "-c", "from app.cli import main; main()", "measure"]
    subprocess.run(
        [*measure, folder / "clips", "--out", folder / "run"], check=True, stdout=subprocess.DEVNULL
    )
    rows = read_run(folder / "run").rows
    many = []
    for n in range(clips):
        row = rows[n % len(rows)]
        # A file each, so that what was learned of one does not help the next; without its bytes.
        path = folder / "many" / f"{n:05d}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(str(row["file"]))
        patient = f"P{n // 4}"
        many.append(row | {"file": str(path), "patient_id": patient, "duplicate_of": None})
    for name, write in (("csv", write_csv), ("parquet", write_parquet)):
        write(folder / f"run/measurements.{name}", CLIP_COLUMNS, many)
    return folder / "run"


class Page:
    """What the page asks for, and how long each took in milliseconds."""

    def __init__(self, browser: httpx.Client, address: str) -> None:
        self.browser = browser
        browser.get(address)
        page = browser.get("/worklist").text
        self.token = {"X-CSRF-Token": re.search('name="csrf" content="([^"]*)"', page)[1]}
        self.took: dict[str, list[float]] = {}

    def ask(self, what: str, method: str, path: str, **options) -> httpx.Response:
        began = time.perf_counter()
        answer = self.browser.request(method, path, **options)
        self.took.setdefault(what, []).append(1000 * (time.perf_counter() - began))
        answer.raise_for_status()
        return answer

    def step(self, key: str, version: int) -> tuple[str, int]:
        """Accept a clip and show the next."""
        began = time.perf_counter()
        given = {"version": version, "action": "accept"}
        saved = self.ask(
            "save", "POST", f"/api/clip/{key}/reviews", json=given, headers=self.token
        ).json()
        clip = self.ask("clip", "GET", f"/api/clip/{saved['next']}").json()
        self.ask("picture", "GET", f"/frames/{clip['id']}/{clip['frame']}.png")
        self.took.setdefault("key to next clip", []).append(1000 * (time.perf_counter() - began))
        return clip["id"], clip["version"]


def work(page: Page, steps: int, pause: float) -> None:
    """Work through the list; now and then look at the list itself."""
    key = page.ask("worklist", "GET", "/api/worklist").json()["items"][0]["id"]
    version = page.browser.get(f"/api/clip/{key}").json()["version"]
    time.sleep(2.0)
    for n in range(steps):
        key, version = page.step(key, version)
        if n % 10 == 0:
            page.ask("worklist", "GET", "/api/worklist", params={"state": "open"})
        frame = page.browser.get(f"/api/clip/{key}").json()["frame"]
        page.ask("outline", "GET", f"/api/clip/{key}/frame/{frame}")
        time.sleep(pause)


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="endometer-review-"))
    try:
        run = make_run(folder, given.clips)
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", "review", run,
             "--no-browser"],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            server.stdout.readline()
            address = server.stdout.readline().strip()
            base = address.partition("/?")[0]
            with httpx.Client(base_url=base, timeout=60) as browser:
                while True:
                    try:
                        browser.get("/health")
                        break
                    except httpx.TransportError:
                        time.sleep(0.05)
                started = time.perf_counter() - began
                page = Page(browser, address)
                work(page, given.steps, given.pause)
        finally:
            server.kill()
            server.wait()
    finally:
        shutil.rmtree(folder)
    found = {
        name: {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 95, 99)}
        for name, values in page.took.items()
    }
    if given.json:
        print(json.dumps({"clips": given.clips, "start_s": round(started, 2), "ms": found}))
        return
    print(f"{given.clips} clips, {given.steps} steps, {os.cpu_count()} cores; "
          f"the server answered after {started:.1f} s")  # fmt: skip
    print(f"{'milliseconds':<18}{'p50':>8}{'p95':>8}{'p99':>8}")
    for name, values in found.items():
        print(f"{name:<18}" + "".join(f"{values[p]:>8.1f}" for p in ("p50", "p95", "p99")))


if __name__ == "__main__":
    main()
