"""Results to where they belong: C-STORE to an archive, or STOW-RS to a DICOMweb server."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.node.metrics import Metrics
from app.node.outbox import Item, Outbox
from app.node.settings import Destination, NodeError, Peer, Settings
from app.node.steps import reached
from data.dicomweb import NEEDS
from data.dicomweb_address import Address
from data.dicomweb_answers import DicomwebError, NotTakenError

LOG = logging.getLogger("endometer.node")
# PS3.4 table B.2-1: warnings of C-STORE; the object was kept.
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
WAIT = 30.0
# Seconds at fault after which a destination is a problem of the node.
PATIENCE = 600.0


@dataclass(frozen=True)
class Delivered:
    """What became of a result: `why` it was not sent, in words without identity; None if it was.

    `goes_on` is False where the destination is at fault, not the result: nothing else is tried.
    """

    item: Item
    why: str | None = None
    goes_on: bool = True


def deliver(
    settings: Settings, destination: Destination, items: Sequence[Item]
) -> Iterator[Delivered]:
    """Send results; yield what became of each that was tried, as soon as that is known.

    Ends early where the destination is at fault. Raises nothing for a result or a destination.
    """
    if isinstance(destination, Peer):
        yield from _store(settings, destination, items)
    else:
        yield from _stow(destination, items)


def _store(settings: Settings, peer: Peer, items: Sequence[Item]) -> Iterator[Delivered]:
    from pydicom import dcmread
    from pynetdicom import AE

    ae = AE(settings.title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT
    ae.connection_timeout = WAIT
    objects, contexts = [], set()
    for item in items:
        try:
            found = dcmread(item.path)
            contexts.add((str(found.SOPClassUID), str(found.file_meta.TransferSyntaxUID)))
            objects.append((item, found))
        except Exception as error:  # noqa: BLE001 - one unreadable copy must not stop the others
            yield Delivered(item, f"its copy cannot be read ({type(error).__name__})")
    if not objects:
        return
    for pair in sorted(contexts):
        ae.add_requested_context(*pair)
    try:
        association = ae.associate(peer.host, peer.port, ae_title=peer.title)
    except Exception as error:  # noqa: BLE001 - a name that leads nowhere, for instance
        yield Delivered(objects[0][0], f"cannot be reached ({type(error).__name__})", goes_on=False)
        return
    if not association.is_established:
        why = "rejected the association" if association.is_rejected else "cannot be reached"
        yield Delivered(objects[0][0], why, goes_on=False)
        return
    try:
        for item, found in objects:
            reached("sending")
            done = _stored(association, item, found)
            yield done
            if not done.goes_on:
                return
    finally:
        if association.is_established:
            association.release()


def _stored(association: Any, item: Item, found: Any) -> Delivered:
    """Send one object. After an association that ended, the next one begins with another object."""
    try:
        status = association.send_c_store(found)
    except ValueError:
        return Delivered(item, f"does not take objects of the class {found.SOPClassUID.name}")
    except Exception as error:  # noqa: BLE001 - RuntimeError if it has ended, others for the object
        return Delivered(item, f"ended the association ({type(error).__name__})", goes_on=False)
    code = status.get("Status")
    if code is None:
        return Delivered(item, "gave no answer", goes_on=False)
    if code == 0 or code in WARNINGS:
        return Delivered(item)
    return Delivered(item, f"answered with status 0x{code:04X}")


def _stow(address: Address, items: Sequence[Item]) -> Iterator[Delivered]:
    from data.dicomweb import connected
    from data.web import Credentials, Limits

    # One attempt: the outbox makes the others.
    limits = Limits(connect_s=WAIT, read_s=WAIT, retries=0)
    with connected(address, Credentials.of(), limits) as server:
        for item in items:
            reached("sending")
            try:
                server.store(item.path)
            except NotTakenError as error:
                yield Delivered(item, f"refuses a result: {error}")
            except DicomwebError as error:
                yield Delivered(item, f"takes nothing: {error}", goes_on=False)
                return
            else:
                yield Delivered(item)


class Courier:
    """Sends what is due to one destination, in a thread of its own.

    A destination at fault is left alone for a pause; only what was tried counts as failed, and is
    behind all others then. So no result keeps up others, and no destination another.
    """

    def __init__(
        self, settings: Settings, destination: Destination, outbox: Outbox, metrics: Metrics
    ) -> None:
        """Begin."""
        self._settings, self._destination = settings, destination
        self._outbox, self._metrics = outbox, metrics
        self._stop, self._news = threading.Event(), threading.Event()
        self._failures = 0
        self._since: float | None = None
        """When the destination was first at fault, if it still is."""
        self._thread = threading.Thread(target=self._work, name="courier")
        self._thread.start()

    def problems(self) -> list[str]:
        """Return what is wrong, in words without identity."""
        if not self._thread.is_alive():
            return ["nothing is sent"]
        since = self._since
        if since is None or time.monotonic() - since < PATIENCE:
            return []
        return [f"{self._destination.name} has taken nothing for {PATIENCE / 60:.0f} minutes"]

    def hear(self) -> None:
        """Note that there is something new."""
        self._news.set()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._news.clear()
            try:
                well = self._deliver()
            except Exception as error:  # noqa: BLE001 - the next try may go well
                well = False
                self._metrics.error()
                LOG.error("the outbox failed: %s", type(error).__name__)
            if well:
                self._failures, self._since = 0, None
                self._news.wait(min(1.0, self._settings.retry_seconds))
                continue
            self._since = self._since or time.monotonic()
            pause = self._outbox.pause(self._failures)
            self._failures += 1
            LOG.warning("%s is left alone for %g s", self._destination.name, pause)
            self._stop.wait(pause)

    def _deliver(self) -> bool:
        """Send what is due; return whether the destination is well."""
        name = self._destination.name
        items = self._outbox.due(name)
        told: set[str] = set()
        sent = 0
        done = None
        for done in deliver(self._settings, self._destination, items) if items else ():
            if done.why is None:
                self._outbox.sent(done.item)
                sent += 1
                self._failures, self._since = 0, None
                self._metrics.sent.labels(name).inc()
            else:
                self._outbox.failed(done.item, done.why)
                self._metrics.failed_sends.labels(name).inc()
                self._metrics.error()
                if done.why not in told:  # once for all that fail alike
                    told.add(done.why)
                    LOG.warning("%s %s", name, done.why)
            if not done.goes_on or self._stop.is_set():
                break
        if sent:
            LOG.info("%s has taken %d results", name, sent)
        return done is None or done.goes_on

    def stop(self) -> None:
        """End after the result that is being sent; return when that is so."""
        self._stop.set()
        self._news.set()
        self._thread.join()


def check(destinations: Sequence[Destination]) -> None:
    """Raise NodeError if what a DICOMweb destination needs is missing: packages, half a login."""
    if not any(isinstance(each, Address) for each in destinations):
        return
    try:
        import dicomweb_client  # noqa: F401

        from data.web import Credentials, CredentialsError
    except ImportError:
        raise NodeError(NEEDS) from None
    try:
        Credentials.of()
    except CredentialsError as error:
        raise NodeError(str(error)) from None
    for name in ("dicomweb_client", "urllib3"):  # they quote UIDs and addresses
        logging.getLogger(name).propagate = False
