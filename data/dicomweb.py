"""A DICOMweb server as a source of clips: QIDO-RS finds them, WADO-RS brings one at a time.

PS3.18, sections 10.6 and 10.4. A clip is fetched when it has to be read and given back when it was
measured, so that the disk holds as many as are being measured. One whose entry in the server's list
has not changed since it was measured is not fetched again.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from data.dicomweb_address import Address, address_of, is_here
from data.dicomweb_answers import (
    BrokenOffError,
    DicomwebError,
    NotTakenError,
    asking,
    instance_in,
    uid_of,
    value_of,
)
from data.found import Found, Searched, Skipped
from imaging.errors import ClipError
from imaging.source import Source, Stamp

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

    from data.web import Credentials, Limits, Session

__all__ = ["Address", "DicomwebError", "Query", "Server", "address_of", "connected"]

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
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


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
    if is_here(urlsplit(address.url).hostname or ""):
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
                said = value_of(entry, _MODALITY)
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
            with asking(f"the list of {what}"):
                page = ask(limit=PAGE, offset=offset, **options)
                found = [(uid_of(entry, tag), entry) for entry in page]
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
                with asking("the instance"):
                    self._bring(path, target)
                break
            except DicomwebError as error:
                if attempt == ATTEMPTS - 1 or not isinstance(error, BrokenOffError):
                    raise ClipError(f"The instance cannot be fetched: {error}") from None
        if instance_in(target) not in (None, uid):
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
            pieces: Iterable[bytes] = answer.iter_content()
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

        Raises NotTakenError if it cannot be read or is not taken, DicomwebError for what would
        befall others, too.
        """
        from pydicom import dcmread

        try:
            made = dcmread(path)
            study, series, uid = (
                str(made[name].value)
                for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
        except Exception as error:  # noqa: BLE001 - a damaged file raises anything
            kind = type(error).__name__
            raise NotTakenError(f"the result {path.name} cannot be read ({kind}).") from None
        with asking(f"the result {path.name}"):
            there = self.client.search_for_instances(
                study_instance_uid=study,
                series_instance_uid=series,
                search_filters={"SOPInstanceUID": uid},
            )
            if any(value_of(entry, _INSTANCE) == uid for entry in there):
                return False
            answer = self.client.store_instances([made], study_instance_uid=study)
            refused = answer.get("FailedSOPSequence") or []
            if refused:
                why = refused[0].get("FailureReason")
                code = f" (reason {int(why):#06x}, PS3.18 I.2.2)" if why is not None else ""
                raise NotTakenError(f"the server did not take it{code}. Ask who runs the server.")
        return True
