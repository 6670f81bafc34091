"""The DICOM side: verification (PS3.4 A) and storage (PS3.4 B) of ultrasound."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

import pynetdicom
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, _config, dimse_messages, evt, register_uid
from pynetdicom.service_class import StorageServiceClass

from app.node.admission import Door, Rate, context_of
from app.node.archive import Archive, Kept
from app.node.guard import Desk
from app.node.metrics import Metrics
from app.node.refusals import SECONDARY_CAPTURE, RefusedError, Why, look_at
from app.node.settings import Settings
from app.node.sinks import Sinks
from imaging.modality import ULTRASOUND_SOP_CLASSES

LOG = logging.getLogger("endometer.node")
SUCCESS = 0x0000
VERIFICATION = "1.2.840.10008.1.1"
# Screens of an ultrasound scanner may come as captures; the run refuses those of other modalities.
SOP_CLASSES = (*sorted(ULTRASOUND_SOP_CLASSES), SECONDARY_CAPTURE)
# pynetdicom knows the classes that PS3.6 still has, and would cut off who sends a retired one.
RETIRED = {
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
}
for _uid, _keyword in RETIRED.items():
    register_uid(_uid, _keyword, StorageServiceClass)
# What pynetdicom makes the file of an incoming object with; see app.node.sinks.
FILE = "NamedTemporaryFile"
# Seconds without a byte after which an association ends.
IDLE = 60.0
REJECTIONS = {0x03: "calling_title", 0x07: "called_title"}
Heard = Callable[[str], None]
"""Hears of the study, by its UID, that got a new object."""


def transfer_syntaxes() -> list[UID]:
    """Return the transfer syntaxes that are decoded here, uncompressed ones first."""
    found = []
    for uid in AllTransferSyntaxes:
        try:
            if get_decoder(uid).is_available:
                found.append(uid)
        except NotImplementedError:
            continue
    return sorted(found, key=lambda uid: uid.is_compressed and not uid.is_deflated)


class Receiver:
    """Listens, and keeps what comes; `heard` is told of every new object's study."""

    def __init__(
        self, settings: Settings, archive: Archive, metrics: Metrics, heard: Heard
    ) -> None:
        """Listen. Raises NodeError, or OSError where the port is taken."""
        self._settings, self._archive = settings, archive
        self._metrics, self._heard = metrics, heard
        limits = settings.limits
        self._sinks = Sinks(archive.incoming, limits.object_bytes, limits.free_bytes)
        if left := self._sinks.clear():
            LOG.info("%d unfinished objects of a former node taken away", left)
        self._outcomes: WeakKeyDictionary[Any, Counter[str]] = WeakKeyDictionary()
        """What became of the objects of each association."""
        self._rate = Rate(settings.limits.associations_per_minute)
        self._stopping = threading.Event()
        # Its messages quote what peers say; ours do not.
        logging.getLogger(pynetdicom.__name__).propagate = False
        _config.LOG_HANDLER_LEVEL = "none"
        self._before = (_config.STORE_RECV_CHUNKED_DATASET, getattr(dimse_messages, FILE))
        self._receive_with(True, self._sinks.make)
        self._server = self._listen()
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="scp", daemon=True
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Tell whether it listens."""
        return self._thread.is_alive()

    @staticmethod
    def _receive_with(to_file: bool, make: Any) -> None:
        """Set how pynetdicom receives, which is so for the whole process."""
        _config.STORE_RECV_CHUNKED_DATASET = to_file
        setattr(dimse_messages, FILE, make)

    def _listen(self) -> Door:
        settings = self._settings
        ae = AE(settings.title)
        ae.require_calling_aet = list(settings.callers)
        ae.require_called_aet = settings.require_called
        ae.maximum_associations = 10_000  # it counts those, too, that have asked for nothing yet
        ae.network_timeout = ae.dimse_timeout = IDLE
        ae.acse_timeout = 10.0  # seconds until a connection must have asked for something
        ae.maximum_pdu_size = 128 * 1024  # fewer, larger fragments than the default of 16 KiB
        ae.add_supported_context(VERIFICATION)
        for sop_class in SOP_CLASSES:
            ae.add_supported_context(sop_class, transfer_syntaxes())
        return cast(
            Door,
            ae.make_server(
                (settings.host, settings.port),
                ssl_context=context_of(settings.tls) if settings.tls else None,
                evt_handlers=[
                    (evt.EVT_C_STORE, self._store),
                    (evt.EVT_REQUESTED, self._requested),
                    (evt.EVT_REJECTED, self._rejected),
                    (evt.EVT_CONN_CLOSE, self._closed),
                ],
                server_class=Door,
                request_handler=Desk,
                settings=settings,
                metrics=self._metrics,
                tidy=self._abandon,
            ),
        )

    def _requested(self, event: Any) -> None:
        """Reject an association where there are too many (PS3.8 table 9-21)."""
        host = event.assoc.requestor.address_info.address
        reason = None
        if self._stopping.is_set():
            reason = "stopping"
        elif not self._rate.allows(host):
            reason = "rate"
        elif self._server.associations() > self._settings.limits.associations:
            reason = "associations"
        if reason is not None:
            self._metrics.refused.labels(reason).inc()
            LOG.warning("association refused: %s (%s)", reason, host)
            # Transient: local limit exceeded, or temporary congestion
            diagnostic = 0x02 if reason == "associations" else 0x01
            event.assoc.acse.send_reject(0x02, 0x03, diagnostic)
            event.assoc.kill()

    def _rejected(self, event: Any) -> None:
        given = event.assoc.acceptor.primitive
        reason = REJECTIONS.get(given.diagnostic, "other")
        self._metrics.refused.labels(reason).inc()
        LOG.warning(
            "association refused: %s (%s)", reason, event.assoc.requestor.address_info.address
        )

    def _closed(self, event: Any) -> None:
        self._abandon(event.assoc.dul)
        if outcomes := self._outcomes.pop(event.assoc, None):
            told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
            LOG.info("objects from %s: %s", event.assoc.requestor.address_info.address, told)

    def _abandon(self, owner: threading.Thread | None = None) -> None:
        if left := self._sinks.abandon(owner):
            LOG.warning("%d objects came in part and were dropped", left)

    def _store(self, event: Any) -> int:
        """Keep an object; return the status that its sender hears."""
        outcomes = self._outcomes.setdefault(event.assoc, Counter())
        try:
            kept = self._keep(event)
        except RefusedError as error:
            outcomes["refused"] += 1
            return self._refused(error.why)
        outcomes[kept.value] += 1
        return SUCCESS

    def _keep(self, event: Any) -> Kept:
        """Keep an object. Raises RefusedError."""
        try:
            sink = self._sinks.take(event.dataset_path)
        except KeyError:  # its connection has ended meanwhile
            raise RefusedError(Why.INTERNAL) from None
        limits = self._settings.limits
        try:
            if sink.problem is not None:
                raise RefusedError(Why.DISK if sink.problem == "disk" else Why.TOO_LARGE)
            sink.finish()
            names = look_at(
                sink.path,
                str(event.request.AffectedSOPClassUID),
                str(event.request.AffectedSOPInstanceUID),
                limits.object_bytes,
            )
            kept = self._archive.keep(sink, names.object_uid, names.study_uid)
        except RefusedError:
            raise
        except OSError as error:
            LOG.error("an object cannot be kept: %s", error.strerror)
            raise RefusedError(Why.DISK) from None
        except Exception as error:  # noqa: BLE001 - a sender must hear that nothing was kept
            LOG.error("an object cannot be kept: %s", type(error).__name__)
            raise RefusedError(Why.INTERNAL) from None
        finally:
            sink.close()
            sink.path.unlink(missing_ok=True)
        self._metrics.received.labels(kept.value).inc()
        if kept is not Kept.CONFLICT:
            # A duplicate, too: the first may have been kept, and its sender told otherwise.
            self._heard(names.study_uid)
        if kept is Kept.STORED:
            self._metrics.stored_bytes.inc(sink.size)
        elif kept is Kept.CONFLICT:
            LOG.warning("an object came again with other bytes; it lies in conflicts/, unmeasured")
        return kept

    def _refused(self, why: Why) -> int:
        self._metrics.refused.labels(why.reason).inc()
        if why in (Why.DISK, Why.INTERNAL):
            self._metrics.error()
        LOG.warning("object refused: %s (status 0x%04X)", why.reason, why.status)
        return why.status

    def stop(self, grace_seconds: float) -> None:
        """Take no more associations, let open ones end, abort those that do not."""
        self._stopping.set()
        deadline = time.monotonic() + grace_seconds
        while self._server.active_associations and time.monotonic() < deadline:
            self._server.dismiss()
            time.sleep(0.05)
        left = self._server.active_associations
        if left:
            LOG.warning("%d associations were open too long and are aborted", len(left))
        for association in left:
            association.abort()
        self._server.shutdown()
        self._receive_with(*self._before)
