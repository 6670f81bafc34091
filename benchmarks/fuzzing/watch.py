"""A worker process that takes inputs one by one, and its watcher, who ends it when it must."""

import os
import re
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from benchmarks.fuzzing.mutations import mutated

MAX_SECONDS = 10.0
"""Of computing: on a busy machine the clock on the wall says little."""
STALLED = 60.0
"""On the wall: a worker that waits for ever computes nothing."""
MAX_BYTES = 2**30
# Above MAX_BYTES, which is measured: what is only reserved costs nothing, and to read an element
# that says it has 4 GB reserves as much. The limit keeps one input from the machine's memory.
_ADDRESSES = 6 * 2**30
SECOND = " (second try)"


@dataclass(frozen=True)
class Done:
    """What came of an input: its number and kind, seconds, a word, and whether it must not be."""

    number: int
    kind: str
    seconds: float
    outcome: str
    finding: bool = False


def made(seeds: Path, seed: int, number: int) -> tuple[str, bytes]:
    """Return kind and bytes of an input; the same arguments give the same bytes."""
    from benchmarks.fuzzing.roads import KINDS  # noqa: PLC0415

    rng = np.random.default_rng([seed, number])
    shares = np.array([kind.share for kind in KINDS.values()])
    kind = str(rng.choice(list(KINDS), p=shares / shares.sum()))
    if kind not in _SEEDS:
        found = sorted(seeds.glob(f"{kind}-*"))
        _SEEDS[kind] = [path.read_bytes() for path in found]
    data = _SEEDS[kind][int(rng.integers(len(_SEEDS[kind])))]
    return kind, mutated(data, KINDS[kind].mutations, rng)


_SEEDS: dict[str, list[bytes]] = {}


def _work(pipe: Connection, seeds: Path, seed: int, folder: Path) -> None:
    """Take numbers of inputs, answer with what came of them."""
    import logging  # noqa: PLC0415
    import warnings  # noqa: PLC0415

    from SimpleITK import ProcessObject  # noqa: PLC0415

    from benchmarks.fuzzing.roads import KINDS, cleared  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    ProcessObject.SetGlobalWarningDisplay(False)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESSES, used + _ADDRESSES))
    pipe.send(None)
    while (number := pipe.recv()) is not None:
        kind, data = made(seeds, seed, number)
        place = cleared(folder / "in")
        started = time.process_time()
        finding = False
        try:
            outcome = KINDS[kind].road(data, place)
        except Exception as error:  # noqa: BLE001 - what passes through is what is sought
            outcome, finding = f"{type(error).__name__}: {error}"[:300] + _where(error), True
        seconds = time.process_time() - started
        peak = _peak_bytes()
        if peak > MAX_BYTES:
            outcome, finding = f"memory: {peak:,} bytes ({outcome})", True
        pipe.send(Done(number, kind, seconds, outcome, finding))


def _peak_bytes() -> int:
    """Return the most memory that this process has used; what getrusage says begins with what the
    process that started it had used."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read_text("ascii"))[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _where(error: BaseException) -> str:
    import traceback  # noqa: PLC0415

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f" at {Path(last.filename).name}:{last.lineno}"


class Watched:
    """A worker with its limits; a new one takes the place of one that died or had to be ended."""

    def __init__(self, seeds: Path, seed: int, folder: Path) -> None:
        self._arguments = (seeds, seed, folder)
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self._pipe.recv()

    def run(self, numbers: Iterator[int]) -> Iterator[Done]:
        """Yield what comes of inputs; one that hung is tried again, as the machine may have."""
        for number in numbers:
            done = self._one(number)
            if done.outcome.startswith("hang"):
                done = self._one(number)
                done = replace(done, outcome=done.outcome + SECOND)
            yield done

    def _one(self, number: int) -> Done:
        self._pipe.send(number)
        try:
            done = self._pipe.recv() if self._answered() else None
        except EOFError:
            self._process.join()
            done = self._lost(number, 0.0, f"crash: exit {self._process.exitcode}")
            self._start()
            return done
        if done is None:
            done = self._lost(number, MAX_SECONDS, f"hang: more than {MAX_SECONDS:g} s")
        if done.outcome.startswith(("memory", "hang")):  # a peak never sinks again
            self._end()
            self._start()
        return done

    def _answered(self) -> bool:
        """Wait for an answer as long as the worker computes less than MAX_SECONDS."""
        before, started = self._cpu(), time.monotonic()
        while not self._pipe.poll(1.0):
            if self._cpu() - before > MAX_SECONDS or time.monotonic() - started > STALLED:
                return False
        return True

    def _cpu(self) -> float:
        """Return the seconds that the worker has computed (proc(5))."""
        said = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")

    def _lost(self, number: int, seconds: float, outcome: str) -> Done:
        kind, _ = made(*self._arguments[:2], number)
        return Done(number, kind, seconds, outcome, finding=True)

    def _end(self) -> None:
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
