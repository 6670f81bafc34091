"""Engines: the same rows from one process, from several, from a cluster; whatever dies."""

import os
import time
from dataclasses import dataclass, replace
from itertools import count

import pytest

from data.phantom.collection import write_phantoms
from imaging.identity import ClipIdentity
from imaging.source import Source
from inference.clip import Settings
from inference.engines import IN_FLIGHT, WORTH_WORKERS, Local, Serial, Threaded
from inference.jobs import EngineError, Job, Task
from inference.records import Status
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime


@dataclass(frozen=True)
class Deadly(Source):
    """A file in whose decoder the process dies."""

    def open(self):
        os._exit(11)


@dataclass(frozen=True)
class DeadlyOnce(Source):
    """A file that kills its process the first time only, as where memory is short."""

    def open(self):
        try:
            self.path.with_suffix(".mark").touch(exist_ok=False)
        except FileExistsError:
            return super().open()
        os._exit(11)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_phantoms(folder, n=6, seed=5, frames=1, renderer="physical", empty=0.3)
    return sorted(folder.glob("*.dcm"))


def job(path, kind=Source):
    source, name = kind(path), path.stem
    stamp = str(source.stamp()) if path.exists() else ""
    who = ClipIdentity(patient_id=name)
    return Job(source, path.name, name, name, who, name=name, stamp=stamp)


def outcomes(engine, jobs, task=None):
    found = list(engine.run(iter(jobs), task or Task(Settings())))
    return sorted(found, key=lambda outcome: outcome.job.file)


@pytest.fixture(scope="module")
def serial(bundle, clips):
    return outcomes(Serial(bundle, OpenVinoRuntime(bundle)), map(job, clips))


@pytest.fixture(scope="module")
def local(bundle):
    return Local(bundle, OpenVinoRuntime(bundle), 2)


def test_several_processes_give_the_rows_of_one(serial, local, clips, tmp_path):
    task = Task(Settings(), tmp_path)
    found = outcomes(local, map(job, clips), task)
    assert [replace(o.record, overlay=None) for o in found] == [o.record for o in serial]
    assert [o.frames for o in found] == [o.frames for o in serial]
    assert any(o.record.best.status is Status.MEASURED for o in found)
    assert {p.name for p in tmp_path.iterdir()} == {n for o in found for n in o.overlays} != set()
    best = [o for o in found if o.overlays]
    assert all(o.record.overlay in o.overlays for o in best)


class Counted:
    """A runtime that notes how many pictures it was shown at a time, and sleeps meanwhile."""

    device = "cuda"

    def __init__(self, runtime):
        self.runtime, self.sizes = runtime, []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        time.sleep(0.05)  # so that others ask meanwhile
        return self.runtime(batch)


def test_threads_share_a_network_and_give_the_rows_of_one(serial, bundle, clips):
    runtime = Counted(OpenVinoRuntime(bundle))
    found = outcomes(Threaded(bundle, runtime, 4), map(job, clips * 2))
    assert len(found) == 2 * len(clips) and max(runtime.sizes) > 2
    for outcome, expected in zip(found, [o for o in serial for _ in range(2)], strict=True):
        assert outcome.record.best.status is expected.record.best.status
        if expected.record.best.thickness_mm is not None:
            mm = outcome.record.best.thickness_mm
            assert mm == pytest.approx(expected.record.best.thickness_mm, abs=0.001)


def test_a_fault_of_a_shared_network_belongs_to_who_asked(bundle, clips):
    class Broken:
        device = "cuda"

        def __call__(self, batch):
            raise RuntimeError("out of memory")

    found = outcomes(Threaded(bundle, Broken(), 2), map(job, clips))
    seen = [o.record.best for o in found if "RuntimeError" in (o.record.best.message or "")]
    assert len(found) == len(clips) and seen
    assert all(best.status is Status.FAILED for best in seen)


def test_few_files_start_no_process(serial, local, clips, monkeypatch):
    monkeypatch.setattr("inference.engines._Pool", None)
    few = clips[: WORTH_WORKERS - 1]
    assert [o.record for o in outcomes(local, map(job, few))] == [o.record for o in serial[:3]]


def test_a_file_that_kills_its_process_costs_itself_alone(serial, local, clips, tmp_path):
    jobs = [job(path) for path in clips]
    jobs[1:1] = [job(tmp_path / "deadly.dcm", Deadly)]
    found = {o.job.file: o.record for o in outcomes(local, jobs)}
    assert len(found) == len(jobs)
    dead = found.pop("deadly.dcm")
    assert dead.best.status is Status.FAILED and "process" in dead.best.message
    assert dead.sha256 == "deadly" and dead.identity.patient_id == "deadly"
    assert [found[o.job.file] for o in serial] == [o.record for o in serial]


def test_a_file_that_kills_while_the_next_one_is_sought_costs_itself_alone(
    serial, local, clips, tmp_path
):
    """A process may die while nobody waits for it."""

    def jobs():
        yield job(tmp_path / "deadly.dcm", Deadly)
        for number, path in enumerate(clips):
            if number >= WORTH_WORKERS - 1:
                time.sleep(2)
            yield job(path)

    found = {o.job.file: o.record for o in outcomes(local, jobs())}
    assert found.pop("deadly.dcm").best.status is Status.FAILED
    assert [found[o.job.file] for o in serial] == [o.record for o in serial]


def test_a_pool_that_cannot_start_blames_no_clip(local, clips):
    nowhere = replace(local, bundle=replace(local.bundle, path=clips[0].parent))
    with pytest.raises(EngineError, match="dies at once"):
        outcomes(nowhere, map(job, clips))


