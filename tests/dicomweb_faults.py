"""A DICOMweb server in this process that does what a test tells it to, and remembers requests."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

STUDY, SERIES = "1.2.3", "1.2.3.4"
BOUNDARY = "part-of-it"
JSON = "application/dicom+json"


def entry(**values: Any) -> dict[str, Any]:
    """An entry of DICOM JSON by tag, as `entry(_00080018="1.2")`."""
    return {tag.strip("_"): {"vr": "UI", "Value": [value]} for tag, value in values.items()}


def multipart(content: bytes, *, end: bool = True) -> bytes:
    """A multipart/related answer with one part; without its end, one that is cut off."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return head + content + (f"\r\n--{BOUNDARY}--\r\n".encode() if end else b"")


@dataclass
class Faults:
    """What the server has: instances by UID, lists by path, and functions that answer instead.

    `answers` maps a part of a path to a function of the handler; `asked` are path and headers of
    every request.
    """

    instances: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Callable[["Handler"], None]] = field(default_factory=dict)
    page: int = 2
    knows_offset: bool = True
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def count(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in path for path, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    faults: Faults

    def log_message(self, *_: Any) -> None:
        pass

    def send(
        self,
        content: bytes,
        kind: str = "application/dicom+json",
        status: int = 200,
        **headers: Any,
    ) -> None:
        self.send_response(status)
        said = {"Content-Type": kind, "Content-Length": len(content)}
        for name, value in (said | {k.replace("_", "-"): v for k, v in headers.items()}).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)

    def do_GET(self) -> None:
        faults = self.faults
        faults.asked.append((self.path, dict(self.headers)))
        path, _, query = self.path.partition("?")
        for part, answer in faults.answers.items():
            if part in self.path:
                answer(self)
                return
        if path.endswith("/studies"):
            self._list([entry(_0020000D=STUDY)], query)
        elif path.endswith("/series"):
            self._list([entry(_0020000E=SERIES) | entry(_00080060="US")], query)
        elif path.endswith("/instances"):
            self._list([entry(_00080018=uid) for uid in faults.instances], query)
        else:
            content = multipart(faults.instances[path.rpartition("/")[2]])
            self.send(content, f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')

    def _list(self, entries: list[dict[str, Any]], query: str) -> None:
        asked = dict(pair.split("=") for pair in query.split("&") if "=" in pair)
        start = int(asked.get("offset", 0)) if self.faults.knows_offset else 0
        self.send(json.dumps(entries[start : start + self.faults.page]).encode())


@contextmanager
def faulty(instances: dict[str, bytes] | None = None) -> Iterator[Faults]:
    """Run the server on a port of this machine."""
    faults = Faults(dict(instances or {}))
    handler = type("OwnHandler", (Handler,), {"faults": faults})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    faults.address = f"dicomweb+http://127.0.0.1:{server.server_port}/web"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
