"""What no sender may do to a node: each connection costs little, and ends by itself."""

import socket
import struct
from io import BytesIO
from pathlib import Path

import pytest
from node_world import clip, open_association, send, wait_for
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE

from app.node import guard
from app.node.settings import Limits


def handles():
    return len(list(Path("/proc/self/fd").iterdir()))


def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def pdu(*fragments):
    """P-DATA of fragments: context, control header and content (PS3.8 9.3.5)."""
    body = b"".join(
        struct.pack(">LB", len(data) + 1, context) + data for context, data in fragments
    )
    return b"\x04\x00" + struct.pack(">L", len(body)) + body


def request(context, uid="1.2.3"):
    """The command and the data set of a request to store, as P-DATA."""
    store = C_STORE()
    store.MessageID, store.Priority = 1, 2
    store.AffectedSOPClassUID = context.abstract_syntax
    store.AffectedSOPInstanceUID = uid
    store.DataSet = BytesIO(bytes(8))
    message = C_STORE_RQ()
    message.primitive_to_message(store)
    assert ("AffectedSOPInstanceUID" in message.command_set) == (uid is not None)
    return [pdu(*part.presentation_data_value_list) for part in message.encode_msg(1, 16_000)]


def echo(context):
    ask = C_ECHO()
    ask.MessageID = 1
    message = C_ECHO_RQ()
    message.primitive_to_message(ask)
    (part,) = message.encode_msg(context, 16_000)
    return pdu(*part.presentation_data_value_list)


class Sender:
    """An association, of which the bytes are one's own."""

    def __init__(self, node):
        self.association = open_association(node.receiver.port, syntaxes=[ImplicitVRLittleEndian])
        assert self.association.is_established
        self.context = next(
            c for c in self.association.accepted_contexts if c.abstract_syntax.endswith("6.1")
        )
        self.echo = next(
            c for c in self.association.accepted_contexts if c.abstract_syntax.endswith(".1.1")
        )

    def pours(self, content, times):
        """Send the same bytes again and again; return whether the node cut the connection."""
        connection = self.association.dul.socket.socket
        try:
            for _ in range(times):
                connection.sendall(content)
        except (OSError, AttributeError):
            return True
        return wait_for(lambda: not self.association.is_established, 5)


def is_well(node, tmp_path):
    """Tell whether another sender is served, and nothing is left of the former."""
    server = node.receiver._server
    assert wait_for(lambda: not server.active_associations, 15)
    assert wait_for(lambda: not list((tmp_path / "node/incoming").iterdir()), 5)
    assert not node.receiver._sinks._open
    return send(node.receiver.port, [clip(tmp_path / "good.dcm", 1)]) == [0]


@pytest.mark.parametrize(
    "what",
    ["commands without objects", "objects without waiting", "a command without end", "echoes"],
)
def test_who_pours_is_cut_off(node, tmp_path, what):
    started = node()
    sender = Sender(started)
    command, data = request(sender.context)
    before = handles()
    content, times = {
        "commands without objects": (command, 3000),
        "objects without waiting": (command + data, 3000),
        "a command without end": (pdu((1, b"\x01" + bytes(100_000))), 500),
        "echoes": (echo(sender.echo.context_id) * 50, 500),
    }[what]
    if what == "echoes":  # are answered one by one, and none is kept waiting for long
        sender.pours(content, times)
    else:
        assert sender.pours(content, times)
    assert handles() < before + 30
    sender.association.abort()
    assert is_well(started, tmp_path)


@pytest.mark.parametrize("what", ["no UID", "no such context", "no command"])
def test_what_cannot_be_decoded_ends_its_connection_alone(node, tmp_path, what, capfd):
    started = node()
    for _ in range(5):
        sender = Sender(started)
        command, _ = request(sender.context, None if what == "no UID" else "1.2.3")
        content = {
            "no UID": command,
            "no such context": command[:10] + b"\x63" + command[11:],
            "no command": pdu((1, b"\x03" + b"\xff" * 40)),
        }[what]
        assert sender.pours(content, 1)
    assert is_well(started, tmp_path)
    assert "Traceback" not in capfd.readouterr().err


def test_a_pdu_without_bound_is_not_read(node, tmp_path):
    started = node()
    before = memory()
    with socket.create_connection(("127.0.0.1", started.receiver.port)) as connection:
        connection.sendall(b"\x01\x00" + struct.pack(">L", 2**32 - 1))
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(bytes(2**20))
    assert memory() < before + 100 * 2**20
    assert is_well(started, tmp_path)


def test_who_drips_a_request_holds_no_place(node, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FIRST_PDU", 0.5)
    started = node(limits=Limits(free_bytes=0, associations=2))
    connections = [socket.create_connection(("127.0.0.1", started.receiver.port)) for _ in range(6)]
    for each in connections:
        each.sendall(b"\x01\x00\x00\x00\xff\xff\x00")  # the beginning of a request
    # More than may have an association, and still others get one
    assert send(started.receiver.port, [clip(tmp_path / "a.dcm", 2)]) == [0]
    assert is_well(started, tmp_path)
    for each in connections:
        each.close()


def test_one_address_leaves_connections_for_others(node):
    started = node()
    server = started.receiver._server
    connections = [
        socket.create_connection(("127.0.0.1", started.receiver.port)) for _ in range(12)
    ]

    def refused():
        return started.metrics.registry.get_sample_value(
            "endometer_node_refused_total", {"reason": "connections"}
        )

    assert wait_for(lambda: refused() == 4, 5)
    assert len(server.active_associations) == 8
    assert not server._is_crowded("192.0.2.1")
    for each in connections:
        each.close()


def test_the_reserve_of_the_disk_holds_while_an_object_comes(tmp_path, monkeypatch):
    import shutil

    from app.node import sinks

    free = [2**30]
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40, free[0])
    )
    sink = sinks.Sink(tmp_path, 2**40, 2**29)
    for _ in range(40):
        sink.write(bytes(2**20))
        free[0] -= 2**24
    assert sink.problem == "disk"
    assert not list(tmp_path.iterdir())
