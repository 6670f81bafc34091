"""Results to where they belong: C-STORE to an archive, or STOW-RS to a DICOMweb server."""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from app.node.outbox import Item
from app.node.settings import Destination, NodeError, Peer, Settings, Web
from app.node.steps import reached

LOG = logging.getLogger("endometer.node")
# PS3.4 table B.2-1: warnings of C-STORE; the object was kept.
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
WAIT = 30.0
Delivered = tuple[Item, str | None]
"""A result, and why it could not be sent, in words without identity; None if it was."""


def deliver(
    settings: Settings, destination: Destination, items: Sequence[Item]
) -> Iterator[Delivered]:
    """Send results; yield what became of each as soon as that is known. Raises nothing for them."""
    if isinstance(destination, Peer):
        yield from _store(settings, destination, items)
    else:
        yield from _stow(destination, items)


def _store(settings: Settings, peer: Peer, items: Sequence[Item]) -> Iterator[Delivered]:
    from pydicom import dcmread
    from pynetdicom import AE

    objects = []
    for item in items:
        try:
            objects.append((item, dcmread(item.path)))
        except Exception as error:  # noqa: BLE001 - one unreadable copy must not stop the others
            yield item, f"its copy cannot be read ({type(error).__name__})"
    ae = AE(settings.title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT
    ae.connection_timeout = WAIT
    for pair in sorted({(str(o.SOPClassUID), _syntax(o)) for _, o in objects}):
        ae.add_requested_context(*pair)
    if not objects:
        return
    association = ae.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        why = "rejected the association" if association.is_rejected else "cannot be reached"
        for item, _ in objects:
            yield item, why
        return
    try:
        for item, found in objects:
            reached("sending")
            yield item, _stored(association, found)
    finally:
        if association.is_established:
            association.release()


def _syntax(found: Any) -> str:
    return str(found.file_meta.TransferSyntaxUID)


def _stored(association: Any, found: Any) -> str | None:
    """Send one object; return why it failed."""
    try:
        status = association.send_c_store(found)
    except ValueError:
        return "does not take objects of this class"
    except RuntimeError:
        return "ended the association"
    code = status.get("Status")
    if code is None:
        return "gave no answer"
    return None if code == 0 or code in WARNINGS else f"answered with status 0x{code:04X}"


def _stow(web: Web, items: Sequence[Item]) -> Iterator[Delivered]:
    from pydicom import dcmread

    client = _client(web)
    down = None
    for item in items:
        if down is not None:
            yield item, down
            continue
        try:
            found = dcmread(item.path)
        except Exception as error:  # noqa: BLE001 - as above
            yield item, f"its copy cannot be read ({type(error).__name__})"
            continue
        reached("sending")
        why, down = _stowed(client, found)
        yield item, why


def _stowed(client: Any, found: Any) -> tuple[str | None, str | None]:
    """Send one object; return why it failed, and that again if others would fail, too."""
    from requests import ConnectionError as Unreachable
    from requests import HTTPError, RequestException

    try:
        answer = client.store_instances([found])
    except HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        why = f"answered with HTTP status {code}"
        # 409: none of the objects was stored (PS3.18 table 10.5.3-1), which is this one's matter.
        return why, None if code in (400, 409, 413, 415) else why
    except (Unreachable, RequestException) as error:
        why = f"cannot be reached ({type(error).__name__})"
        return why, why
    failed = answer.get("FailedSOPSequence") or []
    if failed:
        code = failed[0].get("FailureReason") or 0
        return f"answered with failure reason 0x{int(code):04X}", None
    return None, None


def _client(web: Web) -> Any:
    from dicomweb_client.api import DICOMwebClient
    from requests import Session

    for name in ("dicomweb_client", "urllib3"):  # they quote UIDs and addresses
        logging.getLogger(name).propagate = False
    session = Session()
    token = os.environ.get("ENDOMETER_STOW_TOKEN")
    user = os.environ.get("ENDOMETER_STOW_USER")
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    elif user:
        session.auth = (user, os.environ.get("ENDOMETER_STOW_PASSWORD", ""))
    client = DICOMwebClient(web.url, session=session, timeout=WAIT)
    client.set_http_retry_params(retry=False)  # the outbox does that
    return client


def check(destinations: Sequence[Destination]) -> None:
    """Raise NodeError if the package that a destination needs is missing."""
    from importlib import util

    if any(isinstance(each, Web) for each in destinations) and not util.find_spec(
        "dicomweb_client"
    ):
        raise NodeError(
            "--stow needs the package dicomweb-client, which is not installed. Install it with: "
            "pip install 'endometer[dicomweb]'"
        )
