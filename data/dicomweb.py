"""A DICOMweb server as a source of clips: QIDO-RS finds them, WADO-RS brings one at a time.

PS3.18, sections 10.6 and 10.4. A clip is fetched when it has to be read and given back when it was
measured, so that the disk holds as many as are being measured. One whose entry in the server's list
has not changed since it was measured is not fetched again.
"""

import hashlib
import ipaddress
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from data.found import Found, Searched, Skipped
from imaging.errors import ClipError, cause
from imaging.source import Source, Stamp

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

    from data.web import Credentials, Limits, Session

SCHEME, PLAIN_SCHEME = "dicomweb", "dicomweb+http"
NEEDS = (
    "DICOMweb needs a package that is not installed; get it with: pip install 'endometer[dicomweb]'"
)
PAGE = 200
"""Entries asked for at once; a server may give fewer."""
MOST_ENTRIES = 1_000_000
ATTEMPTS = 3
"""To fetch an instance that breaks off."""
ROOM = 2**28
"""Bytes of the disk that are left to others."""
_STUDY, _SERIES, _INSTANCE, _MODALITY = "0020000D", "0020000E", "00080018", "00080060"
_UID = re.compile(r"[0-9][0-9.]{0,63}")  # PS3.5 9.1
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class DicomwebError(Exception):
    """A server cannot be asked; the message says what was tried and what to do."""


class BrokenOffError(DicomwebError):
    """A transfer ended early, so that it is worth another attempt."""


@dataclass(frozen=True)
class Address:
    """Where a server is: the URL that is asked, and what it is called in the tables."""

    url: str
    name: str


@dataclass(frozen=True)
class Query:
    """What is asked for: one study, or those since a date (YYYYMMDD), of some modalities."""

    study: str | None = None
    since: str | None = None
    modalities: tuple[str, ...] = ("US",)


@dataclass(frozen=True, order=True)
class Fetched(Source):
    """An instance of a server, in a file of its own while it is needed.

    `alias` is its name in the tables; `version` tells whether the server's entry has changed.
    """

    alias: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """The name in the tables."""
        return self.alias

    def stamp(self) -> Stamp:
        """Return a stamp of the server's entry; nothing is fetched for it."""
        return Stamp(0, int(self.version, 16))

    def discard(self) -> None:
        """Delete the file, if it is there."""
        self.path.unlink(missing_ok=True)


