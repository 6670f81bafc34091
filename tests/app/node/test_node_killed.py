"""A node that dies between any two steps: nothing is lost, nothing is doubled."""

import hashlib
from signal import SIGKILL

import pytest
from node_world import Archive, clips, send, send_until_kept, wait_for
from pydicom import dcmread

from app.node.archive import key_of
from app.node.settings import Peer
from app.node.steps import STEPS


def content(path):
    return hashlib.sha256(dcmread(path).PixelData).hexdigest()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_it_goes_on_where_it_was(apart, tmp_path, step):
    there = Archive()
    files = clips(tmp_path / "clips", 3)
    peer = Peer("PACS", "127.0.0.1", there.port)
    try:
        # The second time: what is whole and what is not then lie side by side.
        number = 1 if step in ("measured", "queued") else 2
        first = apart(die=(step, number), destinations=(peer,))
        send(first.port, files)
        first.process.join(30)
        assert first.process.exitcode == -SIGKILL
        second = apart(port=first.port, destinations=(peer,))
        assert send_until_kept(second.port, files)
        assert wait_for(lambda: len(there.uids()) == 3)
        # Only then has the outbox nothing left to double.
        assert wait_for(lambda: not list((tmp_path / "node/outbox").iterdir()))
        assert second.end() == 0
    finally:
        there.close()
    kept = {path.stem: content(path) for path in second.kept()}
    assert kept == {key_of(str(dcmread(f).SOPInstanceUID)): content(f) for f in files}
    assert not list((tmp_path / "node/incoming").iterdir())
    # One report of every clip: what was sent twice is one object.
    about = [
        data.CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPInstanceUID
        for _, data in {uid: (uid, data) for uid, data in there.got}.values()
    ]
    assert sorted(about) == sorted(str(dcmread(f).SOPInstanceUID) for f in files)
    twice = len(there.got) - len(there.uids())
    assert twice == (1 if step == "sent" else 0)
    assert "SECRET" not in second.log()
