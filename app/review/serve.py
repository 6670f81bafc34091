"""Start the server: on this machine by itself, in a thread of its own for tests."""

import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn

from app.review.desk import Desk
from app.review.server import create_app
from app.review.settings import ReviewError, Settings

START_SECONDS = 60.0


class Running:
    """A server that is being served. `address` has no slash at its end."""

    def __init__(self, desk: Desk, address: str) -> None:
        """Keep where it is."""
        self.desk = desk
        self.address = address

    def entry(self) -> str:
        """Return an address that opens the page, once; without accounts by a one-time token."""
        if self.desk.settings.accounts:
            return f"{self.address}/worklist"
        return f"{self.address}/?token={self.desk.sessions.new_token()}"


def listen(settings: Settings) -> tuple[socket.socket, Settings]:
    """Take the port; return it, and the settings with its number. Raises ReviewError."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, settings.port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise ReviewError(
            f"{settings.host} port {settings.port} cannot be used: {error.strerror}. Choose "
            "another with --host and --port."
        ) from None
    return taken, replace(settings, port=taken.getsockname()[1])


def _server(settings: Settings) -> tuple[uvicorn.Server, socket.socket, Running]:
    taken, settings = listen(settings)
    try:
        app = create_app(settings)
    except BaseException:
        taken.close()
        raise
    options: dict[str, Any] = {}
    if settings.certificate is not None:
        options = {"ssl_certfile": settings.certificate, "ssl_keyfile": settings.key}
    config = uvicorn.Config(
        app,
        access_log=False,  # addresses hold tokens
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        proxy_headers=False,
        ws="none",
        **options,
    )
    scheme = "https" if settings.certificate else "http"
    name = settings.host if ":" not in settings.host else f"[{settings.host.strip('[]')}]"
    running = Running(app.state.desk, f"{scheme}://{name}:{settings.port}")
    return uvicorn.Server(config), taken, running


def serve(settings: Settings, ready: Callable[[Running], None]) -> None:
    """Serve until interrupted; `ready` is called once the port is taken. Raises ReviewError."""
    # Readers of files warn with what the file says and where it lies.
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    if settings.accounts:
        log = logging.getLogger("endometer.review")
        log.setLevel(logging.INFO)
        log.addHandler(logging.StreamHandler())
    server, taken, running = _server(settings)
    try:
        ready(running)
        server.run(sockets=[taken])
    finally:
        running.desk.close()
        taken.close()


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve in a thread. Raises ReviewError."""
    server, taken, found = _server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    until = time.monotonic() + START_SECONDS
    try:
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise ReviewError("the server did not start.")
            time.sleep(0.01)
        yield found
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        found.desk.close()
        taken.close()
