"""Quiet studies to results: one run over all clips, which measures what is new, then the queue.

The run is that of `endometer measure`, into `results/`, so that whoever reviews or reports finds
one folder. Its ledger keeps every number, so a run that dies goes on where it was.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from app.node.archive import Archive, key_of
from app.node.metrics import Metrics
from app.node.outbox import Outbox, Result
from app.node.quiet import Quiet
from app.node.settings import NodeError, Settings
from app.node.steps import reached
from inference.records import ClipRecord, Status

if TYPE_CHECKING:
    from inference.jobs import Engine
    from models.bundle import Bundle

LOG = logging.getLogger("endometer.node")
RESULTS = "results"
# Seconds until a run that failed, on a full disk for instance, is tried again.
PAUSE = 30.0
# Seconds without a clip done in a run, after which something hangs.
STANDSTILL = 600.0


class _StopError(Exception):
    """The node was told to stop; what was measured is kept."""


class _Watcher:
    """Ends a run when the node is told to stop; notes studies with clips that failed."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.last = time.monotonic()
        """When a clip was last done."""
        self.failed: set[str] = set()

    def clip(self, record: ClipRecord) -> None:
        """See Watcher of inference.run."""
        self.last = time.monotonic()
        if self._stop.is_set():
            raise _StopError
        if record.best.status is Status.FAILED:
            self.failed.add(Path(record.file).parent.name)

    def total(self, clips: int) -> None:
        """See Watcher of inference.run."""


def load_engine(settings: Settings) -> "tuple[Bundle, Engine]":
    """Return model and engine. Raises NodeError.

    On the CPU no clip is measured in the node's own process: what comes over a network can crash a
    decoder, and the node has associations open.
    """
    from inference.engines import Local, Threaded, cores
    from models.bundle import BundleError, load_bundle
    from models.runtime import DeviceError, choose_runtime

    try:
        bundle = load_bundle(settings.bundle)
        runtime = choose_runtime(bundle, settings.device)
    except (BundleError, DeviceError) as error:
        raise NodeError(str(error)) from None
    workers = settings.workers or cores()
    if runtime.device == "cpu":
        return bundle, Local(bundle, runtime, workers, here=0)
    return bundle, Threaded(bundle, runtime, workers)


class Measurer:
    """Measures in the background until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        outbox: Outbox,
        metrics: Metrics,
        queued: Callable[[], None],
    ) -> None:
        """Look at what a former node left undone. `queued` is called when results are."""
        self._settings, self._archive, self._outbox = settings, archive, outbox
        self._metrics, self._queued = metrics, queued
        undone = (s for s in archive.studies() if not outbox.is_done(s, archive.digest(s)))
        self.quiet = Quiet(settings.quiet_seconds, undone)
        self._studies: dict[str, str] = {}
        """The study of every result that was looked at, by file name."""
        self._failed: set[str] = set()
        """Studies of which a clip failed: the next run tries it again."""
        self._watcher: _Watcher | None = None
        self._wrong: str | None = None
        self._stop = threading.Event()
        self._model = load_engine(settings) if settings.measure else None
        self._thread = threading.Thread(target=self._work, name="measurer")
        if self._model is not None:
            self._thread.start()

    def hear(self, study_uid: str) -> None:
        """Note that a study got an object."""
        self.quiet.hear(key_of(study_uid))

    @property
    def is_alive(self) -> bool:
        """Tell whether it works, if it should."""
        return self._model is None or self._thread.is_alive()

    def problems(self) -> list[str]:
        """Return what is wrong, in words without identity."""
        found = [] if self.is_alive else ["nothing is measured"]
        if self._wrong is not None:
            found.append(self._wrong)
        watcher = self._watcher
        if watcher is not None and time.monotonic() - watcher.last > STANDSTILL:
            found.append(f"no clip was done for {STANDSTILL / 60:.0f} minutes of a run")
        return found

    def _work(self) -> None:
        pause = min(1.0, self._settings.quiet_seconds / 4 + 0.05)
        while not self._stop.wait(pause):
            studies = self.quiet.quiet()
            if not studies:
                continue
            try:
                self._measure(studies)
                end = "complete"
            except _StopError:
                end = "stopped"
            except Exception as error:  # noqa: BLE001 - a node that measures nothing must say so
                end = "failed"
                self._metrics.error()
                self._wrong = "the last run ended early"
                LOG.error("the run ended early: %s; the next one in %g s", _words(error), PAUSE)
                self._stop.wait(PAUSE)
            finally:
                self._watcher = None
            self._metrics.runs.labels(end).inc()

    def _measure(self, studies: dict[str, float]) -> None:
        """Measure all clips that are new; queue the results of these studies."""
        from inference.clip import Settings as How
        from inference.run import Output, measure

        if self._model is None:
            return
        # Taken before the run: what comes during it makes the study undone again.
        done = {study: self._archive.digest(study) for study in {*studies, *self._failed}}
        bundle, engine = self._model
        folder = self._settings.folder / RESULTS
        self._watcher = watcher = _Watcher(self._stop)
        run = measure(
            [self._archive.clips],
            bundle,
            engine,
            How(threshold_mm=self._settings.threshold_mm),
            output=Output(folder, self._settings.kinds),
            watcher=watcher,
        )
        reached("measured")
        self._wrong = None
        self._metrics.clips.clear()
        for status, clips in run.status.items():
            self._metrics.clips.labels(status).set(clips)
        for note, clips in run.dicom_notes.items():
            LOG.warning("%s (%d clips)", note, clips)
        # A clip that failed may go well the next time, and have a result then;
        # its study is not done.
        self._failed = watcher.failed
        marks = {study: "" if study in self._failed else digest for study, digest in done.items()}
        names = [destination.name for destination in self._settings.destinations]
        new = self._outbox.queue(marks, self._results(folder / "dicom", done), names)
        self.quiet.settle(studies)
        LOG.info(
            "%d studies quiet; %d clips in the tables, %d deliveries queued",
            len(studies),
            run.files,
            new,
        )
        if new:
            self._queued()

    def _results(self, folder: Path, studies: dict[str, str]) -> Iterator[Result]:
        """Yield the results of studies that were never queued.

        One that cannot be read, as after a power cut, is taken away, so that the next run makes it
        anew; NodeError then, and no study is done before that.
        """
        from pydicom import dcmread

        if not folder.is_dir():
            return
        queued, damaged = self._outbox.names(), 0
        for path in sorted(folder.glob("*.dcm")):
            known = self._studies.get(path.name)
            if path.name in queued or (known is not None and known not in studies):
                continue
            try:
                made = dcmread(path, stop_before_pixels=True)
                study, uid = key_of(str(made.StudyInstanceUID)), str(made.SOPInstanceUID)
            except Exception:  # noqa: BLE001 - whatever is wrong with it
                path.unlink()
                damaged += 1
                continue
            self._studies[path.name] = study
            if study in studies:
                yield Result(uid, path)
        if damaged:
            raise NodeError(f"{damaged} results could not be read and are made anew")

    def stop(self) -> None:
        """End after the clips that are being measured; return when that is so."""
        self._stop.set()
        if self._model is not None:
            self._thread.join()


def _words(error: Exception) -> str:
    """Return an error for the log: ours have words without identity, of others only the kind."""
    from inference.jobs import EngineError
    from inference.tables import OutputError

    if isinstance(error, OutputError | EngineError | NodeError):
        return str(error)
    return type(error).__name__
