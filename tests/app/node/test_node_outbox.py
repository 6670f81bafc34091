"""The queue of results: nothing is lost while a destination is down, nothing is queued twice."""

import logging
import os
import socket
import time
from pathlib import Path

import pytest
from node_world import RESULTS, Archive, clips, free_port, header, send_until_kept, wait_for, write
from pydicom import dcmread

from app.node.outbox import LONGEST_PAUSE, Outbox, Result
from app.node.settings import NodeError, Peer, Settings, read_network, read_peer
from data.dicomweb_address import address_of


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def result(folder, number):
    folder.mkdir(exist_ok=True)
    uids = {
        "SOPInstanceUID": f"1.2.3.{number}",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.3",
    }
    data = header(8, 8, SOPClassUID=RESULTS[-1], **uids)
    path = write(folder / f"{number:016x}-sc.dcm", data, bytes(64))
    return Result(f"1.2.3.{number}", path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(tmp_path, clock):
    found = Outbox(tmp_path, 5.0, clock)
    yield found
    found.close()


def test_a_result_is_queued_once_for_each_destination(outbox, tmp_path):
    made = [result(tmp_path / "made", n) for n in range(2)]
    assert outbox.queue({"s": "d"}, made, ["A", "B"]) == 4
    assert outbox.queue({"s": "e"}, made, ["A", "B"]) == 0
    assert outbox.is_done("s", "e")
    assert not outbox.is_done("s", "d")
    assert [item.uid for item in outbox.due("A")] == ["1.2.3.0", "1.2.3.1"]
    for item in outbox.due("A"):
        outbox.sent(item)
        assert item.path.exists()  # B still waits for it
    for item in outbox.due("B"):
        outbox.sent(item)
        assert not item.path.exists()
    assert (outbox.count("A", "sent"), outbox.count("B", "waiting")) == (2, 0)


def test_pauses_double_up_to_a_quarter_of_an_hour(outbox, clock, tmp_path):
    outbox.queue({}, [result(tmp_path / "made", 1)], ["A"])
    pauses = []
    for _ in range(12):
        (item,) = outbox.due("A")
        pauses.append(outbox.failed(item, "cannot be reached"))
        assert not outbox.due("A")
        clock.now += pauses[-1]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_new_node_sends_what_the_former_one_left(outbox, tmp_path, clock):
    outbox.queue({}, [result(tmp_path / "made", n) for n in range(3)], ["A", "gone"])
    first, second, _ = outbox.due("A")
    outbox.sent(first)
    outbox.failed(second, "cannot be reached")
    (tmp_path / "outbox/half.dcm.part").write_bytes(b"half")
    outbox.close()
    again = Outbox(tmp_path, 5.0, clock)
    assert [item.uid for item in again.due("A")] == ["1.2.3.1", "1.2.3.2"]
    assert again.stranded(["A"]) == 3
    assert not (tmp_path / "outbox/half.dcm.part").exists()
    assert len(list((tmp_path / "outbox").iterdir())) == 3
    again.close()


def test_another_format_is_refused(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "node.sqlite") as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(NodeError, match="format 99, not 1"):
        Outbox(tmp_path, 5.0)


def test_results_wait_while_the_destination_is_down_and_arrive_once_it_is_up(apart, tmp_path):
    port = free_port()
    started = apart(destinations=(Peer("PACS", "127.0.0.1", port),))
    assert send_until_kept(started.port, clips(tmp_path / "clips", 4))
    assert wait_for(lambda: "cannot be reached" in started.log())
    refusing = Archive(port, answer=lambda data: 0xA700)
    assert wait_for(lambda: "status 0xA700" in started.log())
    assert not refusing.got
    refusing.close()
    taking = Archive(port)
    try:
        assert wait_for(lambda: len(taking.uids()) == 4)
        base = Outbox(tmp_path / "node", 1.0)  # while the node runs: SQLite allows it
        assert wait_for(lambda: base.count(f"PACS@127.0.0.1:{port}", "sent") == 4)
        base.close()
    finally:
        taking.close()
    assert len(taking.got) == 4
    assert started.end() == 0
    assert "SECRET" not in started.log()


def test_what_a_web_server_answers_decides_what_becomes_of_a_result(tmp_path):
    """A server that says what it is told to: failures of one object stop no other."""
    pytest.importorskip("dicomweb_client", reason="STOW-RS is the extra `dicomweb`")
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from app.node.sending import deliver

    answers, seen = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # the server has none of them
            self.send_response(204)
            self.end_headers()

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            seen.append((self.path, self.headers.get("Authorization"), len(body)))
            status, content = answers.pop(0)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box = Outbox(tmp_path, 1.0)
    web = address_of(f"dicomweb+http://127.0.0.1:{server.server_address[1]}/dicom-web")
    box.queue({}, [result(tmp_path / "made", n) for n in range(4)], [web.name])
    box.due(web.name)[3].path.write_bytes(b"no DICOM")
    failure = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}

    def whys(given):
        answers[:] = given
        return [
            (done.why, done.goes_on) for done in deliver(Settings(tmp_path), web, box.due(web.name))
        ]

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENDOMETER_DICOMWEB_TOKEN", "sesame")
            found = whys([(200, {}), (202, failure), (500, {})])
        assert found[0] == (None, True)
        for (why, goes_on), word in zip(
            found[1:], ("0xa700", "HTTP status 500", "cannot be read"), strict=True
        ):
            assert word in why
            assert goes_on
        assert {who for _, who, _ in seen} == {"Bearer sesame"}
        # Who is not let in need not try every object.
        ((why, goes_on),) = whys([(401, {})])
        assert "HTTP status 401" in why
        assert not goes_on
    finally:
        server.shutdown()
        server.server_close()
    ((why, goes_on),) = whys([])
    assert "did not come" in why
    assert not goes_on
    box.close()


