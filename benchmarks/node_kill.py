"""A node that is killed again and again, at every step in turn and at random moments.

    python -m benchmarks.node_kill --kills 50

Each kill is a round of its own: a node, three clips, the kill, a new node in the same folder, the
sender's second try. Prints a row for each step: kills, rounds in which a clip or a result was lost
or doubled, and results that were sent twice as the same object. The network is pretended, as in
tests/app/node, which must be importable: run it from the top of a checkout.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "app/node")]

# ruff: noqa: E402 - what follows lies in the folders above
from node_world import Archive, NodeProcess, clips, send, send_until_kept, wait_for
from pydicom import dcmread

from app.node.archive import key_of
from app.node.settings import Limits, Peer
from app.node.steps import STEPS


def one_round(folder: Path, step: str, seed: int) -> tuple[bool, bool, int]:
    """Return whether it was killed, whether all is as it should be, and how many came twice."""
    there = Archive()
    chance = random.Random(seed)  # noqa: S311 - no secret
    options = {
        "destinations": (Peer("PACS", "127.0.0.1", there.port),),
        "limits": Limits(free_bytes=0),
    }
    files = clips(folder / "clips", 3)
    try:
        number = 1 if step in ("measured", "queued") else chance.randint(1, 3)
        die = None if step == "any moment" else (step, number)
        first = NodeProcess(folder / "node", die=die, **options)
        if die is None:
            threading.Timer(chance.uniform(0, 2.5), first.process.kill).start()
        send(first.port, files)
        first.process.join(20)
        killed = first.process.exitcode == -signal.SIGKILL
        first.process.kill()
        first.process.join()
        second = NodeProcess(folder / "node", port=first.port, **options)
        sound = send_until_kept(second.port, files)
        sound &= wait_for(lambda: len(there.uids()) == 3)
        sound &= wait_for(lambda: not list((folder / "node/outbox").iterdir()))
        time.sleep(0.5)  # for what should not come any more
        sound &= second.end() == 0
    finally:
        there.close()
    names = sorted(key_of(str(dcmread(path).SOPInstanceUID)) for path in files)
    sound &= sorted(path.stem for path in second.kept()) == names
    sound &= len(there.uids()) == 3 and not list((folder / "node/incoming").iterdir())
    return killed, sound, len(there.got) - len(there.uids())


def main() -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), *sys.path])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    given = parser.parse_args()
    where = [*STEPS, "any moment"]
    kills, wrong, twice = Counter(), Counter(), Counter()
    rounds = 0
    while kills.total() < given.kills:
        step = where[rounds % len(where)]
        with tempfile.TemporaryDirectory() as folder:
            killed, sound, again = one_round(Path(folder), step, rounds)
        rounds += 1
        kills[step] += killed
        wrong[step] += not sound
        twice[step] += again
    print("| killed at | kills | lost or doubled | sent twice as the same object |")
    print("|---|---|---|---|")
    for step in where:
        print(f"| {step} | {kills[step]} | {wrong[step]} | {twice[step]} |")
    print(f"| all | {kills.total()} | {wrong.total()} | {twice.total()} |")


if __name__ == "__main__":
    main()