def address_of(text: str, *, plain_http: bool = False) -> Address:
    """Return where `dicomweb://HOST/PATH` is: by https, or by http as `dicomweb+http://`.

    Plain http leaves this machine only with `plain_http`. Raises DicomwebError, which never quotes
    the text: it may hold a password.
    """
    said = re.fullmatch(rf"({re.escape(PLAIN_SCHEME)}|{SCHEME}):/+(.+)", text)
    try:
        parts = urlsplit(f"//{said[2]}" if said else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        said, host, port = None, None, None
    if not said or not host or parts.query or parts.fragment:
        raise DicomwebError("a DICOMweb source looks like dicomweb://HOST/PATH, or HOST:PORT/PATH.")
    if "@" in parts.netloc:
        raise DicomwebError(
            "a login does not belong into the address, where others can read it: set "
            "ENDOMETER_DICOMWEB_USER and ENDOMETER_DICOMWEB_PASSWORD."
        )
    scheme = "http" if said[1] == PLAIN_SCHEME else "https"
    if scheme == "http" and not plain_http and not _is_here(host):
        raise DicomwebError(
            f"{PLAIN_SCHEME}:// to another machine shows pictures and passwords to everybody on "
            f"the way. Use {SCHEME}://, or say --plain-http if that is wanted."
        )
    shown = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    path = parts.path.rstrip("/")
    return Address(f"{scheme}://{shown}{path}", f"{said[1]}://{shown}{path}")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def connected(
    address: Address, credentials: "Credentials", limits: "Limits | None" = None
) -> Iterator["Server"]:
    """Talk to a server; its files are gone afterwards. Raises DicomwebError."""
    try:
        from dicomweb_client.api import DICOMwebClient

        from data.web import Limits, Session
    except ImportError:
        raise DicomwebError(NEEDS) from None
    limits = limits or Limits()
    session = Session(address.url, credentials, limits)
    if _is_here(urlsplit(address.url).hostname or ""):
        session.trust_env = False  # no proxy leads to this machine
    try:
        client = DICOMwebClient(
            address.url, session=session, timeout=(limits.connect_s, limits.read_s)
        )
    except ValueError:
        raise DicomwebError(f"{address.name} is no address of a server.") from None
    client.host = urlsplit(address.url).netloc  # it leaves the port out of the Host header
    client.set_http_retry_params(retry=False)  # the session does it, and honours Retry-After
    with session, tempfile.TemporaryDirectory(prefix="endometer-dicomweb-") as folder:
        yield Server(address, client, session, limits, Path(folder))


@dataclass(frozen=True)
class Server:
    """A DICOMweb server, and the folder for what is fetched from it."""

    address: Address
    client: "DICOMwebClient" = field(repr=False)
    session: "Session" = field(repr=False)
    limits: "Limits"
    folder: Path

    def search(self, query: Query) -> Iterator[Found | Skipped | Searched]:
        """Yield the instances that a query asks for, as `data.discover.discover` yields files.

        A study or a series that cannot be listed is yielded with its problem. Raises DicomwebError
        if there is no list of studies.
        """
        files = 0
        for study in [query.study] if query.study else self._studies(query):
            for item in self._of_study(study, query):
                files += 1
                yield item
        yield Searched(self.address.name, files)

    def _studies(self, query: Query) -> Iterator[str]:
        filters = {"StudyDate": f"{query.since}-"} if query.since else {}
        seen: set[str] = set()
        for modality in query.modalities or (None,):
            asked = filters | ({"ModalitiesInStudy": modality} if modality else {})
            found = self._entries(
                _STUDY, self.client.search_for_studies, "studies", search_filters=asked
            )
            for uid, _ in found:
                if uid not in seen:
                    seen.add(uid)
                    yield uid

    def _of_study(self, study: str, query: Query) -> Iterator[Found]:
        where = f"{self.address.name}/studies/{study}"
        try:
            for series, entry in self._entries(
                _SERIES, self.client.search_for_series, "series", study_instance_uid=study
            ):
                said = _value(entry, _MODALITY)
                if said is None or not query.modalities or said in query.modalities:
                    yield from self._of_series(study, series)
        except DicomwebError as error:
            source = Fetched(self.folder / "none", alias=where, version="0")
            yield Found(source, problem=f"The study cannot be listed: {error}")

    def _of_series(self, study: str, series: str) -> Iterator[Found]:
        path = f"studies/{study}/series/{series}"
        try:
            for uid, entry in self._entries(
                _INSTANCE,
                self.client.search_for_instances,
                "instances",
                study_instance_uid=study,
                series_instance_uid=series,
            ):
                yield self._found(f"{path}/instances/{uid}", uid, entry)
        except DicomwebError as error:
            source = Fetched(self.folder / "none", alias=f"{self.address.name}/{path}", version="0")
            yield Found(source, problem=f"The series cannot be listed: {error}")

    def _found(self, path: str, uid: str, entry: dict[str, Any]) -> Found:
        listed = json.dumps(entry, sort_keys=True, default=str).encode()
        source = Fetched(
            self.folder / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.dcm",
            alias=f"{self.address.name}/{path}",
            version=hashlib.sha256(listed).hexdigest()[:32],
        )
        return Found(source, fetch=lambda: self._fetch(path, uid, source.path))

    def _entries(
        self, tag: str, ask: Callable[..., list[dict[str, Any]]], what: str, **options: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield UID and entry of a list, page by page; what a server repeats comes once.

        A server that knows no offset repeats its first page, which is the end of the list.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            with _asking(f"the list of {what}"):
                page = ask(limit=PAGE, offset=offset, **options)
                found = [(_uid(entry, tag), entry) for entry in page]
            new = {uid: entry for uid, entry in found if uid not in seen}
            if not new:
                return
            seen |= new.keys()
            yield from new.items()
            offset += len(page)
            if offset > MOST_ENTRIES:
                raise DicomwebError(
                    f"the list of {what} has more than {MOST_ENTRIES:,} entries. Ask for less: "
                    "--study UID, or a later --since."
                )

    def _fetch(self, path: str, uid: str, target: Path) -> None:
        """Bring an instance, unless it is there. Raises ClipError."""
        if target.is_file():
            return
        for attempt in range(ATTEMPTS):
            try:
                with _asking("the instance"):
                    self._bring(path, target)
                break
            except DicomwebError as error:
                if attempt == ATTEMPTS - 1 or not isinstance(error, BrokenOffError):
                    raise ClipError(f"The instance cannot be fetched: {error}") from None
        if _uid_in(target) not in (None, uid):
            target.unlink()
            raise ClipError(
                "The server sent another instance than the one asked for (its SOP instance UID is "
                "another). Nothing is measured from it; tell who runs the server."
            )

    def _bring(self, path: str, target: Path) -> None:
        from data.multipart import MultipartError, boundary_of, first_part
        from data.web import AnswerError

        with self.session.get(
            f"{self.address.url}/{path}",
            headers={"Accept": _ACCEPT},
            stream=True,
            timeout=(self.limits.connect_s, self.limits.read_s),
        ) as answer:
            answer.raise_for_status()
            said = answer.headers.get("Content-Type") or "none"
            boundary = boundary_of(said)
            alone = boundary is None and said.split(";")[0].strip() == "application/dicom"
            if boundary is None and not alone:
                raise MultipartError(f"its type is {said.split(';')[0][:40]!r}, not DICOM")
            stated = answer.headers.get("Content-Length") or ""
            size = int(stated) if stated.isascii() and stated.isdigit() else 0
            if size > self.limits.most_instance:
                raise AnswerError(f"it has {size:,} bytes, more than {self.limits.most_instance:,}")
            free = shutil.disk_usage(self.folder).free - ROOM
            if size > free:
                raise AnswerError(f"it has {size:,} bytes, but the disk has room for {free:,}")
            pieces: Iterable[bytes] = answer.iter_content(2**18)
            if boundary is not None:
                pieces = first_part(iter(pieces), boundary)
            part = target.with_suffix(".part")
            try:
                with part.open("wb") as file:
                    for piece in pieces:
                        file.write(piece)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)

    def store(self, path: Path) -> bool:
        """Send a DICOM file to the server (STOW-RS); False if it has that instance already.

        Raises DicomwebError if it cannot be read or is not taken.
        """
        from pydicom import dcmread

        with _asking(f"the result {path.name}"):
            made = dcmread(path)
            study, series, uid = (
                str(made[name].value)
                for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
            there = self.client.search_for_instances(
                study_instance_uid=study,
                series_instance_uid=series,
                search_filters={"SOPInstanceUID": uid},
            )
            if any(_value(entry, _INSTANCE) == uid for entry in there):
                return False
            answer = self.client.store_instances([made], study_instance_uid=study)
            refused = answer.get("FailedSOPSequence") or []
            if refused:
                why = refused[0].get("FailureReason")
                code = f" (reason {int(why):#06x}, PS3.18 I.2.2)" if why is not None else ""
                raise DicomwebError(f"the server did not take it{code}. Ask who runs the server.")
        return True


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turn what goes wrong with a request into a DicomwebError, without anything of the answer."""
    import requests

    from data.multipart import MultipartError
    from data.web import PASSWORD, TOKEN, USER, AnswerError

    try:
        yield
    except DicomwebError:
        raise
    except AnswerError as error:
        raise DicomwebError(f"{what} is not taken: {error}.") from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        todo = {
            401: f"Set {TOKEN}, or {USER} and {PASSWORD}.",
            403: f"Ask whether {USER} or the token may read this.",
            404: "Check address and UID.",
            429: "The server is busy: run again later, it goes on from here.",
        }.get(status, "Run again later, or ask who runs the server.")
        raise DicomwebError(f"{what} was answered with HTTP status {status}. {todo}") from None
    except requests.exceptions.SSLError:
        raise DicomwebError(
            f"{what} was not asked for: the server's certificate is not trusted. Name the "
            "hospital's authority in REQUESTS_CA_BUNDLE."
        ) from None
    except MultipartError as error:
        raise BrokenOffError(
            f"{what} came damaged: {error}. Run again, or ask who runs the server."
        ) from None
    except requests.exceptions.JSONDecodeError:
        raise DicomwebError(f"{what} cannot be understood: it is no JSON.") from None
    except requests.RequestException as error:
        raise BrokenOffError(
            f"{what} did not come ({type(error).__name__}). Check the address and the network."
        ) from None
    except OSError as error:
        raise DicomwebError(
            f"{what} cannot be kept: {cause(error)}. Make room, or point TMPDIR at a folder that "
            "has it."
        ) from None
    except Exception as error:  # noqa: BLE001 - hostile answers raise anything, and are quoted
        raise DicomwebError(f"{what} cannot be understood ({type(error).__name__}).") from None


def _value(entry: Any, tag: str) -> str | None:
    """Return the first value of a tag in an entry of DICOM JSON (PS3.18 F.2), None without one."""
    values = entry.get(tag, {}).get("Value") or [None]
    return None if values[0] is None else str(values[0])


def _uid(entry: Any, tag: str) -> str:
    """Return a UID of an entry. Raises DicomwebError: it becomes a part of an address."""
    uid = _value(entry, tag)
    if uid is None or not _UID.fullmatch(uid):
        raise DicomwebError("the list holds an entry without a valid UID. Ask who runs the server.")
    return uid


def _uid_in(path: Path) -> str | None:
    """Return the SOP instance UID in a file, None where it says none: the reader will tell why."""
    from pydicom import dcmread

    from imaging.dicom_file import parsing
    from imaging.identity import text

    try:
        with parsing():
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
            return text(header, "SOPInstanceUID")
    except ClipError:
        return None
