"""The command line: a DICOMweb server as the source of `measure`, and as where results go."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import usage

if TYPE_CHECKING:
    from data.dicomweb import Address, Query, Server
    from data.found import Found, Searched, Skipped
    from inference.run import Search

PANEL = "DICOMweb"
Study = Annotated[
    str | None, typer.Option(metavar="UID", help="Measure this study.", rich_help_panel=PANEL)
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Measure studies since 2026-01-31.", rich_help_panel=PANEL),
]
Modality = Annotated[
    str,
    typer.Option(
        metavar="US,SR",
        help="Of those studies, series of these modalities: US, or US,SR for the scanner's "
        "reports, too.",
        rich_help_panel=PANEL,
    ),
]
PlainHttp = Annotated[
    bool,
    typer.Option(
        "--plain-http",
        help="Allow dicomweb+http:// to another machine, without encryption.",
        rich_help_panel=PANEL,
    ),
]
Stow = Annotated[
    bool,
    typer.Option(
        "--stow",
        help="Send what --dicom wrote back to the server (STOW-RS).",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Remote:
    """A server to measure from, and what is asked of it."""

    address: "Address"
    query: "Query"
    stow: bool

    @property
    def asked(self) -> str:
        """What is asked of it, in words."""
        study, since = self.query.study, self.query.since
        day = date.fromisoformat(since).isoformat() if since else ""
        which = f"study {study}" if study else f"studies of {day} or later (StudyDate)"
        return f"{', '.join(self.query.modalities)} of {which}"

    def check(self, *, dicom: str | None, engine: str) -> None:
        """Raise what ends a call whose other options do not fit."""
        if self.stow and not dicom:
            raise usage("--stow sends what --dicom writes: add --dicom sr, for instance.")
        if engine == "dask":
            raise usage("--engine dask cannot reach what is fetched here from a DICOMweb server.")

    @contextmanager
    def connected(self) -> Iterator["Server"]:
        """Talk to the server. Raises DicomwebError, or what ends a call with half a login."""
        from data.dicomweb import NEEDS, DicomwebError, connected

        try:
            from data.web import Credentials, CredentialsError
        except ImportError:
            raise DicomwebError(NEEDS) from None
        try:
            credentials = Credentials.of()
        except CredentialsError as error:
            raise usage(str(error)) from None
        with connected(self.address, credentials) as server:
            yield server


def remote_of(
    sources: list[Path],
    *,
    study: str | None,
    since: str | None,
    modality: str,
    plain_http: bool,
    stow: bool,
) -> Remote | None:
    """Return the server among the sources, None without one; raise what ends a wrong call."""
    named = [str(source) for source in sources if re.match(r"dicomweb(\+http)?:", str(source))]
    if not named:
        if study or since or plain_http or stow:
            raise usage(
                "--study, --since, --plain-http and --stow belong to a source dicomweb://HOST/PATH."
            )
        return None
    if len(sources) > 1:
        raise usage("a DICOMweb server is the only source of a run: name files in another run.")

    from data.dicomweb import DicomwebError, Query, address_of

    try:
        address = address_of(named[0], plain_http=plain_http)
    except DicomwebError as error:
        raise usage(str(error)) from None
    if (study is None) == (since is None):
        raise usage("say which studies: --study UID, or --since DATE such as 2026-01-31.")
    if study is not None and not re.fullmatch(r"[0-9][0-9.]{0,63}", study):
        raise usage(f"--study {study[:70]!r} is no UID: digits and dots, at most 64.")
    modalities = tuple(part.strip().upper() for part in modality.split(","))
    if not all(re.fullmatch(r"[A-Z0-9_ ]{1,16}", part) for part in modalities):
        raise usage(f"--modality {modality[:40]!r} is no list of modalities such as US,SR.")
    return Remote(address, Query(study, _date(since), modalities), stow)


def _date(text: str | None) -> str | None:
    """Return a date as DICOM writes it."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text).strftime("%Y%m%d")
    except ValueError:
        raise usage(f"--since {text[:20]!r} is no date such as 2026-01-31.") from None


def search_of(server: "Server", query: "Query") -> "Search":
    """Return how a run searches a server, instead of folders."""

    def search(
        _sources: Iterable[Path], _leave_out: Path | None
    ) -> Iterator["Found | Skipped | Searched"]:
        return server.search(query)

    return search


def send_back(server: "Server", folder: Path) -> tuple[int, int, list[str]]:
    """Send the DICOM results in a folder; return how many were sent, were there already, and why
    others were not taken."""
    from data.dicomweb import DicomwebError

    sent, there, problems = 0, 0, []
    for path in sorted(folder.glob("*.dcm")):
        try:
            if server.store(path):
                sent += 1
            else:
                there += 1
        except DicomwebError as error:
            problems.append(f"{path.name}: {error}")
    return sent, there, problems
