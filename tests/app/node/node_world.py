"""What stands around a node in tests: scanners that send, an archive that takes results, a node
in a process of its own whose network is pretended, and which can be killed at a step.
"""

import os
import socket
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL
from types import SimpleNamespace

from dicom_factory import SECRET_ID, SECRET_NAME, header, region, speckle, write
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from imaging.reasons import Reason
from inference.clip import MeasuredClip
from inference.engines import Serial
from inference.records import ClipRecord, Measurement, Status

REPORTS = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage)
RESULTS = (*REPORTS, SecondaryCaptureImageStorage)
SECRETS = (SECRET_NAME, SECRET_ID, "SECRET")


def clip(path, number, study=None, **elements):
    """Write a small clip of its own; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    uids = {
        "SOPInstanceUID": generate_uid(entropy_srcs=["clip", str(number)]),
        "StudyInstanceUID": generate_uid(
            entropy_srcs=["study", str(number if study is None else study)]
        ),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series", str(number)]),
    }
    data = header(48, 64, **uids | elements)
    if "SequenceOfUltrasoundRegions" not in elements:
        data.SequenceOfUltrasoundRegions = [region()]
    return write(path, data, speckle(seed=number).tobytes())


def clips(folder, count, per_study=2, first=0):
    return [clip(folder / f"{n}.dcm", n, study=n // per_study) for n in range(first, first + count)]


def open_association(port, title="SCANNER", called="ENDOMETER", syntaxes=None, **options):
    ae = AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for uid in (
        UltrasoundImageStorage,
        UltrasoundMultiFrameImageStorage,
        SecondaryCaptureImageStorage,
    ):
        ae.add_requested_context(uid, syntaxes) if syntaxes else ae.add_requested_context(uid)
    ae.add_requested_context("1.2.840.10008.1.1")
    return ae.associate("127.0.0.1", port, ae_title=called, **options)


def send(port, files, **options):
    """Send files in one association; return the statuses, None where there was no answer."""
    association = open_association(port, **options)
    if not association.is_established:
        return None
    found = []
    for path in files:
        try:
            answer = association.send_c_store(dcmread(path) if isinstance(path, Path) else path)
        except RuntimeError:
            break
        found.append(answer.get("Status"))
        if found[-1] is None:  # the association is lost, which its next object would wait to learn
            break
    if association.is_established:
        association.release()
    return found


def send_until_kept(port, files, seconds=30):
    """Send as a scanner does: again, until every object was answered with success."""
    left, deadline = list(files), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        answers = send(port, left) or []
        kept = {f for f, status in zip(left, answers, strict=False) if status == 0}
        left = [f for f in left if f not in kept]
        if left:
            time.sleep(0.2)
    return not left


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Archive:
    """An archive that takes results; `answer` decides the status, `got` is what it was sent."""

    def __init__(self, port=0, answer=lambda data: 0x0000):
        self.got = []
        ae = AE("PACS")
        for uid in RESULTS:
            ae.add_supported_context(uid)

        def store(event):
            data = event.dataset
            status = answer(data)
            if status == 0:
                self.got.append((str(data.SOPInstanceUID), data))
            return status

        self.server = ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
        )
        self.port = self.server.server_address[1]

    def uids(self, kinds=REPORTS):
        return sorted({uid for uid, data in self.got if data.SOPClassUID in kinds})

    def close(self):
        self.server.shutdown()


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


# A node with a pretended network


def measure_clip(source, bundle, runtime, settings, digest):
    """Refuse every clip, as if it showed no endometrium: its result is a report."""
    blank = ClipRecord.failed(str(source), "", bundle.name, runtime.device)
    best = Measurement(None, Status.NOT_MEASURABLE, reason=Reason.NO_ENDOMETRIUM, message="None.")
    return MeasuredClip(replace(blank, best=best, frames=1), (best,), {}, None)


BUNDLE = SimpleNamespace(
    name="none", sha256="0" * 64, min_quality=0.1, intervals=SimpleNamespace(nominal=0.9)
)


def die_at(step, number, counted, reached):
    """Kill this process when it reaches a step for the `number`-th time."""
    if reached == step:
        counted.append(reached)
        if len(counted) == number:
            os.kill(os.getpid(), SIGKILL)


def run_node(options, die=None):
    """Run a node whose network is pretended; it ends by a signal or at a step."""
    from app import noding
    from app.node import measuring, steps
    from app.node.settings import Settings
    from inference import jobs

    folder = options["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout = (folder / "out.txt").open("a")
    sys.stderr = (folder / "log.txt").open("a")
    jobs.measure_clip = measure_clip
    measuring.load_engine = lambda _: (BUNDLE, Serial(BUNDLE, SimpleNamespace(device="cpu")))
    if die is not None:
        steps.watch(partial(die_at, *die, []))
    noding.run(Settings(**options))


processes = get_context("forkserver")
processes.set_forkserver_preload(
    ["node_world", "app.noding", "app.node.node", "inference.dicom.sr"]
)


class NodeProcess:
    """A node in a process of its own."""

    def __init__(self, folder, die=None, **options):
        self.folder = folder
        self.port = options.setdefault("port", free_port())
        options = {"quiet_seconds": 0.3, "retry_seconds": 0.2, "folder": folder} | options
        self.process = processes.Process(target=run_node, args=(options, die))
        self.process.start()
        assert wait_for(lambda: not self.process.is_alive() or self._listens(), 60)

    def _listens(self):
        with socket.socket() as found:
            return found.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        """Stop it as a service manager does; return its exit status."""
        self.process.terminate()
        self.process.join(60)
        return self.process.exitcode

    def log(self):
        return (self.folder / "log.txt").read_text()

    def kept(self):
        return sorted((self.folder / "clips").glob("*/*.dcm"))


def in_threads(work, arguments):
    """Do work at once; return what came of it, in order."""
    found = [None] * len(arguments)

    def do(place):
        found[place] = work(*arguments[place])

    threads = [threading.Thread(target=do, args=(n,)) for n in range(len(arguments))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found
