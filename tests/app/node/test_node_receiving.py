"""What a node takes, what it refuses and with which word, and how it keeps what it took."""

import hashlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from dicom_factory import compressed, header, speckle, write
from node_world import SECRETS, clip, clips, in_threads, open_association, send, wait_for
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from app.node import steps
from app.node.archive import key_of
from app.node.scp import SOP_CLASSES, transfer_syntaxes
from app.node.settings import Limits, Settings, Tls, read_network


def kept(node):
    return sorted((node._settings.folder / "clips").glob("*/*.dcm"))


def leftovers(node):
    return list((node._settings.folder / "incoming").iterdir())


def count(node, name, **labels):
    return node.metrics.registry.get_sample_value(f"endometer_node_{name}_total", labels) or 0


def test_an_echo_is_answered_and_a_clip_is_kept_as_it_was_sent(node, tmp_path):
    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    association = open_association(started.receiver.port, syntaxes=[ExplicitVRLittleEndian])
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(dcmread(path)).Status == 0
    association.release()
    (there,) = kept(started)
    assert there.stem == hashlib.sha256(str(dcmread(path).SOPInstanceUID).encode()).hexdigest()[:40]
    got, sent = dcmread(there), dcmread(path)
    assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    del got.file_meta, sent.file_meta
    assert str(got) == str(sent)
    assert got.PixelData == sent.PixelData
    assert not leftovers(started)
    assert count(started, "stored_bytes") == there.stat().st_size


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
    ],
    ids=lambda uid: uid.name,
)
def test_every_transfer_syntax_arrives_and_can_be_decoded(node, tmp_path, syntax):
    from imaging.clip import Clip

    started = node()
    data = header(48, 64, SeriesInstanceUID="1.2.3")
    if syntax.is_compressed and not syntax.is_deflated:
        path = compressed(tmp_path / "a.dcm", data, speckle()[None], syntax)
    else:
        path = write(tmp_path / "a.dcm", data, speckle().tobytes(), syntax)
    assert send(started.receiver.port, [path], syntaxes=[syntax]) == [0]
    (there,) = kept(started)
    assert dcmread(there).file_meta.TransferSyntaxUID == syntax
    with Clip.open(there) as opened:
        assert (opened.frame(1).luma == speckle()).all()


@pytest.mark.parametrize("sop_class", SOP_CLASSES)
def test_every_class_of_ultrasound_is_taken(node, tmp_path, sop_class):
    """Also the retired ones, which old scanners and archives still have."""
    from pynetdicom import AE

    started = node()
    data = dcmread(clip(tmp_path / "a.dcm", 1))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    ae = AE("SCANNER")
    ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", started.receiver.port, ae_title="ENDOMETER")
    assert association.send_c_store(data).Status == 0
    association.release()
    (there,) = kept(started)
    assert dcmread(there).SOPClassUID == sop_class


def test_what_cannot_be_decoded_is_not_negotiated(node):
    started = node()
    assert JPEG2000Lossless in transfer_syntaxes()
    mpeg = "1.2.840.10008.1.2.4.102"
    association = open_association(started.receiver.port, syntaxes=[mpeg])
    # The echo's context alone
    assert [c.abstract_syntax for c in association.accepted_contexts] == ["1.2.840.10008.1.1"]
    association.release()


def test_titles_that_are_not_listed_are_refused(node):
    started = node(callers=("SCANNER",), require_called=True)
    port = started.receiver.port
    assert open_association(port, title="OTHER").is_rejected
    assert open_association(port, called="WRONG").is_rejected
    known = open_association(port)
    assert known.is_established
    known.release()
    assert count(started, "refused", reason="calling_title") == 1
    assert count(started, "refused", reason="called_title") == 1


def test_addresses_that_are_not_listed_are_cut_off(node):
    started = node(networks=(read_network("192.0.2.0/24"),))
    association = open_association(started.receiver.port)
    assert not association.is_established
    assert not association.is_rejected  # no word of DICOM was spoken
    assert count(started, "refused", reason="address") == 1
    assert not kept(started)


def test_too_many_associations_and_too_frequent_ones_are_refused(node):
    started = node(limits=Limits(free_bytes=0, associations=2, associations_per_minute=12))
    port = started.receiver.port
    first, second = open_association(port), open_association(port)
    third = open_association(port)
    assert (first.is_established, second.is_established) == (True, True)
    assert third.is_rejected
    assert count(started, "refused", reason="associations") == 1
    first.release()
    second.release()
    for _ in range(7):
        assert wait_for(lambda: not started.receiver._server.active_associations, 5)
        open_association(port).release()
    assert wait_for(lambda: not started.receiver._server.active_associations, 5)
    assert open_association(port).is_rejected
    assert count(started, "refused", reason="rate") == 1


