"""C-STORE of many clips from several senders at once, while the node measures or not.

    python -m benchmarks.node_load --clips 2000 --senders 4 [--measure]

Says by count and hash whether any clip was lost or doubled. The clips are small and their UIDs
their own; every object is sent once, and one in twenty twice. Prints one JSON object.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE

from data.phantom.dicom import IMAGE, make_phantom, write_dicom


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
        data.StudyInstanceUID = generate_uid(entropy_srcs=["load", str(number // 10)])
        data.PatientID = f"LOAD-{number // 10}"
        paths.append(folder / f"{number:05}.dcm")
        data.save_as(paths[-1])
    return paths


def send(port: int, paths: list[Path], statuses: list[int | None]) -> None:
    """Send in associations of fifty."""
    for start in range(0, len(paths), 50):
        ae = AE("SENDER")
        ae.add_requested_context(IMAGE, "1.2.840.10008.1.2.1")
        association = ae.associate("127.0.0.1", port, ae_title="ENDOMETER")
        for path in paths[start : start + 50]:
            status = None
            if association.is_established:
                status = association.send_c_store(dcmread(path)).get("Status")
            statuses.append(status)
        association.release()


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
    with tempfile.TemporaryDirectory() as folder:
        paths = make(Path(folder, "clips"), given.clips)
        out = Path(folder, "node")
        command = [sys.executable, "-c", "from app.cli import main; main()", "node"]
        options = ["--out", str(out), "--port", "0", "--quiet-seconds", "3", "--min-free-mb", "0"]
        options += ["--associations-per-minute", "100000"]
        options.append("--measure" if given.measure else "--no-measure")
        node = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        port = int(node.stdout.readline().split(":")[-1].strip().rstrip("."))
        statuses: list[int | None] = []
        threads = [
            threading.Thread(target=send, args=(port, paths[n :: given.senders] + again, statuses))
            for n, again in ((n, paths[n :: given.senders * 20]) for n in range(given.senders))
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        node.terminate()
        status = node.wait(600)
        sent = dict(map(content, paths))
        kept = [content(path) for path in (out / "clips").glob("*/*.dcm")]
        print(
            json.dumps(
                {
                    "clips": len(paths),
                    "senders": given.senders,
                    "measuring": given.measure,
                    "requests": len(statuses),
                    "not_success": sum(found != 0 for found in statuses),
                    "lost": len(set(sent.items()) - set(kept)),
                    "doubled": len(kept) - len(set(kept)),
                    "foreign": len(set(kept) - set(sent.items())),
                    "unfinished": len(list((out / "incoming").iterdir())),
                    "seconds": round(seconds, 1),
                    "objects_per_second": round(len(statuses) / seconds, 1),
                    "exit_status": status,
                }
            )
        )


if __name__ == "__main__":
    main()
