"""The queue of results: nothing is lost while a destination is down, nothing is queued twice."""

import pytest
from node_world import RESULTS, Archive, free_port, header, wait_for, write
from pydicom import dcmread

from app.node.outbox import LONGEST_PAUSE, Outbox, Result
from app.node.settings import Limits, NodeError, Peer, Settings, read_peer
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
    from node_world import clips, send_until_kept

    port = free_port()
    started = apart(destinations=(Peer("PACS", "127.0.0.1", port),))
    assert send_until_kept(started.port, clips(tmp_path / "clips", 4))
    assert wait_for(lambda: "cannot be reached; the next try" in started.log())
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
        return [why for _, why in deliver(Settings(tmp_path), web, box.due(web.name))]

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENDOMETER_DICOMWEB_TOKEN", "sesame")
            found = whys([(200, {}), (202, failure), (409, {})])
        assert found[0] is None
        assert "0xa700" in found[1]
        assert "HTTP status 409" in found[2]
        assert {who for _, who, _ in seen} == {"Bearer sesame"}
        assert "cannot be read" in found[3]
        # Who is not let in is not tried for every object.
        refused = whys([(401, {})])
        assert len(refused) == 4
        assert len(set(refused)) == 1
        assert "HTTP status 401" in refused[0]
    finally:
        server.shutdown()
        server.server_close()
    assert all("did not come" in why for why in whys([]))
    box.close()


def test_destinations_are_read_or_refused():
    assert read_peer("PACS@[::1]:104") == Peer("PACS", "::1", 104)
    for text in ("PACS", "PACS@host", "PACS@host:0", "P\\A@host:104", "@host:104"):
        with pytest.raises(NodeError):
            read_peer(text)


def test_the_limits_are_those_of_the_documentation():
    assert Limits() == Limits(2048 * 2**20, 10, 600, 1024 * 2**20)


def test_a_result_that_cannot_be_read_stops_no_other(tmp_path, archive):
    from app.node.sending import deliver

    there = archive()
    box = Outbox(tmp_path, 1.0)
    peer = Peer("PACS", "127.0.0.1", there.port)
    box.queue({}, [result(tmp_path / "made", n) for n in range(2)], [peer.name])
    first, second = box.due(peer.name)
    first.path.write_bytes(b"no DICOM")
    found = dict(deliver(Settings(tmp_path), peer, [first, second]))
    assert "cannot be read" in found[first]
    assert found[second] is None
    assert dcmread(second.path).SOPInstanceUID == there.got[0][0]
    box.close()
