"""A node under way: receives, measures, sends, until it is told to stop."""

import fcntl
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import BinaryIO

from app.node.admission import limits_in_words
from app.node.archive import Archive
from app.node.measuring import Measurer
from app.node.metrics import Metrics, Page
from app.node.outbox import Outbox
from app.node.scp import Receiver
from app.node.sending import Courier, check
from app.node.settings import NodeError, Settings

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
        self.couriers: list[Courier] = []
        try:
            archive = Archive(settings.folder)
            self.outbox = Outbox(settings.folder, settings.retry_seconds)
            self.measurer = Measurer(settings, archive, self.outbox, self.metrics, self._tell)
        except OSError as error:
            raise NodeError(f"{settings.folder} cannot be used: {error.strerror}.") from None
        try:
            self.receiver = Receiver(settings, archive, self.metrics, self.measurer.hear)
        except (OSError, NodeError) as error:
            self.measurer.stop()
            raise _deaf(error, f"{settings.host}:{settings.port}") from None
        self.couriers += [
            Courier(settings, destination, self.outbox, self.metrics)
            for destination in settings.destinations
        ]
        try:
            if settings.metrics_port is not None:
                self.page = Page(settings.metrics_port, self.metrics, self.problems)
            self._watch(archive)
            left = self.outbox.stranded([each.name for each in settings.destinations])
        except BaseException as error:
            self.stop()  # its threads would outlive it
            if isinstance(error, OSError):
                raise _deaf(error, f"127.0.0.1:{settings.metrics_port}") from None
            raise
        LOG.info("%d objects; %s", len(archive), limits_in_words(settings.limits))
        LOG.info(
            "studies are measured after %g s without news; results go to %s; %s",
            settings.quiet_seconds,
            ", ".join(each.name for each in settings.destinations) or "nobody",
            "TLS" if settings.tls else "no TLS",
        )
        if left:
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
        found = self.measurer.problems()
        if self._free() < self._settings.limits.free_bytes:
            found.append("less is free on the disk than --min-free-mb")
        for courier in self.couriers:
            found += courier.problems()
        if not self.receiver.is_alive:
            found.append("nothing is received")
        return found

    def _tell(self) -> None:
        """Say that results are queued."""
        for courier in self.couriers:
            courier.hear()

    def stop(self) -> None:
        """Let open associations end, stop measuring and sending, close everything."""
        LOG.info("stopping")
        self.receiver.stop(self._settings.grace_seconds)
        self.measurer.stop()
        for courier in self.couriers:
            courier.stop()
        if self.page is not None:
            self.page.close()
        self.outbox.close()
        self._lock.close()
        LOG.info("stopped")


def _deaf(error: OSError | NodeError, where: str) -> NodeError:
    if isinstance(error, NodeError):
        return error
    return NodeError(
        f"the node cannot listen on {where}: {error.strerror}. Name another --port, --metrics-port "
        "or --host."
    )


def _take(folder: Path) -> BinaryIO:
    """Make a folder one's own; the operating system takes it back from a process that dies."""
    try:
        if folder.exists() and not folder.is_dir():
            raise NodeError(f"{folder} is a file, not a folder.")
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
