"""What a node has done, for Prometheus, and whether it is well, for whoever restarts it.

Both are served on loopback alone. Nothing that a sender says becomes a label.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

PREFIX = "endometer_node"
Health = Callable[[], list[str]]
"""Returns what is wrong, in words without identity; nothing if all is well."""


class Metrics:
    """The counters of one node; any thread may use them."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        self.received = Counter(
            f"{PREFIX}_received",
            "Objects kept, by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            f"{PREFIX}_refused",
            "Objects and associations refused",
            ["reason"],
            registry=self.registry,
        )
        self.stored_bytes = Counter(
            f"{PREFIX}_stored_bytes", "Bytes of new objects", registry=self.registry
        )
        self.clips = Gauge(
            f"{PREFIX}_clips",
            "Clips in the tables, by status of the measurement",
            ["status"],
            registry=self.registry,
        )
        self.runs = Counter(
            f"{PREFIX}_runs", "Runs over the clips, by their end", ["end"], registry=self.registry
        )
        self.sent = Counter(
            f"{PREFIX}_sent", "Results sent", ["destination"], registry=self.registry
        )
        self.failed_sends = Counter(
            f"{PREFIX}_failed_sends",
            "Deliveries that failed",
            ["destination"],
            registry=self.registry,
        )
        self.last_error = Gauge(
            f"{PREFIX}_last_error_timestamp_seconds",
            "When something last failed; 0 never",
            registry=self.registry,
        )
        self._gauges: dict[str, Gauge] = {}

    def watch(self, name: str, help_text: str, value: Callable[[], float], **labels: str) -> None:
        """Have a number asked for whenever the metrics are read."""
        known = self._gauges.get(name)
        if known is None:
            known = Gauge(f"{PREFIX}_{name}", help_text, list(labels), registry=self.registry)
            self._gauges[name] = known
        (known.labels(**labels) if labels else known).set_function(value)

    def error(self) -> None:
        """Note that something failed now."""
        self.last_error.set(time.time())


class Page:
    """`/metrics` and `/health` on 127.0.0.1."""

    def __init__(self, port: int, metrics: Metrics, health: Health) -> None:
        """Listen; 0 takes a free port. Raises OSError."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds, of a client that does not speak

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
                elif self.path == "/health":
                    wrong = health()
                    body = {"status": "failing" if wrong else "ok", "problems": wrong}
                    self._answer(
                        503 if wrong else 200, "application/json", json.dumps(body).encode()
                    )
                else:
                    self._answer(404, "text/plain", b"/metrics, /health\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: what is asked for is no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True, name="metrics").start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
