"""A run of several processes whose first one is killed: no process stays, and nothing is lost."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.phantom.collection import write_phantoms

TABLES = ("measurements.csv", "measurements.parquet", "frames.parquet")
ENDOMETER = Path(sys.executable).with_name("endometer")
# More clips than are in flight, so that a kill comes in the middle.
CLIPS, WORKERS = 10, 2

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")


def start(clips, out):
    """Begin to measure with several processes; what they are is in /proc."""
    words = ["measure", str(clips), "--out", str(out), "--workers", str(WORKERS)]
    return subprocess.Popen(
        [ENDOMETER, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def descendants(pid):
    """Return the processes that a process started, and theirs."""
    tasks = Path(f"/proc/{pid}/task")
    children = [
        int(child)
        for task in (tasks.iterdir() if tasks.exists() else ())
        for child in (task / "children").read_text().split()
    ]
    return children + [pid for child in children for pid in descendants(child)]


def alive(pid):
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def done(out):
    """Return how many pictures there are, one for each clip that was measured."""
    return len(list((out / "overlays").glob("*"))) if (out / "overlays").exists() else 0


def test_a_killed_parent_takes_its_processes_along_and_the_next_run_goes_on(tmp_path):
    clips = tmp_path / "clips"
    write_phantoms(clips, n=CLIPS, seed=11, frames=1)
    whole = start(clips, tmp_path / "whole")
    told = whole.communicate()[1]
    assert whole.returncode == 0, told
    pictures = done(tmp_path / "whole")
    assert pictures > WORKERS * 2

    out, kills = tmp_path / "out", 0
    for after in (1, pictures // 2):
        run = start(clips, out)
        wait_for(lambda run=run, after=after: done(out) >= after or run.poll() is not None)
        others = descendants(run.pid)
        if run.poll() is None:
            assert len(others) >= WORKERS
            run.kill()
            kills += 1
        run.communicate()
        wait_for(lambda others=others: not any(map(alive, others)))
    assert kills
    assert done(out) < pictures  # it was killed in the middle

    last = start(clips, out)
    told = last.communicate()[1]
    assert last.returncode == 0, told
    for name in TABLES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    names = [sorted(p.name for p in (o / "overlays").iterdir()) for o in (out, tmp_path / "whole")]
    assert names[0] == names[1]
