"""Results to where they belong: C-STORE to an archive, or STOW-RS to a DICOMweb server."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from app.node.outbox import Item
from app.node.settings import Destination, NodeError, Peer, Settings
from app.node.steps import reached
from data.dicomweb import NEEDS
from data.dicomweb_address import Address
from data.dicomweb_answers import DicomwebError, NotTakenError

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


def _stow(address: Address, items: Sequence[Item]) -> Iterator[Delivered]:
    from data.dicomweb import connected
    from data.web import Credentials, Limits

    # One attempt: the outbox makes the others.
    limits = Limits(connect_s=WAIT, read_s=WAIT, retries=0)
    down = None
    with connected(address, Credentials.of(), limits) as server:
        for item in items:
            if down is not None:  # what befell one would befall all
                yield item, down
                continue
            reached("sending")
            try:
                server.store(item.path)
            except NotTakenError as error:
                yield item, f"refuses a result: {error}"
            except DicomwebError as error:
                down = f"takes nothing: {error}"
                yield item, down
            else:
                yield item, None


def check(destinations: Sequence[Destination]) -> None:
    """Raise NodeError if what a DICOMweb destination needs is missing: packages, half a login."""
    if not any(isinstance(each, Address) for each in destinations):
        return
    try:
        import dicomweb_client  # noqa: F401

        from data.web import Credentials, CredentialsError
    except ImportError:
        raise NodeError(NEEDS) from None
    try:
        Credentials.of()
    except CredentialsError as error:
        raise NodeError(str(error)) from None
    for name in ("dicomweb_client", "urllib3"):  # they quote UIDs and addresses
        logging.getLogger(name).propagate = False
