"""What a DICOMweb server answers, which is not trusted, and what goes wrong with it, in words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imaging.errors import ClipError, cause

_UID = re.compile(r"[0-9][0-9.]{0,63}")  # PS3.5 9.1


class DicomwebError(Exception):
    """A server cannot be asked; the message says what was tried and what to do."""


class BrokenOffError(DicomwebError):
    """A transfer ended early, so that it is worth another attempt."""


class NotTakenError(DicomwebError):
    """A server refuses an object for what it is; others it may take."""


# Answers after which another object is not worth a try: who is not let in, or comes too often.
_OF_THE_CALLER = frozenset({401, 403, 407, 429, 503})


@contextmanager
def asking(what: str) -> Iterator[None]:
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
        kind = DicomwebError if status in _OF_THE_CALLER else NotTakenError
        raise kind(f"{what} was answered with HTTP status {status}. {todo}") from None
    except requests.exceptions.SSLError:
        raise DicomwebError(
            f"{what} was not asked for: the server's certificate is not trusted. Name the "
            "hospital's authority in REQUESTS_CA_BUNDLE, or say dicomweb+http:// if the server has "
            "no TLS."
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


def value_of(entry: Any, tag: str) -> str | None:
    """Return the first value of a tag in an entry of DICOM JSON (PS3.18 F.2), None without one."""
    values = entry.get(tag, {}).get("Value") or [None]
    return None if values[0] is None else str(values[0])


def uid_of(entry: Any, tag: str) -> str:
    """Return a UID of an entry. Raises DicomwebError: it becomes a part of an address."""
    uid = value_of(entry, tag)
    if uid is None or not _UID.fullmatch(uid):
        raise DicomwebError("the list holds an entry without a valid UID. Ask who runs the server.")
    return uid


def instance_in(path: Path) -> str | None:
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
