"""The engine for a Dask cluster: Slurm, Kubernetes, or a row of workstations."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import islice
from time import monotonic, sleep
from typing import TYPE_CHECKING

from imaging.identity import ClipIdentity
from inference.engines import one_thread
from inference.jobs import EngineError, Job, Outcome, Task, lost, perform
from models.bundle import Bundle, BundleError, load_bundle
from models.runtime import DeviceError, OpenVinoRuntime, choose_runtime

if TYPE_CHECKING:
    from distributed import Client, Future, as_completed

# Jobs with a worker thread or waiting for it: enough that none is idle while an answer travels.
IN_FLIGHT = 3
# How long a run waits for a worker when the last one has left, in seconds, and how often it looks
# meanwhile who is there; how long it sleeps between two looks for a result.
PATIENCE, LOOKS, LOOK = 300.0, 10, 0.02
# After how many seconds a result is asked for anew: the worker that had it may be gone, and another
# have it by then. Results are a few kilobytes.
FETCH = 10.0
# A worker's resource that says it has a GPU, as in `dask worker --resources GPU=1`.
GPU = "GPU"


@dataclass(frozen=True)
class Dask:
    """Measures on the workers of a running cluster.

    Workers need this version of endometer, the files under the same paths, and the output folder
    for overlays. With the device cuda, only workers with the resource GPU are used. A worker that
    dies has its files measured by others. Without any worker for `patience` seconds the run ends.
    """

    bundle: Bundle
    address: str
    device: str = "cpu"
    patience: float = PATIENCE

    def run(self, jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        """See Engine."""
        try:
            from distributed import Client
        except ImportError:
            raise EngineError("--engine dask needs pip install 'endometer[dask]'.") from None
        try:
            client = Client(self.address, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineError(
                f"--scheduler {self.address} does not answer: {error}. Start one with "
                "`dask scheduler`, and workers with `dask worker ADDRESS`."
            ) from None
        with client:
            try:
                _check(client, self)
            except EngineError:
                raise
            except Exception as error:  # noqa: BLE001 - what a worker without endometer raises
                raise EngineError(
                    f"A worker cannot be asked what it has ({type(error).__name__}: {error}). All "
                    "workers need endometer installed."
                ) from None
            yield from self._measure(client, jobs, task)

    def _measure(self, client: "Client", jobs: Iterator[Job], task: Task) -> Iterator[Outcome]:
        from distributed import CancelledError, KilledWorker, as_completed

        waiting: dict[Future, Job] = {}
        suspects: set[Job] = set()
        results = as_completed(loop=client.loop)
        # Neither key nor identity is needed to measure, and a cluster keeps logs.
        task = replace(task, settings=replace(task.settings, pseudonym_key=None))

        def submit(job: Job) -> None:
            future = client.submit(
                _work,
                replace(job, identity=ClipIdentity()),
                task,
                self.bundle,
                self.device,
                _version(),
                pure=False,  # what a file holds may change between two runs
                resources={GPU: 1} if self.device == "cuda" else None,
            )
            waiting[future] = job
            results.add(future)

        def fill() -> None:
            room = max(1, IN_FLIGHT * sum(client.nthreads().values())) - len(waiting)
            for job in islice(jobs, max(0, room)):
                submit(job)

        fill()
        while waiting:
            future = self._next(client, results)
            job = waiting.pop(future)
            outcome: Outcome | None = None
            try:
                outcome = self._result(client, future)
            except KilledWorker:
                # Workers died three times with this clip, or beside it.
                if job in suspects:
                    outcome = lost(job, DIED, self.bundle, self.device)
                else:
                    suspects.add(job)
                    submit(job)
            except (CancelledError, OSError, BundleError, DeviceError) as error:
                raise EngineError(
                    f"The cluster at {self.address} cannot go on: {error or 'it is gone'}. Start "
                    "it anew and run the same command again: it goes on from here."
                ) from None
            future.release()
            fill()
            if outcome is not None:
                record = replace(outcome.record, identity=job.identity)
                yield replace(outcome, job=job, record=record)

    def _next(self, client: "Client", results: "as_completed") -> "Future":
        """Wait until a job is done. Raises EngineError where no worker is left to do it."""
        patience = _Patience(client, self)
        while not results.has_ready():
            sleep(LOOK)
            patience.check()
        return next(results)

    def _result(self, client: "Client", future: "Future") -> Outcome:
        """Bring the result of a job that was done; one that left with its worker is made again.

        Raises EngineError where no worker is left to make it, and what the job raised.
        """
        patience = _Patience(client, self)
        while True:
            try:
                found: Outcome = future.result(timeout=min(FETCH, self.patience / LOOKS))
                return found
            except TimeoutError:
                if future.status == "error":
                    raise  # it is the job's own
                patience.check()


class _Patience:
    """Waits for workers that left, but not for ever."""

    def __init__(self, client: "Client", engine: Dask) -> None:
        self._client, self._engine = client, engine
        self._asked = self._alone = monotonic()

    def check(self) -> None:
        """Look now and then who is there. Raises EngineError where nobody was for too long."""
        engine = self._engine
        if monotonic() - self._asked < engine.patience / LOOKS:
            return
        self._asked = monotonic()
        if _usable(self._client, engine.device):
            self._alone = self._asked
        elif self._asked - self._alone >= engine.patience:
            raise EngineError(
                f"The cluster at {engine.address} has had no worker for {engine.patience:g} s that "
                "could go on. Start some and run the same command again: it goes on from here."
            )


DIED = (
    "The workers that measured this clip died of it: a fault in a decoder, or too little memory. "
    "The other clips are not affected. Check the file, or give the workers more memory."
)


def _check(client: "Client", engine: Dask) -> None:
    """Raise EngineError if a worker cannot do this job, or there is none."""
    found: dict[str, str] = client.run(_problem, engine.bundle, _version())
    if not found:
        raise EngineError(
            f"The scheduler at {engine.address} has no worker. Start one with "
            f"`dask worker {engine.address}`."
        )
    for worker, problem in sorted(found.items()):
        if problem:
            raise EngineError(f"The worker {worker} cannot be used: {problem}")
    if engine.device == "cuda" and not _usable(client, engine.device):
        raise EngineError(
            f"No worker has the resource {GPU}. Start them with --resources {GPU}=1, or use "
            "--device cpu."
        )


def _usable(client: "Client", device: str) -> bool:
    """Tell whether any worker can take a job for a device."""
    workers = client.scheduler_info()["workers"].values()
    return any(device != "cuda" or GPU in worker["resources"] for worker in workers)


def _version() -> str:
    return metadata.version("endometer")


def _problem(bundle: Bundle, version: str) -> str:
    """Return, on a worker, why it cannot measure; an empty string if it can."""
    try:
        _same(bundle, version)
    except BundleError as error:
        return str(error)
    return ""


def _same(bundle: Bundle, version: str) -> Bundle:
    """Load the model of the machine that asks: the installed one, or from the same path.

    Raises BundleError if there is none, or if this is another version of endometer.
    """
    if _version() != version:
        raise BundleError(f"it has endometer {_version()}, not {version}.")
    for path in (None, bundle.path):
        found = load_bundle(path)
        if replace(found, path=bundle.path) == bundle:
            return found
    raise BundleError(f"{bundle.path} is another model than on the machine that asks.")


_own = threading.local()  # a compiled network serves one thread at a time


def _work(job: Job, task: Task, bundle: Bundle, device: str, version: str) -> Outcome:
    """Measure on a worker, with the network that its thread keeps from file to file.

    Workers may join a cluster at any time, so everything is checked here, too. Raises BundleError,
    DeviceError.
    """
    if getattr(_own, "key", None) != (bundle, device, version):
        own = _same(bundle, version)
        one_thread()  # there is a worker thread per core
        _own.runtime = (
            OpenVinoRuntime(own, threads=1) if device == "cpu" else choose_runtime(own, device)
        )
        _own.key, _own.bundle = (bundle, device, version), own
    return perform(job, task, _own.bundle, _own.runtime)
