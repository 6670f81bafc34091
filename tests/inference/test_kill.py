"""Runs that are killed at any moment: nothing is lost, and nothing in the tables tells of it."""

import os
import random
import sys
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL

import killable
from dicom_factory import header, speckle, write

CLIPS = 36
KILLS = 60
TABLES = ("measurements.csv", "measurements.parquet", "frames.parquet")

processes = get_context("forkserver")
processes.set_forkserver_preload(["killable"])


def go(clips: Path, out: Path, log: Path, seconds: float | None = None) -> int:
    """Run it in a process of its own, killed after `seconds`; return how it ended."""
    process = processes.Process(target=killable.run, args=(str(clips), str(out), str(log)))
    process.start()
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    process.join()
    return process.exitcode


def test_runs_killed_at_any_moment_end_with_the_tables_of_an_unbroken_one(tmp_path, monkeypatch):
    """At least KILLS kills, in rounds that each end with the tables of an unbroken run."""
    # The server that forks the runs imports what they need once, if it finds it.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    clips, log = tmp_path / "clips", tmp_path / "log.txt"
    for number in range(CLIPS):
        path = clips / f"{number % 7}/{number:03}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, header(48, 64), speckle(seed=number).tobytes())
    (clips / "0/copy.dcm").write_bytes((clips / "1/001.dcm").read_bytes())
    (clips / "0/broken.dcm").write_bytes(b"")
    assert go(clips, tmp_path / "first", log) == 0  # which starts the server
    started = time.monotonic()
    assert go(clips, tmp_path / "whole", log) == 0
    whole = time.monotonic() - started
    expected = {name: (tmp_path / "whole" / name).read_bytes() for name in TABLES}
    assert b"copy.dcm" in expected["measurements.csv"]

    rng = random.Random(1)
    kills, rounds = 0, 0
    while kills < KILLS:
        rounds += 1
        out, log = tmp_path / f"out{rounds}", tmp_path / f"log{rounds}.txt"
        here = 0
        while go(clips, out, log, rng.uniform(0, 0.7) * whole) == -SIGKILL and here < 20:
            here += 1
        assert go(clips, out, log) == 0
        for name, content in expected.items():
            assert (out / name).read_bytes() == content, (name, rounds, here)
        pictures = [
            sorted(p.name for p in (o / "overlays").iterdir()) for o in (out, out.parent / "whole")
        ]
        assert pictures[0] == pictures[1]
        measured = Counter(log.read_text().split())
        # A kill costs the clip in flight, no more.
        assert measured.total() - len(measured) <= here
        kills += here