def test_destinations_are_read_or_refused():
    assert read_peer("PACS@[::1]:104") == Peer("PACS", "::1", 104)
    assert str(read_network("192.0.2.7/24")) == "192.0.2.0/24"
    for text in ("PACS", "PACS@host", "PACS@host:0", "P\\A@host:104", "@host:104"):
        with pytest.raises(NodeError):
            read_peer(text)


def test_a_result_that_ends_the_association_keeps_no_other(tmp_path, archive):
    """Such an archive takes all but one, which is tried again behind them."""
    from app.node.metrics import Metrics
    from app.node.sending import Courier

    poison = "1.2.3.0"  # the first in order

    def answer(data):
        if data.SOPInstanceUID == poison:
            there.server.active_associations[0].abort()
        return 0x0000

    there = archive(answer=answer)
    box = Outbox(tmp_path, 0.3)
    peer = Peer("PACS", "127.0.0.1", there.port)
    box.queue({}, [result(tmp_path / "made", n) for n in range(5)], [peer.name])
    courier = Courier(Settings(tmp_path, retry_seconds=0.3), peer, box, Metrics())
    try:
        assert wait_for(lambda: box.count(peer.name, "sent") >= 4)
    finally:
        courier.stop()
    assert {f"1.2.3.{n}" for n in range(1, 5)} <= {uid for uid, _ in there.got}
    box.close()


def test_a_destination_that_is_down_keeps_no_other_waiting(apart, archive, tmp_path):
    there, silent = archive(), socket.create_server(("127.0.0.1", 0))  # takes calls, says nothing
    down = Peer("DOWN", "127.0.0.1", silent.getsockname()[1])
    lost = Peer("LOST", "no-such-host.invalid", 104)
    up = Peer("PACS", "127.0.0.1", there.port)
    started = apart(destinations=(down, lost, up))
    try:
        assert send_until_kept(started.port, clips(tmp_path / "clips", 2))
        began = time.monotonic()
        assert wait_for(lambda: len(there.uids()) == 2, 20)
        assert time.monotonic() - began < 20  # the silent one is given 30 s
        assert wait_for(lambda: "LOST@no-such-host.invalid:104 cannot be reached" in started.log())
    finally:
        silent.close()


def test_a_destination_that_takes_nothing_is_a_problem_until_it_does(tmp_path, monkeypatch, caplog):
    from app.node import sending
    from app.node.metrics import Metrics

    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    port = free_port()
    peer = Peer("PACS", "127.0.0.1", port)
    box = Outbox(tmp_path, 0.2)
    box.queue({}, [result(tmp_path / "made", 1)], [peer.name])
    with caplog.at_level(logging.INFO, "endometer.node"):
        courier = sending.Courier(Settings(tmp_path, retry_seconds=0.2), peer, box, Metrics())
        try:
            assert wait_for(courier.problems)
            assert "has taken nothing" in courier.problems()[0]
            taking = Archive(port)
            assert wait_for(lambda: box.count(peer.name, "sent") == 1)
            assert wait_for(lambda: not courier.problems(), 5)
        finally:
            courier.stop()
    taking.close()
    said = [record.getMessage() for record in caplog.records]
    pauses = [line.rpartition("left alone for ")[2] for line in said if "left alone" in line]
    assert pauses[:2] == ["0.2 s", "0.4 s"]
    assert said[-1] == f"{peer.name} has taken 1 results"
    box.close()


def test_a_clock_that_was_set_back_makes_nothing_wait_for_ever(outbox, clock, tmp_path):
    outbox.queue({}, [result(tmp_path / "made", 1)], ["A"])
    (item,) = outbox.due("A")
    outbox.failed(item, "cannot be reached")
    assert not outbox.due("A")
    clock.now -= 30 * 86_400
    assert outbox.due("A")


def test_what_is_committed_is_on_the_disk(outbox, tmp_path, monkeypatch):
    """The copy of a result is flushed before its row, and SQLite flushes every commit."""
    seen = []
    flush, commit = os.fsync, Outbox.is_done
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(name_of(handle)) or flush(handle))
    made = result(tmp_path / "made", 1)
    outbox.queue({"s": "d"}, [made], ["A"])
    assert seen == [f"{made.path.name}.part", "outbox"]
    assert commit(outbox, "s", "d")
    assert outbox._base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def name_of(handle):
    return Path(f"/proc/self/fd/{handle}").readlink().name


def test_the_command_says_what_the_settings_say(monkeypatch, tmp_path):
    """The defaults stand in two places."""
    from typer.testing import CliRunner

    from app import noding
    from app.cli import app

    seen = []
    monkeypatch.setattr(noding, "run", seen.append)
    found = CliRunner().invoke(app, ["node", "--out", str(tmp_path / "node")])
    assert found.exit_code == 0, found.output
    assert seen == [Settings(tmp_path / "node")]


def test_a_result_that_cannot_be_read_stops_no_other(tmp_path, archive):
    from app.node.sending import deliver

    there = archive()
    box = Outbox(tmp_path, 1.0)
    peer = Peer("PACS", "127.0.0.1", there.port)
    box.queue({}, [result(tmp_path / "made", n) for n in range(2)], [peer.name])
    first, second = box.due(peer.name)
    first.path.write_bytes(b"no DICOM")
    found = {done.item: done.why for done in deliver(Settings(tmp_path), peer, [first, second])}
    assert "cannot be read" in found[first]
    assert found[second] is None
    assert dcmread(second.path).SOPInstanceUID == there.got[0][0]
    box.close()