def test_a_file_that_changes_while_it_is_measured_gives_no_number(bundle, clips, tmp_path):
    path = tmp_path / "clip.dcm"
    path.write_bytes(clips[0].read_bytes())
    old = replace(job(path), stamp="an earlier one")
    (found,) = outcomes(Serial(bundle, OpenVinoRuntime(bundle)), [old])
    best = found.record.best
    assert best.status is Status.FAILED and "changed while it was measured" in best.message
    assert best.thickness_mm is None and found.frames == ()


def test_what_a_log_may_hold_names_nobody(clips):
    assert clips[0].stem not in repr(replace(job(clips[0]), sha256="", image="", name=""))


def test_a_file_whose_process_dies_once_is_measured_again(serial, local, clips, tmp_path):
    (tmp_path / "once.dcm").write_bytes(clips[0].read_bytes())
    jobs = [job(tmp_path / "once.dcm", DeadlyOnce), *map(job, clips[1:4])]
    found = {o.job.file: o.record for o in outcomes(local, jobs)}
    assert (tmp_path / "once.mark").exists()
    assert found.pop("once.dcm").best == serial[0].record.best
    assert list(found.values()) == [o.record for o in serial[1:4]]


def test_jobs_are_taken_only_as_there_is_room_for_them(local, clips):
    taken = count()
    last = -1

    def jobs():
        nonlocal last
        for _ in range(5):
            for path in clips:
                last = next(taken)
                yield job(path)

    for done, _ in enumerate(local.run(jobs(), Task(Settings()))):
        assert last - done <= max(WORTH_WORKERS, IN_FLIGHT * local.workers)
    assert last == done == 5 * len(clips) - 1


def test_a_run_that_is_given_up_leaves_no_process(local, clips):
    from multiprocessing import active_children

    running = local.run(map(job, clips * 3), Task(Settings()))
    next(running)
    assert active_children()
    running.close()
    assert not active_children()


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    from dask import config

    # A local cluster gives up a worker that is not back after 15 s, and on a busy machine ends with
    # none: workers die here on purpose.
    with (
        config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as found,
    ):
        yield found


def dask_engine(bundle, address):
    from inference.dask_engine import Dask

    return Dask(bundle, address)


def test_a_cluster_gives_the_rows_of_one_process(serial, bundle, cluster, clips, tmp_path):
    engine = dask_engine(bundle, cluster.scheduler_address)
    found = outcomes(engine, map(job, clips), Task(Settings(), tmp_path))
    assert [replace(o.record, overlay=None) for o in found] == [o.record for o in serial]
    assert {p.name for p in tmp_path.iterdir()} == {n for o in found for n in o.overlays} != set()


def test_a_worker_that_dies_costs_what_killed_it_and_nothing_else(
    serial, bundle, cluster, clips, tmp_path
):
    engine = dask_engine(bundle, cluster.scheduler_address)
    (tmp_path / "once.dcm").write_bytes(clips[0].read_bytes())
    jobs = [job(tmp_path / "once.dcm", DeadlyOnce), job(tmp_path / "deadly.dcm", Deadly)]
    jobs += [replace(job(path), file=f"{n} {path.name}") for n in range(3) for path in clips]
    found = {o.job.file: o.record for o in outcomes(engine, jobs)}
    assert len(found) == len(jobs)
    assert found.pop("once.dcm").best == serial[0].record.best
    dead = found.pop("deadly.dcm")
    assert dead.best.status is Status.FAILED and "workers" in dead.best.message
    expected = {f"{n} {o.job.file}": o.record.best for n in range(3) for o in serial}
    assert {file: record.best for file, record in found.items()} == expected
    assert {record.identity.patient_id for record in found.values()} == {c.stem for c in clips}


def test_a_cluster_that_cannot_serve_says_why(bundle, cluster, clips, unused_port=9):
    with pytest.raises(EngineError, match="does not answer"):
        outcomes(dask_engine(bundle, f"tcp://127.0.0.1:{unused_port}"), map(job, clips))
    for other in (replace(bundle, sha256="0" * 64), replace(bundle, min_quality=0.77)):
        with pytest.raises(EngineError, match="another model"):
            outcomes(dask_engine(other, cluster.scheduler_address), map(job, clips))
    gpu = replace(dask_engine(bundle, cluster.scheduler_address), device="cuda")
    with pytest.raises(EngineError, match="resource GPU"):
        outcomes(gpu, map(job, clips))


def test_a_run_whose_workers_have_all_left_ends_and_says_so(bundle, clips):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=None) as lonely:
        engine = replace(dask_engine(bundle, lonely.scheduler_address), patience=2.0)
        running = engine.run(map(job, clips * 5), Task(Settings()))
        next(running)
        lonely.scale(0)
        with pytest.raises(EngineError, match="no worker for 2 s"):
            list(running)


class Alone:
    """A client of a cluster whose workers have left."""

    def scheduler_info(self):
        return {"workers": {}}


class Gone:
    """A job that was done and whose result left with its worker."""

    def __init__(self, status):
        self.status = status

    def result(self, timeout):
        raise TimeoutError("the job's own" if self.status == "error" else "nothing yet")


def test_a_result_that_left_with_the_last_worker_is_not_waited_for_for_ever(bundle):
    pytest.importorskip("distributed")
    engine = replace(dask_engine(bundle, "tcp://127.0.0.1:9"), patience=0.05)
    with pytest.raises(EngineError, match=r"no worker for 0\.05 s"):
        engine._result(Alone(), Gone("pending"))
    with pytest.raises(TimeoutError, match="the job's own"):
        engine._result(Alone(), Gone("error"))
