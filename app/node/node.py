"""A node under way: receives, measures, sends, until it is told to stop."""

import fcntl
import logging
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import BinaryIO

from app.node.admission import limits_in_words
from app.node.archive import Archive
from app.node.measuring import Measurer
from app.node.metrics import Metrics, Page
from app.node.outbox import Outbox
from app.node.scp import Receiver
from app.node.sending import check, deliver
from app.node.settings import Destination, NodeError, Settings

LOG = logging.getLogger("endometer.node")
LOCK = "node.lock"


class Node:
    """Everything that works; started by creating it, ended by `stop`.

    Raises NodeError where something that it needs is missing or taken; nothing works then.
    """

    def __init__(self, settings: Settings) -> None:
        """Start, the port last: from then on every object that is accepted is kept."""
        check(settings.destinations)
        self._settings = settings
        self._lock = _take(settings.folder)
        self.metrics = Metrics()
        self.page: Page | None = None
        self._stop, self._queued = threading.Event(), threading.Event()
        try:
            archive = Archive(settings.folder)
            self.outbox = Outbox(settings.folder, settings.retry_seconds)
            self.measurer = Measurer(settings, archive, self.outbox, self.metrics, self._queued)
        except OSError as error:
            raise NodeError(f"{settings.folder} cannot be used: {error.strerror}.") from None
        self._sender = threading.Thread(target=self._send, name="sender")
        try:
            self.receiver = Receiver(settings, archive, self.metrics, self.measurer.hear)
        except (OSError, NodeError) as error:
            self.measurer.stop()
            raise _deaf(error) from None
        self._sender.start()
        try:
            if settings.metrics_port is not None:
                self.page = Page(settings.metrics_port, self.metrics, self.problems)
        except OSError as error:
            self.stop()
            raise _deaf(error) from None
        self._watch(archive)
        LOG.info("%d objects; %s", len(archive), limits_in_words(settings.limits))
        names = [each.name for each in settings.destinations]
        if left := self.outbox.stranded(names):
            LOG.warning("%d results wait for a destination that is not named any more", left)

    def _watch(self, archive: Archive) -> None:
        """Have the metrics ask for what is counted elsewhere."""
        watch = self.metrics.watch
        watch("objects", "Objects kept", lambda: len(archive))
        watch(
            "studies_waiting",
            "Studies not quiet, or not measured",
            lambda: len(self.measurer.quiet),
        )
        watch("free_bytes", "Free on the disk", self._free)
        for destination in self._settings.destinations:
            for state in ("waiting", "sent"):
                watch(
                    "outbox",
                    "Results by destination and state",
                    partial(self.outbox.count, destination.name, state),
                    destination=destination.name,
                    state=state,
                )

    def _free(self) -> float:
        return shutil.disk_usage(self._settings.folder).free

    def problems(self) -> list[str]:
        """Return what is wrong, in words without identity."""
        found = []
        if self._free() < self._settings.limits.free_bytes:
            found.append("the disk is full")
        if not self.measurer.is_alive:
            found.append("nothing is measured")
        if not self._sender.is_alive():
            found.append("nothing is sent")
        if not self.receiver.is_alive:
            found.append("nothing is received")
        return found

    def _send(self) -> None:
        """Send what is due, until told to stop."""
        while not self._stop.is_set():
            self._queued.clear()
            for destination in self._settings.destinations:
                try:
                    self._deliver(destination)
                except Exception as error:  # noqa: BLE001 - the others are still to be served
                    self.metrics.error()
                    LOG.error("the outbox failed: %s", type(error).__name__)
            self._queued.wait(min(1.0, self._settings.retry_seconds))

    def _deliver(self, destination: Destination) -> None:
        name = destination.name
        items = self.outbox.due(name)
        failed: set[str] = set()
        for item, why in deliver(self._settings, destination, items) if items else ():
            if why is None:
                self.outbox.sent(item)
                self.metrics.sent.labels(name).inc()
            else:
                pause = self.outbox.failed(item, why)
                self.metrics.failed_sends.labels(name).inc()
                self.metrics.error()
                if why not in failed:  # once for all that fail alike
                    failed.add(why)
                    LOG.warning("%s %s; the next try in %g s", name, why, pause)
            if self._stop.is_set():
                break

    def stop(self) -> None:
        """Let open associations end, stop measuring and sending, close everything."""
        LOG.info("stopping")
        self.receiver.stop(self._settings.grace_seconds)
        self._stop.set()
        self._queued.set()
        self.measurer.stop()
        self._sender.join()
        if self.page is not None:
            self.page.close()
        self.outbox.close()
        self._lock.close()
        LOG.info("stopped")


def _deaf(error: OSError | NodeError) -> NodeError:
    why = error.strerror if isinstance(error, OSError) else error
    return NodeError(
        f"the node cannot listen: {why}. Name another --port, --metrics-port or --host."
    )


def _take(folder: Path) -> BinaryIO:
    """Make a folder one's own; the operating system takes it back from a process that dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / LOCK).open("ab")
    except OSError as error:
        raise NodeError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise NodeError(f"{folder} is in use by another node.") from None
    return lock
