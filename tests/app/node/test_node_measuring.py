"""From a quiet study to the queue: what fails once, what is damaged, what goes wrong for good."""

import threading
from types import SimpleNamespace

import pytest
from node_world import BUNDLE, clips, measure_clip, wait_for
from pydicom import dcmread

from app.node import measuring
from app.node.archive import CLIPS, Archive, key_of
from app.node.metrics import Metrics
from app.node.outbox import Outbox
from app.node.settings import Peer, Settings
from inference import jobs
from inference.clip import MeasuredClip
from inference.engines import Serial
from inference.records import ClipRecord
from inference.tables import OutputError


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two studies of two clips that have come, and a measurer that is started by `start()`."""
    for path in clips(tmp_path / "sent", 4):
        data = dcmread(path)
        folder = tmp_path / CLIPS / key_of(str(data.StudyInstanceUID))
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / f"{key_of(str(data.SOPInstanceUID))}.dcm")
    monkeypatch.setattr(jobs, "measure_clip", measure_clip)
    engine = Serial(BUNDLE, SimpleNamespace(device="cpu"))
    monkeypatch.setattr(measuring, "load_engine", lambda _: (BUNDLE, engine))
    monkeypatch.setattr(measuring, "PAUSE", 0.2)
    settings = Settings(tmp_path, quiet_seconds=0.1, destinations=(Peer("PACS", "127.0.0.1", 104),))
    outbox, metrics, started = Outbox(tmp_path, 1.0), Metrics(), []

    def start():
        found = measuring.Measurer(
            settings, Archive(tmp_path), outbox, metrics, threading.Event().set
        )
        started.append(found)
        return found

    there = SimpleNamespace(start=start, outbox=outbox, metrics=metrics, folder=tmp_path)
    yield there
    for each in started:
        each.stop()
    outbox.close()


def too_little_memory(source, bundle, runtime, *_, **__):
    failed = ClipRecord.failed(str(source), "Too little memory.", bundle.name, runtime.device)
    return MeasuredClip(failed, (), {}, None)


def queued(world):
    return world.outbox.count("PACS@127.0.0.1:104", "waiting")


def runs(world, end):
    return world.metrics.registry.get_sample_value("endometer_node_runs_total", {"end": end}) or 0


def test_a_clip_that_failed_first_has_its_result_sent_later(world, monkeypatch):
    failing = sorted((world.folder / CLIPS).glob("*/*.dcm"))[0]

    def fails(source, *others, **named):
        if source.path.name == failing.name:
            return too_little_memory(source, *others)
        return measure_clip(source, *others, **named)

    monkeypatch.setattr(jobs, "measure_clip", fails)
    started = world.start()
    assert wait_for(lambda: queued(world) == 3)
    gauge = world.metrics.registry.get_sample_value
    assert gauge("endometer_node_clips", {"status": "failed"}) == 1
    monkeypatch.setattr(jobs, "measure_clip", measure_clip)
    # Another study falls quiet: its run tries the clip again.
    other = next(s for s in Archive(world.folder).studies() if s != failing.parent.name)
    started.quiet.hear(other)
    assert wait_for(lambda: queued(world) == 4)
    assert gauge("endometer_node_clips", {"status": "failed"}) is None
    assert started.problems() == []


def test_a_clip_that_failed_is_tried_again_by_the_next_node(world, monkeypatch):
    monkeypatch.setattr(jobs, "measure_clip", too_little_memory)
    first = world.start()
    assert wait_for(lambda: runs(world, "complete") >= 1)
    first.stop()
    assert queued(world) == 0
    monkeypatch.setattr(jobs, "measure_clip", measure_clip)
    world.start()
    assert wait_for(lambda: queued(world) == 4)


def test_a_result_that_a_power_cut_damaged_is_made_anew(world, monkeypatch):
    queue = world.outbox.queue
    cut = []

    def damaged(done, results, destinations):
        if not cut:  # after the run, before anything is queued
            (first, *_) = sorted((world.folder / "results/dicom").glob("*.dcm"))
            cut.append(first)
            first.write_bytes(bytes(first.stat().st_size))
        return queue(done, results, destinations)

    monkeypatch.setattr(world.outbox, "queue", damaged)
    started = world.start()
    assert wait_for(lambda: queued(world) == 4)
    assert runs(world, "failed") == 1
    assert dcmread(cut[0]).SOPInstanceUID
    assert wait_for(lambda: started.problems() == [], 5)


def test_a_run_that_cannot_go_on_is_a_problem_until_one_does(world, monkeypatch):
    from inference import run

    measure, full = run.measure, OutputError("The disk is full.")

    def fails(*_, **__):
        raise full

    monkeypatch.setattr(run, "measure", fails)
    started = world.start()
    assert wait_for(lambda: runs(world, "failed") >= 2)
    assert started.problems() == ["the last run ended early"]
    monkeypatch.setattr(run, "measure", measure)
    assert wait_for(lambda: queued(world) == 4)
    assert wait_for(lambda: started.problems() == [], 5)


def test_a_run_that_stands_still_is_a_problem(world, monkeypatch):
    monkeypatch.setattr(measuring, "STANDSTILL", 0.3)
    go_on = threading.Event()

    def hangs(*given, **named):
        go_on.wait(20)
        return measure_clip(*given, **named)

    monkeypatch.setattr(jobs, "measure_clip", hangs)
    started = world.start()
    assert wait_for(started.problems)
    assert "no clip was done" in started.problems()[0]
    go_on.set()
    assert wait_for(lambda: queued(world) == 4)
