"""C-STORE of many clips from several senders at once, while the node measures or not.

    python -m benchmarks.node_load --clips 2000 --senders 4 [--measure]

Says by count and hash whether any clip was lost or doubled. The clips are small and their UIDs
their own; every object is sent once, and one in twenty twice. With --measure a few studies come
first, and the others once those are being measured. The senders are dcmtk's storescu, so that
another implementation says what it was answered. Prints one JSON object.
"""

import argparse
import csv
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from data.phantom.dicom import make_phantom, write_dicom

WARM = 60
"""Clips that are being measured when the others come."""


def make(folder: Path, clips: int) -> list[Path]:
    """Write clips of a few phantoms, ten to a study, each with UIDs of its own."""
    folder.mkdir(parents=True)
    bases = []
    for seed in (2, 15, 21):
        write_dicom(make_phantom((seed,), 5.5), folder / "base.dcm")
        bases.append(dcmread(folder / "base.dcm"))
    (folder / "base.dcm").unlink()
    paths = []
    for number in range(clips):
        data = bases[number % len(bases)]
        data.SOPInstanceUID = generate_uid()
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.StudyInstanceUID = generate_uid(entropy_srcs=["load", folder.name, str(number // 10)])
        data.PatientID = f"LOAD-{number // 10}"
        paths.append(folder / f"{number:05}.dcm")
        data.save_as(paths[-1])
    return paths


def send(port: int, paths: list[Path], answers: Counter[str]) -> None:
    """Send in associations of fifty, with dcmtk's storescu."""
    storescu = str(shutil.which("storescu"))
    call = [storescu, "-v", "-nh", "-aet", "SENDER", "-aec", "ENDOMETER", "127.0.0.1", str(port)]
    for start in range(0, len(paths), 50):
        said = subprocess.run(
            [*call, *map(str, paths[start : start + 50])],
            capture_output=True,
            text=True,
            check=False,
        )
        answers.update(re.findall(r"Received Store Response \((.+)\)", said.stdout + said.stderr))


def measured(out: Path) -> int:
    """Return how many clips have a number or a reason in the ledger."""
    try:
        with closing(
            sqlite3.connect(f"file:{out}/results/ledger.sqlite?mode=ro", uri=True)
        ) as base:
            return int(base.execute("SELECT COUNT(*) FROM results").fetchone()[0])
    except sqlite3.Error:  # not there yet
        return 0


def rows(out: Path) -> int:
    """Return how many rows the table has."""
    try:
        text = (out / "results/measurements.csv").read_text(encoding="utf-8")
    except OSError:
        return 0
    return len(list(csv.reader(text.splitlines()))) - 1


def content(path: Path) -> tuple[str, str]:
    """Return UID and hash of the pixels and the patient."""
    data = dcmread(path)
    digest = hashlib.sha256(data.PixelData + str(data.PatientID).encode()).hexdigest()
    return str(data.SOPInstanceUID), digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args()
    if shutil.which("storescu") is None:
        sys.exit("The senders are dcmtk's storescu: apt-get install dcmtk")
    with tempfile.TemporaryDirectory() as folder:
        warm = make(Path(folder, "warm"), WARM if given.measure else 0)
        paths = make(Path(folder, "clips"), given.clips)
        out = Path(folder, "node")
        command = [sys.executable, "-c", "from app.cli import main; main()", "node"]
        options = ["--out", str(out), "--port", "0", "--quiet-seconds", "1", "--min-free-mb", "0"]
        options += ["--associations-per-minute", "100000"]
        options.append("--measure" if given.measure else "--no-measure")
        node = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        port = int(node.stdout.readline().split(":")[-1].strip().rstrip("."))
        answers: Counter[str] = Counter()
        # Whole studies, as scanners send them; one object in twenty again at the end.
        mine = [
            [path for number, path in enumerate(paths) if number // 10 % given.senders == n]
            for n in range(given.senders)
        ]
        threads = [
            threading.Thread(target=send, args=(port, own + own[::20], answers)) for own in mine
        ]
        if given.measure:  # so that it is under way when the clips come
            send(port, warm, Counter())
            while measured(out) < WARM // 4:
                time.sleep(0.1)
        before = measured(out)
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        meanwhile = measured(out) - before
        while given.measure and measured(out) < len(warm + paths) and node.poll() is None:
            time.sleep(1)
        whole = time.monotonic() - began
        node.terminate()
        status = node.wait(600)
        sent = dict(map(content, warm + paths))
        kept = [content(path) for path in (out / "clips").glob("*/*.dcm")]
        requests = len(paths) + sum(len(own[::20]) for own in mine)
        print(
            json.dumps(
                {
                    "clips": len(paths),
                    "senders": given.senders,
                    "measuring": given.measure,
                    "requests": requests,
                    "answers": dict(answers),
                    "lost": len(set(sent.items()) - set(kept)),
                    "doubled": len(kept) - len(set(kept)),
                    "foreign": len(set(kept) - set(sent.items())),
                    "unfinished": len(list((out / "incoming").iterdir())),
                    "conflicts": len(list((out / "conflicts").iterdir())),
                    "seconds": round(seconds, 1),
                    "objects_per_second": round(requests / seconds, 1),
                    "measured_meanwhile": meanwhile,
                    "measured_at_the_end": measured(out),
                    "rows": rows(out),
                    "seconds_until_measured": round(whole, 1),
                    "exit_status": status,
                }
            )
        )


if __name__ == "__main__":
    main()