def test_a_connection_that_says_nothing_holds_no_place(node):
    started = node(limits=Limits(free_bytes=0, associations=1))
    server = started.receiver._server
    for _ in range(5):
        socket.create_connection(("127.0.0.1", started.receiver.port)).close()
    assert wait_for(lambda: len(server.active_associations) == 5, 5)
    # Not the ten seconds after which a request must have come
    assert wait_for(lambda: not server.active_associations, 5)
    association = open_association(started.receiver.port)
    assert association.is_established
    association.release()
    assert wait_for(lambda: not server.active_associations, 5)
    silent = socket.create_connection(("127.0.0.1", started.receiver.port))
    assert wait_for(lambda: server.active_associations, 5)
    began = time.monotonic()
    server.dismiss()
    assert wait_for(lambda: silent.recv(1) == b"", 5)
    assert time.monotonic() - began < 5


def test_an_object_over_the_limit_is_refused_and_the_next_one_taken(node, tmp_path):
    started = node(limits=Limits(free_bytes=0, object_bytes=20_000))
    large = header(400, 400, SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.5")
    large = write(tmp_path / "large.dcm", large, bytes(160_000))
    small = clip(tmp_path / "small.dcm", 1)
    assert send(started.receiver.port, [large, small]) == [0xA700, 0]
    assert len(kept(started)) == 1
    assert not leftovers(started)
    assert count(started, "refused", reason="too_large") == 1


def test_a_full_disk_is_answered_with_out_of_resources(node, tmp_path, monkeypatch):
    import errno

    from app.node import archive as module
    from app.node import sinks

    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_):
        raise full

    class Full:
        def __init__(self, file):
            self._file = file

        def write(self, content):
            raise full

        def __getattr__(self, name):
            return getattr(self._file, name)

    # while it comes, when it is flushed, when it is named
    with monkeypatch.context() as patch:
        make = sinks.Sink.__init__

        def made(self, *arguments):
            make(self, *arguments)
            self._file = Full(self._file)

        patch.setattr(sinks.Sink, "__init__", made)
        assert send(started.receiver.port, [path]) == [0xA700]
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", fail)
        assert send(started.receiver.port, [path]) == [0xA700]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, -1))
        assert send(started.receiver.port, [path]) == [0xA700]
    assert not kept(started)
    assert not leftovers(started)
    assert count(started, "refused", reason="disk") == 3
    assert send(started.receiver.port, [path]) == [0]
    assert len(kept(started)) == 1


@pytest.mark.parametrize("uid", ["../../../../tmp/evil", "1.2/../../3", "1.2\n3", "1..2", "x" * 64])
def test_uids_that_are_paths_never_become_paths(node, tmp_path, uid):
    from pydicom import config

    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID"):
        data = dcmread(path)
        with config.disable_value_validation():
            setattr(data, keyword, uid)
        if keyword == "SOPInstanceUID":
            data.file_meta.MediaStorageSOPInstanceUID = uid
        answers = send(started.receiver.port, [data])
        assert answers == [0x0117]
    everything = {p.relative_to(tmp_path) for p in tmp_path.rglob("*.dcm")}
    assert everything == {path.relative_to(tmp_path)}
    assert not leftovers(started)


def test_an_object_that_is_not_what_its_sender_says_is_refused(node, tmp_path):
    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    association = open_association(started.receiver.port)
    data = dcmread(path)
    del data.StudyInstanceUID
    assert association.send_c_store(data).Status == 0x0117
    # The request names another UID than the object: sent by hand, for no sender here would.
    from io import BytesIO

    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.dsutils import encode

    for content, uid, status in (
        (encode(dcmread(path), False, True), "1.2.3.4", 0xA900),
        (b"\xff" * 9000, "1.2.3.4", 0xA900),
        (b"\x08\x00\x16\x00SQ\x00\x00\xff\xff\xff\xff" + b"\x01" * 500, "1.2.3.4", 0xC000),
    ):
        request = C_STORE()
        request.MessageID, request.Priority = 7, 2
        request.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
        request.AffectedSOPInstanceUID = uid
        request.DataSet = BytesIO(content)
        context = next(
            c
            for c in association.accepted_contexts
            if c.abstract_syntax == request.AffectedSOPClassUID
        )
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, context.context_id)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert answer.Status == status, hex(answer.Status)
    association.release()
    assert not kept(started)
    assert not leftovers(started)


