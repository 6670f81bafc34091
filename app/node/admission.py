"""Who may speak to the node: addresses before a byte is read, titles and rates at the request."""

import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from socketserver import BaseServer
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from app.node.metrics import Metrics
from app.node.settings import Limits, NodeError, Settings, Tls

LOG = logging.getLogger("endometer.node")
# Seconds in which a client must have spoken TLS.
HANDSHAKE = 10.0
# Connections that may be open beside the associations, and that have not asked for one yet: of all
# addresses, and of one.
SPARE, SPARE_OF_ONE = 16, 8


@dataclass
class Rate:
    """How often each address may begin an association: a bucket of tokens for each.

    A bucket holds a sixth of `per_minute`, and 10 at least, so that a scanner that opens an
    association for every object is not refused after a pause.
    """

    per_minute: int
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allows(self, address: str) -> bool:
        """Tell whether one more may begin now, and count it."""
        size = max(10.0, self.per_minute / 6)
        with self._lock:
            now = self.clock()
            tokens, since = self._buckets.get(address, (size, now))
            tokens = min(size, tokens + (now - since) * self.per_minute / 60)
            if len(self._buckets) > 10_000:  # full buckets tell nothing
                self._buckets = {
                    who: (left, at)
                    for who, (left, at) in self._buckets.items()
                    if left + (now - at) * self.per_minute / 60 < size
                }
            self._buckets[address] = (max(0.0, tokens - 1), now)
            return tokens >= 1


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return what TLS needs. Raises NodeError for files that cannot be used."""
    for path in (tls.certificate, tls.key, tls.clients):
        if path is not None and not path.is_file():
            raise NodeError(f"there is no file {path}, which TLS needs.")
    try:
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=tls.clients and str(tls.clients)
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError) as error:
        raise NodeError(
            f"certificate, key or authority cannot be used ({error}). They are PEM files; the key "
            "belongs to the certificate and has no password."
        ) from None
    if tls.clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Door(ThreadedAssociationServer):
    """pynetdicom's server, which lets in only some addresses, and so many connections.

    An address that is not allowed is cut off before TLS or DICOM: it learns nothing, and the log
    says it once a minute.
    """

    settings: Settings
    metrics: Metrics
    daemon_threads = True

    def __init__(
        self,
        *args: Any,
        settings: Settings,
        metrics: Metrics,
        tidy: Callable[[], None],
        **options: Any,
    ) -> None:
        """Listen; `tidy` is called a few times a second. Raises OSError."""
        self.settings, self.metrics, self._tidy = settings, metrics, tidy
        self._coming: set[tuple[str, int]] = set()
        self._counting = threading.Lock()
        self._told: dict[str, float] = {}
        self._closed: dict[Association, float] = {}
        super().__init__(*args, **options)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the handshake of TLS is the connection's own thread's matter.

        In the thread that accepts, one silent client would keep all others out.
        """
        accepted, address = self.socket.accept()  # type: ignore[union-attr]
        return accepted, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tell whether a connection may go on."""
        host = client_address[0]
        reason = None
        if not self._is_allowed(host):
            reason = "address"
        elif self._is_crowded(host):
            reason = "connections"
        if reason is not None:
            self.metrics.refused.labels(reason).inc()
            now = time.monotonic()
            if now - self._told.get(reason, -60.0) >= 60:
                self._told[reason] = now
                LOG.warning("connection refused: %s (%s)", reason, host)
        return reason is None

    def associations(self) -> int:
        """Return how many associations are open, or asked for."""
        return sum(each.requestor.primitive is not None for each in self.active_associations)

    def _is_crowded(self, host: str) -> bool:
        """Tell whether too many connections have not asked for an association yet."""
        with self._counting:
            silent = set(self._coming)  # no association yet, or speaking TLS
        for each in self.active_associations:
            address = each.requestor.address_info
            if each.requestor.primitive is None and address is not None:
                silent.add((address.address, address.port))
        from_host = sum(address == host for address, _ in silent)
        return len(silent) >= SPARE or from_host >= SPARE_OF_ONE

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        with self._counting:
            self._coming.add(client_address[:2])
        super().process_request(request, client_address)

    def _is_allowed(self, host: str) -> bool:
        networks = self.settings.networks
        if not networks:
            return True
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:192.0.2.1
        return any((mapped or address) in network for network in networks)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Speak TLS, if it is asked for, then DICOM."""
        try:
            if self.ssl_context is not None:
                request.settimeout(HANDSHAKE)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(None)
            super().process_request_thread(request, client_address)
        except OSError:  # ssl.SSLError is one; what comes later is handled where it comes
            self.metrics.refused.labels("tls").inc()
            LOG.warning("connection refused: tls (%s)", client_address[0])
            self.shutdown_request(request)
        finally:
            with self._counting:
                self._coming.discard(client_address[:2])

    def service_actions(self) -> None:
        """Let go of connections that were closed before a word was said.

        Such as those of a monitor that only looks whether the port is open: pynetdicom would wait
        for their request until its timeout, and count them as associations.
        """
        super().service_actions()
        self._tidy()
        now = time.monotonic()
        closed = {
            each: self._closed.get(each, now)
            for each in self.active_associations
            if each.requestor.primitive is None and each.dul.state_machine.current_state == "Sta1"
        }
        for each, since in closed.items():
            if now - since > 1:  # a connection begins in that state, too
                _let_go(each)
        self._closed = closed

    def dismiss(self) -> None:
        """End connections that have not asked for an association yet."""
        for each in self.active_associations:
            found = each.dul.socket
            if each.requestor.primitive is None and found is not None and found.socket is not None:
                with suppress(OSError):  # it may have gone by itself
                    found.socket.shutdown(socket.SHUT_RDWR)
                _let_go(each)

    def shutdown(self) -> None:
        """Stop listening. The base class' own would look for itself in a list that lacks it."""
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say that a connection failed, without what it held."""
        self.metrics.error()
        LOG.error("a connection failed (%s)", client_address[0])


def _let_go(association: Association) -> None:
    """End the wait for a request: None is what pynetdicom itself takes for none in time."""
    association.dul.to_user_queue.put(None)  # type: ignore[arg-type]


def limits_in_words(limits: Limits) -> str:
    """Return the limits for the log."""
    return (
        f"objects up to {limits.object_bytes:,} bytes, {limits.associations} associations, "
        f"{limits.associations_per_minute} a minute from one address, "
        f"{limits.free_bytes:,} bytes stay free"
    )
