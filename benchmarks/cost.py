"""What a run costs, as whole processes: `python -m benchmarks.cost [--frames 120 1200]`.

Prints seconds and peak memory of `endometer --help`, of one still and of cines of several lengths,
each as the median of three runs, and as a ratio to an empty Python process of the same minute,
because machines differ and drift.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data.phantom.dicom import make_phantom, write_dicom

RUNS = 3


# Linux hands the peak memory of a process on to what it starts, so the command is started by a
# small process that only waits for it.
WAITER = """
import json, os, subprocess, sys, time
started = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
seconds = time.monotonic() - started
unit = 1024 if sys.platform == "linux" else 1024 * 1024
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss / unit]))
"""


def cost(command: list[str]) -> tuple[float, float]:
    """Run a command once; return wall seconds and the process's peak memory in MB."""
    waiter = [sys.executable, "-c", WAITER, *command]
    done = subprocess.run(waiter, capture_output=True, text=True, check=True)
    status, seconds, peak = json.loads(done.stdout)
    if status != 0:
        raise SystemExit(f"{command} failed:\n{done.stderr}")
    return seconds, peak


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="*", default=[120, 1200])
    parser.add_argument("files", type=Path, nargs="*", help="further clips to measure")
    arguments = parser.parse_args()
    endometer = str(Path(sys.executable).with_name("endometer"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {"empty Python": [sys.executable, "-c", "pass"], "--help": [endometer, "--help"]}
        write_dicom(make_phantom((4,), 7.0), folder / "still.dcm")
        rows["one still"] = [endometer, "measure", str(folder / "still.dcm")]
        for frames in arguments.frames:
            # A long cine repeats a short one: what matters is how many frames are in the file.
            phantom = make_phantom((8,), 8.0, min(frames, 24))
            repeats = -(-frames // len(phantom.frames))
            pictures = phantom.frames[list(range(len(phantom.frames))) * repeats][:frames]
            path = folder / f"cine-{frames}.dcm"
            write_dicom(type(phantom)(phantom.scene, pictures, phantom.mm_per_px), path)
            rows[f"cine of {frames} frames"] = [endometer, "measure", str(path)]
            del pictures
        for path in arguments.files:
            rows[path.name] = [endometer, "measure", str(path)]
        empty = 0.0
        print(f"{'command':24} {'seconds':>8} {'x empty':>8} {'peak MB':>8}")
        for title, command in rows.items():
            runs = [cost(command) for _ in range(RUNS if "cine" not in title else 1)]
            seconds = statistics.median(run[0] for run in runs)
            empty = empty or seconds
            peak = max(run[1] for run in runs)
            print(f"{title:24} {seconds:8.2f} {seconds / empty:8.0f} {peak:8.0f}")


if __name__ == "__main__":
    main()
