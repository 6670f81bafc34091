"""What every request passes first: host, size, origin; and the headers of every answer."""

import json
import logging
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("endometer.review")
MOST_BODY = 2**20
TOO_LARGE = f"The request is larger than {MOST_BODY:,} bytes."
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class _TooLargeError(HTTPException):
    """Passes through whatever reads the body, with its own status."""

    def __init__(self) -> None:
        super().__init__(413)


class Guard:
    """Outermost middleware. Logs method, route, status and time: no address, token or name."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, hsts: bool = False) -> None:
        """Let through requests to `hosts` (names without a port) only."""
        self._app = app
        self._hosts = frozenset(host.casefold().strip("[]") for host in hosts)
        self._headers = dict(HEADERS)
        if hsts:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, started = time.monotonic(), 500, False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
                del headers["server"]
            await send(message)

        taken = 0

        async def body() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                raise _TooLargeError
            return message

        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, body, answer)
            else:
                await _refuse(answer, *refusal)
        except _TooLargeError:
            if not started:
                await _refuse(answer, 413, TOO_LARGE)
        except Exception as error:  # noqa: BLE001 - its text may hold what is in a file
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            LOG.error("%s at %s", type(error).__name__, place)
            if not started:
                await _refuse(answer, 500, f"A fault of endometer at {place}: please report it.")
        finally:
            route = getattr(scope.get("route"), "path", "-")
            took = 1000 * (time.monotonic() - began)
            LOG.info("%s %s %d %.0f ms", scope["method"], route, status, took)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _host_of(hosts[0]) not in self._hosts:
            return 421, "This server does not answer to that name."
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers and "content-length" in headers:
            return 400, "The request states its length in two ways."  # one for a proxy, one for us
        if not length.isascii() or not length.isdigit():
            return 400, "The length of the request is no number."
        if int(length) > MOST_BODY:
            return 413, TOO_LARGE
        if scope["method"] in _CHANGES and not self._is_own(headers, hosts[0]):
            return 403, "This request comes from another site."
        return None

    @staticmethod
    def _is_own(headers: Headers, host: str) -> bool:
        """Tell whether a change was asked for by a page of this server (or by no page at all)."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        try:
            return origin is None or urlsplit(origin).netloc.casefold() == host.casefold()
        except ValueError:
            return False


def _host_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def _refuse(send: Any, status: int, words: str) -> None:
    body = json.dumps({"error": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
