"""HTTP for DICOMweb: what is sent where, how long anything may take, how much it may be.

A server is not trusted: its answers are bounded in bytes and in time, and it cannot send the
caller, or what the caller may show, on to somebody else.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError
from urllib3.util.retry import Retry

TOKEN, USER, PASSWORD = (f"ENDOMETER_DICOMWEB_{name}" for name in ("TOKEN", "USER", "PASSWORD"))
PIECE = 2**18
RETRIED = (429, 500, 502, 503, 504)


class CredentialsError(Exception):
    """The environment names only half of a login; the message says what is missing."""


class AnswerError(requests.RequestException):
    """An answer is larger, slower, or from elsewhere than is believed."""


@dataclass(frozen=True)
class Limits:
    """How much patience and room a server gets."""

    connect_s: float = 10.0
    read_s: float = 60.0
    """Silence that ends a transfer."""
    retries: int = 4
    """Of a request that was answered with one of RETRIED, or not at all."""
    backoff_s: float = 0.5
    """Before the second retry; doubled with every further one."""
    longest_wait_s: float = 30.0
    """However long a server asks to wait (Retry-After)."""
    slow_after_s: float = 60.0
    slowest: float = 10_000.0
    """Bytes per second, on average, once a transfer has taken `slow_after_s`."""
    most_json: int = 2**26
    """Bytes of a list of studies, series or instances."""
    most_instance: int = 2**33
    """Bytes of an instance, as of a member of a zip."""


@dataclass(frozen=True)
class Credentials:
    """What a caller shows. Its repr is empty: it may come into a log."""

    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> "Credentials":
        """Return what the environment says; empty if it says nothing. Raises CredentialsError."""
        said = os.environ if environment is None else environment
        token, user, password = (said.get(name) or None for name in (TOKEN, USER, PASSWORD))
        if (user is None) != (password is None):
            raise CredentialsError(f"{USER} and {PASSWORD} belong together: set both or neither.")
        if token and user:
            raise CredentialsError(f"Both {TOKEN} and {USER} are set: set one of them.")
        if any(not mark.isprintable() for mark in (token or "") + (user or "") + (password or "")):
            raise CredentialsError(f"{TOKEN}, {USER} or {PASSWORD} holds a control character.")
        return cls(token, user, password)

    @property
    def empty(self) -> bool:
        """Tell whether there are none."""
        return self.token is None and self.user is None


class _Auth(AuthBase):
    """Shows a token or a login, or nothing; requests then asks no `.netrc` for one."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        said = self._credentials
        if said.token is not None:
            request.headers["Authorization"] = f"Bearer {said.token}"
        elif said.user is not None and said.password is not None:
            basic = HTTPBasicAuth(said.user.encode(), said.password.encode())
            return basic(request)
        return request


class _Retry(Retry):
    """Retries, of which no server makes long ones."""

    longest_s = Limits.longest_wait_s

    def get_retry_after(self, response: Any) -> float | None:
        found = super().get_retry_after(response)
        return None if found is None else min(found, self.longest_s)


class _Bounded(requests.Response):
    """An answer that ends in an error when it is too large or too slow."""

    limits = Limits()
    most = Limits.most_json

    def iter_content(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Yield the content as it comes, in pieces of any size up to PIECE before unpacking.

        `requests` waits until a piece is full, for which a server that drips can take for ever.
        Raises AnswerError, and RequestException where the connection breaks off.
        """
        if self._content_consumed:
            yield self.content
            return
        yield from self._counted(self._as_it_comes())
        self._content_consumed = True

    def _as_it_comes(self) -> Iterator[bytes]:
        try:
            while piece := self.raw.read1(PIECE, decode_content=True):
                yield piece
        except ProtocolError as error:
            raise requests.exceptions.ChunkedEncodingError(error) from None
        except DecodeError as error:
            raise requests.exceptions.ContentDecodingError(error) from None
        except HTTPError as error:  # above all silence for too long
            raise requests.exceptions.ConnectionError(error) from None

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        there, started = 0, time.monotonic()
        for piece in pieces:
            there += len(piece)
            if there > self.most:
                raise AnswerError(f"it has more than {self.most:,} bytes")
            taken = time.monotonic() - started
            if taken > self.limits.slow_after_s and there < self.limits.slowest * taken:
                raise AnswerError(f"it comes too slowly: {there:,} bytes in {taken:.0f} s")
            yield piece


class _Adapter(HTTPAdapter):
    def __init__(self, limits: Limits) -> None:
        retries = type("_OurRetry", (_Retry,), {"longest_s": limits.longest_wait_s})
        super().__init__(
            max_retries=retries(
                total=limits.retries,
                backoff_factor=limits.backoff_s,
                status_forcelist=RETRIED,
                allowed_methods=("GET", "POST"),  # to store an instance twice stores it once
                raise_on_status=False,
            )
        )
        self._limits = limits

    def build_response(
        self, req: requests.PreparedRequest, resp: HTTPResponse
    ) -> requests.Response:
        found = super().build_response(req, resp)
        bounded = _Bounded()
        bounded.__dict__.update(found.__dict__)
        bounded.limits = self._limits
        whole = "application/dicom+json" in (req.headers.get("Accept") or "")
        bounded.most = self._limits.most_json if whole else self._limits.most_instance
        return bounded


class Session(requests.Session):
    """A session with one server: requests and redirects to any other are refused."""

    def __init__(self, url: str, credentials: Credentials, limits: Limits) -> None:
        """Prepare for requests to the server of `url`, which is http or https."""
        super().__init__()
        self._origin = _origin(url)
        self.auth = _Auth(credentials)
        self.headers["Accept-Encoding"] = "identity"  # pictures are compressed as they are
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(limits))
        self.max_redirects = 5

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send it. Raises AnswerError if it would go to another server."""
        self._check(request.url or "")
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer sends us on to. Raises AnswerError for another server."""
        target = super().get_redirect_target(resp)
        if target is not None:
            self._check(urljoin(resp.url, target))
        return target

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep what is shown: redirects stay with the server; no `.netrc` is asked."""

    def _check(self, url: str) -> None:
        if _origin(url) != self._origin:
            scheme, host, port = _origin(url)
            raise AnswerError(
                f"it sends us on to {scheme}://{(host or '')[:80]}:{port}, which is not the server "
                "that was named"
            )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port
