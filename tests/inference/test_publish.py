"""Tables as Parquet parts on storage that is no folder: whole or not told to be."""

import fsspec
import pyarrow.parquet as pq
import pytest
from arro3.core import Array, DataType, RecordBatch
from arro3.io import read_parquet
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from app.cli import app
from inference import publish as module
from inference.publish import SUMMARY, PublishError, publish, without_login
from inference.tables import UnusableOutputError, write_json, write_parquet

COLUMNS = {"file": str, "thickness_mm": float}
ADDRESS = "memory://bucket/run"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(module, "ROWS_IN_A_PART", 20)
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def results(folder, clips, frames=5):
    """Write what a run leaves."""
    folder.mkdir(exist_ok=True)
    for name, n in (("measurements", clips), ("frames", frames)):
        rows = [{"file": f"{i:05}.dcm", "thickness_mm": None if i % 3 else i / 7} for i in range(n)]
        write_parquet(folder / f"{name}.parquet", COLUMNS, rows)
    write_json(folder / SUMMARY, {"clips": clips})
    return folder


def stored():
    """Return the names of all files in the bucket."""
    return sorted(name.removeprefix("/bucket/run/") for name in MemoryFileSystem.store)


def rows_of(name):
    storage = fsspec.filesystem("memory")
    files = sorted(storage.glob(f"/bucket/run/{name}/*.parquet"))
    return [row for file in files for row in pq.read_table(storage.open(file)).to_pylist()]


def test_parts_hold_the_rows_of_the_table_in_their_order(tmp_path):
    folder = results(tmp_path / "r", 45)
    names = publish(folder, ADDRESS)
    assert names[-1] == SUMMARY
    assert sorted(names) == stored()
    assert [name for name in stored() if name.startswith("meas")] == [
        f"measurements/part-{i:05}.parquet" for i in range(3)
    ]
    for name in ("measurements", "frames"):
        assert rows_of(name) == pq.read_table(folder / f"{name}.parquet").to_pylist() != []


def test_what_it_writes_is_read_as_one_table(tmp_path):
    folder = results(tmp_path / "r", 45)
    publish(folder, str(tmp_path / "shared" / "run"))
    found = pq.read_table(tmp_path / "shared" / "run" / "measurements")
    assert found.equals(pq.read_table(folder / "measurements.parquet"))


@pytest.mark.parametrize("sizes", [[], [20], [20, 20], [7, 7, 7, 7], [50, 1], [0, 3]])
def test_batches_are_regrouped_without_losing_a_row(sizes):
    numbers = iter(range(100))
    batches = [
        RecordBatch({"n": Array([next(numbers) for _ in range(size)], DataType.int64())})
        for size in sizes
    ]
    groups = list(module._regrouped(iter(batches)))
    assert all(sum(b.num_rows for b in group) == 20 for group in groups[:-1])
    assert sum(b.num_rows for b in groups[-1]) <= 20
    found = [n for group in groups for b in group for n in b["n"].to_pylist()]
    assert found == list(range(sum(sizes)))


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    publish(results(tmp_path / "r", 3, frames=0), ADDRESS)
    assert rows_of("frames") == []
    with fsspec.open(f"{ADDRESS}/frames/part-00000.parquet") as file:
        assert read_parquet(file).schema.names == list(COLUMNS)


def test_parts_of_a_longer_run_are_taken_away_and_other_files_stay(tmp_path):
    publish(results(tmp_path / "r", 45), ADDRESS)
    with fsspec.open(f"{ADDRESS}/measurements/notes.txt", "w") as file:
        file.write("mine")
    publish(results(tmp_path / "r", 12), ADDRESS)
    assert [name for name in stored() if name.startswith("meas")] == [
        "measurements/notes.txt",
        "measurements/part-00000.parquet",
    ]
    assert len(rows_of("measurements")) == 12


def test_a_storage_that_fails_in_the_middle_is_not_told_to_be_whole(tmp_path, monkeypatch):
    publish(results(tmp_path / "r", 45), ADDRESS)
    put, calls = MemoryFileSystem.put_file, []

    def full(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left")
        return put(self, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "put_file", full)
    with pytest.raises(PublishError, match="No space left"):
        publish(results(tmp_path / "r", 45), ADDRESS)
    assert SUMMARY not in stored()
    publish(results(tmp_path / "r", 45), ADDRESS)
    assert SUMMARY in stored()


def test_logins_are_not_told():
    assert without_login("s3://key:secret@host/a/b?token=x") == "s3://host/a/b"
    assert without_login("s3://key:secret@host") == "s3://host"
    assert without_login("s3://key:secret@[host/a") == "s3://[host/a"  # no error of its own
    assert without_login("/shared/run 1?") == "/shared/run 1?"
    with pytest.raises(PublishError) as told:
        module._storage("nothing-such://key:secret@host/a")
    assert "secret" not in str(told.value)


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(UnusableOutputError, match=r"no measurements\.parquet"):
        publish(tmp_path, ADDRESS)
    assert not stored()


def test_the_command_says_what_is_where(tmp_path):
    folder = results(tmp_path / "r", 5)
    done = CliRunner().invoke(app, ["publish", str(folder), ADDRESS])
    assert done.exit_code == 0, done.output
    assert "2 parts of two tables and run.json are in memory://bucket/run" in done.output
    assert CliRunner().invoke(app, ["publish", str(tmp_path), ADDRESS]).exit_code == 2
    done = CliRunner().invoke(app, ["publish", str(folder), "nothing-such://x"])
    assert done.exit_code == 1
    assert "nothing-such" in done.output
