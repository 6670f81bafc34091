"""Engines on this machine: one process that measures, several, or threads that share a GPU."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Self

from inference.jobs import EngineError, Job, Outcome, Task, lost, perform
from models.batching import Batching
from models.bundle import Bundle, load_bundle
from models.runtime import OpenVinoRuntime, Runtime

# Fewer files than this are measured before several processes have started.
WORTH_WORKERS = 4
# Jobs that are with the workers or wait for them, for each: one is measured, one is ready.
IN_FLIGHT = 2


@dataclass(frozen=True)
class _Here:
    """What engines on this machine have in common: a model, and the network in this process."""

    bundle: Bundle
    runtime: Runtime

    @property
    def device(self) -> str:
        """See Engine."""
        return self.runtime.device


@dataclass(frozen=True)
class Serial(_Here):
    """Measures one file after the other, in this process."""

    def run(self, jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        """See Engine."""
        for job in jobs:
            yield perform(job, task, self.bundle, self.runtime)


@dataclass(frozen=True)
class Local(_Here):
    """Measures in several processes, each with a network of its own, on the CPU.

    Every process takes a file at a time and computes with one thread, so that they do not fight
    for the processor; a network gains nothing from larger batches on a CPU. A file that kills its
    process, a fault in a decoder for instance or one that needs more memory than there is, costs
    itself alone: what else was in flight is measured again, one file at a time. Fewer files than
    `here` are measured in this process; 0 keeps what a file may do to its process out of it.
    """

    workers: int
    here: int = WORTH_WORKERS

    def run(self, jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        """See Engine."""
        first = list(islice(jobs, self.here))
        if len(first) < self.here:
            yield from Serial(self.bundle, self.runtime).run(chain(first, jobs), task)
            return
        remaining = chain(first, jobs)
        with _Pool(self.bundle, self.workers, task) as pool:
            while True:
                yield from pool.fill(remaining)
                if not pool.waiting:
                    return
                yield from pool.finished()


@dataclass(frozen=True)
class Threaded(_Here):
    """Measures in several threads that share one network, for a GPU.

    While some decode or do geometry, the frames of others are computed in one batch.
    """

    workers: int

    def run(self, jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        """See Engine."""
        one_thread()
        waiting: set[Future[Outcome]] = set()
        with Batching(self.runtime) as shared:
            pool = ThreadPoolExecutor(self.workers)
            try:
                while True:
                    for job in islice(jobs, IN_FLIGHT * self.workers - len(waiting)):
                        waiting.add(pool.submit(perform, job, task, self.bundle, shared))
                    if not waiting:
                        return
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)


class _Pool:
    """The processes of an engine, and what is with them."""

    def __init__(self, bundle: Bundle, workers: int, task: Task) -> None:
        self.waiting: dict[Future[Outcome], Job] = {}
        self._bundle, self._workers, self._task = bundle, workers, task
        self._executor = self._start(workers)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers,
            # A forked process would inherit locks of threads that it does not have.
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(self._bundle.path, self._task),
        )

    def fill(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """Hand out jobs until as many are in flight as may be."""
        for job in islice(jobs, IN_FLIGHT * self._workers - len(self.waiting)):
            try:
                self.waiting[self._executor.submit(_work, job)] = job
            except BrokenProcessPool:
                yield from self._one_by_one([*self.waiting.values(), job])

    def finished(self) -> Iterator[Outcome]:
        """Wait for at least one job, and yield the outcomes of all that are done."""
        done, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        try:
            for future in done:
                outcome = future.result()
                del self.waiting[future]
                yield outcome
        except BrokenProcessPool:
            yield from self._one_by_one(list(self.waiting.values()))

    def _one_by_one(self, suspects: list[Job]) -> Iterator[Outcome]:
        """Measure what was in flight when a process died, each with a process of its own.

        Raises EngineError where a process dies that has nothing to do.
        """
        self.waiting.clear()
        self._executor.shutdown()
        for job in suspects:
            with self._start(1) as alone:
                try:
                    alone.submit(_nothing).result()
                except BrokenProcessPool:
                    raise EngineError(NO_WORKER) from None
                try:
                    yield alone.submit(_work, job).result()
                except BrokenProcessPool:
                    yield lost(job, DIED, self._bundle, "cpu")
        self._executor = self._start(self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)


DIED = (
    "The process that measured this clip died twice of it: a fault in a decoder, or too little "
    "memory. The other clips are not affected. Check the file, or free memory and run again."
)

NO_WORKER = (
    "No process can be started that measures: it dies at once. Check that there is memory, and "
    "that the model can be loaded (`endometer info`)."
)

_task: Task
_bundle: Bundle
_runtime: Runtime


def _begin(bundle: Path, task: Task) -> None:
    """Prepare a worker process. Its parent answers the keyboard."""
    global _task, _bundle, _runtime  # noqa: PLW0603 - what a process has once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    one_thread()
    _task, _bundle = task, load_bundle(bundle)
    _runtime = OpenVinoRuntime(_bundle, threads=1)


def _work(job: Job) -> Outcome:
    return perform(job, _task, _bundle, _runtime)


def _nothing() -> None:
    """Show that a process lives."""


def _end_with_parent() -> None:
    """End this process when its parent is killed; it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Have SimpleITK compute with one thread in this process: there is a process per core."""
    from SimpleITK import ProcessObject

    ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def cores() -> int:
    """Return how many cores this process may use, also within a container or a batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
