"""What one connection may cost, whoever speaks.

pynetdicom believes a peer: it reads a PDU of any length, waits for ever for its end, keeps commands
of any length in memory, queues requests that come without waiting for answers, and its thread dies
of a command that it cannot decode, without letting go of anything. A connection of this node is
closed for any of that.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler

LOG = logging.getLogger("endometer.node")
# Bytes of a PDU. The node asks for fragments of 128 KiB (PS3.8 D.1); a request for an association
# with all 128 presentation contexts and many transfer syntaxes stays below.
MOST_PDU = 2**20
# Bytes of a command, and of a data set that is no object to be kept.
MOST_COMMAND = 2**16
# Requests that wait for an answer: nobody negotiated more than one (PS3.7 D.3.3.3).
MOST_WAITING = 4
# Seconds in which a PDU must have come whole, before and after an association is there.
FIRST_PDU, PDU = 10.0, 60.0
PIECE = 2**16


class GuardedSocket(AssociationSocket):
    """A connection of which no PDU is too large or takes too long."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, or fewer where the connection ended. Raises OSError."""
        if nr_bytes > MOST_PDU:
            raise OSError("a PDU is too large")
        connection = self.socket
        if connection is None:
            raise OSError("the connection is closed")
        deadline = time.monotonic() + (PDU if self.assoc.is_established else FIRST_PDU)
        found = bytearray()
        while len(found) < nr_bytes:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            piece = connection.recv(min(PIECE, nr_bytes - len(found)))
            if not piece:
                break
            found += piece
            if time.monotonic() > deadline:
                raise TimeoutError("a PDU takes too long")
        connection.settimeout(PDU)  # for answers that nobody takes
        return found


class Desk(RequestHandler):
    """Makes the association of a connection, with a guard."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        # Not a new one: its beginning has been announced to the state machine already.
        association.dul.socket.__class__ = GuardedSocket
        machine: Any = association.dul.state_machine
        machine.do_action = _guarded(association, machine.do_action)
        return association


def _guarded(association: Association, act: Callable[[str], None]) -> Callable[[str], None]:
    """Return how the state machine acts, without dying of what came, or keeping too much of it."""

    def guarded(event: str) -> None:
        try:
            act(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, a peer has caused it
            LOG.warning("a connection is closed: what came is no DICOM (%s)", type(error).__name__)
            _close(association)
            return
        if _keeps_too_much(association):
            LOG.warning("a connection is closed: it sends without waiting for answers")
            _close(association)

    return guarded


def _keeps_too_much(association: Association) -> bool:
    dimse: Any = association.dimse
    message = dimse.message
    if dimse.msg_queue.qsize() > MOST_WAITING:
        return True
    return message is not None and (
        message.encoded_command_set.getbuffer().nbytes > MOST_COMMAND
        or message.data_set.getbuffer().nbytes > MOST_COMMAND
    )


def _close(association: Association) -> None:
    """End a connection from the thread that serves it; a second time, end that thread."""
    dul: Any = association.dul
    if dul.socket is not None and dul.socket.socket is not None:
        dul.socket.close()
    else:
        dul._kill_thread = True