def test_success_is_said_after_all_is_on_the_disk(node, tmp_path, monkeypatch):
    """Object, its name, the name of its study's folder; for a duplicate, too."""
    started = node()
    flush, seen, fails = os.fsync, [], []

    def fsync(handle):
        name = Path(f"/proc/self/fd/{handle}").readlink().name
        seen.append(name.rpartition(".")[2] if name.endswith(".part") else name)
        if name in fails:
            raise OSError(5, "Input/output error")
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    steps.watch(seen.append)
    try:
        path = clip(tmp_path / "a.dcm", 1)
        study = key_of(str(dcmread(path).StudyInstanceUID))
        assert send(started.receiver.port, [path]) == [0]
        first = ["received", "part", "synced", "renamed", "clips", study, "stored"]
        assert seen == first
        seen.clear()
        assert send(started.receiver.port, [path]) == [0]
        assert seen == ["received", "part", "synced", study, "stored"]
        # A folder's name that could not be flushed is flushed with the next object.
        other = clip(tmp_path / "b.dcm", 2)
        fails.append("clips")
        assert send(started.receiver.port, [other]) == [0xA700]
        fails.clear()
        seen.clear()
        assert send(started.receiver.port, [other]) == [0]
        assert "clips" in seen
        assert len(started.measurer.quiet) == 2  # a duplicate, but the first was not answered so
        # A known UID under another study makes no folder for it; its first own object does.
        apart = clip(tmp_path / "c.dcm", 1, study=3)
        assert send(started.receiver.port, [apart]) == [0]
        seen.clear()
        assert send(started.receiver.port, [clip(tmp_path / "d.dcm", 4, study=3)]) == [0]
        assert "clips" in seen
    finally:
        steps.watch(lambda step: None)


def test_a_clip_that_somebody_took_away_may_come_again(node, tmp_path):
    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    assert send(started.receiver.port, [path]) == [0]
    kept(started)[0].unlink()
    assert send(started.receiver.port, [path]) == [0]
    assert len(kept(started)) == 1


def test_the_same_object_again_is_a_success_and_kept_once(node, tmp_path):
    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    found = in_threads(send, [(started.receiver.port, [path, path])] * 4)
    assert found == [[0, 0]] * 4
    assert len(kept(started)) == 1
    assert count(started, "received", outcome="stored") == 1
    assert count(started, "received", outcome="duplicate") == 7


def test_the_log_says_what_came_of_a_connection(node, tmp_path, caplog):
    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    bad = dcmread(clip(tmp_path / "b.dcm", 2))
    del bad.StudyInstanceUID
    with caplog.at_level(logging.INFO, "endometer.node"):
        send(started.receiver.port, [path, path, bad])
        assert wait_for(lambda: "objects from" in caplog.text, 10)
    assert "objects from 127.0.0.1: 1 stored, 1 duplicate, 1 refused" in caplog.text


def test_a_later_version_of_the_receiver_takes_the_same_object_for_the_same(
    node, tmp_path, monkeypatch
):
    """It writes its own version into the file's meta information, which is none of the object."""
    from pynetdicom import dimse_messages

    started = node()
    path = clip(tmp_path / "a.dcm", 1)
    assert send(started.receiver.port, [path]) == [0]
    make = dimse_messages.create_file_meta
    later = {"implementation_version": "LATER"}
    monkeypatch.setattr(dimse_messages, "create_file_meta", lambda **o: make(**o | later))
    assert send(started.receiver.port, [path]) == [0]
    assert count(started, "received", outcome="duplicate") == 1


def test_the_same_uid_with_other_bytes_is_kept_apart_and_said(node, tmp_path, caplog):
    started = node()
    first = clip(tmp_path / "a.dcm", 1)
    other = clip(tmp_path / "b.dcm", 1, PatientID="SECRET-OTHER")
    assert send(started.receiver.port, [first]) == [0]
    (there,) = kept(started)
    before = there.read_bytes()
    with caplog.at_level(logging.INFO, "endometer.node"):
        assert send(started.receiver.port, [other, other]) == [0, 0]
    assert [p.read_bytes() for p in kept(started)] == [before]
    (apart,) = (tmp_path / "node/conflicts").iterdir()
    assert dcmread(apart).PatientID == "SECRET-OTHER"
    assert caplog.text.count("other bytes") == 1
    assert "SECRET" not in caplog.text
    assert count(started, "received", outcome="conflict") == 1


def test_a_sender_that_goes_in_the_middle_leaves_nothing(node, tmp_path):
    started = node()
    data = header(1000, 1000, SeriesInstanceUID="1.2.3")
    path = write(tmp_path / "a.dcm", data, os.urandom(1_000_000))
    association = open_association(started.receiver.port)
    sent, seen = association.dul._send, []

    def cut(pdu):
        sent(pdu)
        if not seen and wait_for(lambda: leftovers(started), 0.2):
            seen.extend(leftovers(started))
            association.dul.socket.close()

    association.dul._send = cut
    threading.Thread(target=association.send_c_store, args=(dcmread(path),), daemon=True).start()
    assert wait_for(lambda: seen, 20)
    assert wait_for(lambda: not started.receiver._server.active_associations, 20)
    assert wait_for(lambda: not leftovers(started), 5)
    assert not kept(started)
    assert send(started.receiver.port, [clip(tmp_path / "b.dcm", 1)]) == [0]


def test_the_log_names_nobody(node, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        started = node(limits=Limits(free_bytes=0, object_bytes=20_000), callers=("SCANNER",))
        large = header(400, 400, SOPInstanceUID="1.2.5")
        write(tmp_path / "large.dcm", large, bytes(160_000))
        data = dcmread(clip(tmp_path / "bad.dcm", 3))
        del data.StudyInstanceUID
        send(started.receiver.port, [*clips(tmp_path, 2), tmp_path / "large.dcm", data])
        open_association(started.receiver.port, title="SECRET")
    # The sender of this test has a log, too.
    said = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("pynetdicom"))
    assert "refused" in said
    assert not any(secret in said for secret in SECRETS)


def certificate(folder, name, signer=None):
    """Make a key and a certificate for 127.0.0.1, signed by itself or by another."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, request, made = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))

    def call(*arguments):
        subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", f"/CN={name}")
    if signer is None:
        call(*new, "-x509", "-days", "2", "-out", made)
    else:
        call(*new, "-out", request)
        authority = ("-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key")
        call(
            "x509", "-req", "-in", request, *authority, "-CAcreateserial", "-days", 2, "-out", made
        )
    return made, key


def test_tls_with_certificates_of_clients(node, tmp_path):
    authority, _ = certificate(tmp_path, "authority")
    server = certificate(tmp_path, "server", "authority")
    client = certificate(tmp_path, "client", "authority")
    started = node(tls=Tls(*server, authority))
    port = started.receiver.port
    path = clip(tmp_path / "a.dcm", 1)
    context = ssl.create_default_context(cafile=str(authority))
    context.check_hostname = False
    # A client that says nothing keeps no other one out.
    with socket.create_connection(("127.0.0.1", port)):
        assert not open_association(port, tls_args=(context, None)).is_established
        assert not open_association(port).is_established
        context.load_cert_chain(*client)
        started_at = time.monotonic()
        assert send(port, [path], tls_args=(context, None)) == [0]
        assert time.monotonic() - started_at < 5
    assert len(kept(started)) == 1
    assert count(started, "refused", reason="tls") >= 1


@pytest.mark.parametrize("program", ["echoscu", "storescu"])
def test_dcmtk_is_understood(node, tmp_path, program):
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install dcmtk")
    started = node()
    files = clips(tmp_path / "clips", 3) if program == "storescu" else []
    call = [found, "-aet", "SCANNER", "-aec", "ENDOMETER", "127.0.0.1", str(started.receiver.port)]
    done = subprocess.run([*call, *files], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    names = {key_of(str(dcmread(path).SOPInstanceUID)) for path in files}
    assert {path.stem for path in kept(started)} == names


def test_health_and_metrics(node, tmp_path):
    started = node(metrics_port=0)
    send(started.receiver.port, clips(tmp_path / "clips", 2))

    def read(path):
        return urllib.request.urlopen(f"http://127.0.0.1:{started.page.port}{path}", timeout=5)

    assert b'"ok"' in read("/health").read()
    text = read("/metrics").read().decode()
    assert 'endometer_node_received_total{outcome="stored"} 2.0' in text
    assert "endometer_node_objects 2.0" in text
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read("/clips")


def test_a_folder_has_one_node(node, tmp_path):
    from app.node.node import Node
    from app.node.settings import NodeError

    node()
    with pytest.raises(NodeError, match="in use by another node"):
        Node(Settings(folder=tmp_path / "node", port=0, measure=False))
