"""An archive in parts, and an archive that goes on: the tables of one unbroken run."""

import json
from dataclasses import replace
from functools import partial

import killable
import pytest
from dicom_factory import header, speckle, write

from inference import jobs
from inference.clip import Settings
from inference.engines import Serial
from inference.ledger import Ledger
from inference.records import Status
from inference.run import Output, measure
from inference.shards import gather, shard_folder
from inference.tables import UnusableOutputError

TABLES = ("measurements.csv", "measurements.parquet", "frames.parquet")
ENGINE = Serial(killable.BUNDLE, killable.RUNTIME)


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Pretends the network; every measured file is a line of this log."""
    path = tmp_path / "log.txt"
    monkeypatch.setattr(jobs, "measure_clip", partial(killable.measure_clip, path))
    monkeypatch.setattr(jobs, "_picture", lambda *_: killable.Image.new("RGB", (8, 8)))
    return path


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(12):
        write(folder / f"{number:02}.dcm", header(48, 64), speckle(seed=number).tobytes())
    (folder / "copy.dcm").write_bytes((folder / "03.dcm").read_bytes())
    (folder / "broken.dcm").write_bytes(b"")
    (folder / "notes.txt").touch()
    return folder


def go(clips, out, **options):
    settings = options.pop("settings", None)
    return measure([clips], killable.BUNDLE, ENGINE, settings, output=Output(out), **options)


def tables(out):
    return [(out / name).read_bytes() for name in TABLES]


def measured(log):
    return len(log.read_text().split()) if log.exists() else 0


def test_shards_gathered_are_the_whole(clips, log, tmp_path):
    whole = go(clips, tmp_path / "whole")
    out, parts = tmp_path / "out", 3
    for part in range(1, parts + 1):
        go(clips, shard_folder(out, part, parts), shard=(part, parts))
    run = gather(Output(out))
    assert tables(out) == tables(tmp_path / "whole")
    pictures = [
        sorted(p.name for p in (o / "overlays").iterdir()) for o in (out, tmp_path / "whole")
    ]
    assert pictures[0] == pictures[1] != []
    assert (run.files, run.skipped, run.failed, run.duplicates) == (14, 1, 1, 1)
    assert run.status == whole.status and run.records == whole.records
    summary = json.loads((out / "run.json").read_text())
    assert summary["shards"] == parts and summary["complete"]
    assert summary["counts"] == json.loads((tmp_path / "whole/run.json").read_text())["counts"]
    assert gather(Output(out)).files == 14, "gathering again changes nothing"
    assert tables(out) == tables(tmp_path / "whole")


def test_every_file_is_in_one_shard_and_an_empty_shard_is_one(clips, log, tmp_path):
    parts = 20  # more than there are files
    names = []
    for part in range(1, parts + 1):
        run = go(clips, shard_folder(tmp_path / "out", part, parts), shard=(part, parts))
        names += [record.file for record in run.records]
    assert len(names) == len(set(names)) == 14
    assert gather(Output(tmp_path / "out")).files == 14


def test_what_cannot_be_gathered_says_what_is_missing(clips, log, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UnusableOutputError, match="holds no shards"):
        gather(Output(out))
    go(clips, shard_folder(out, 2, 3), shard=(2, 3))
    with pytest.raises(UnusableOutputError, match=r"Not measured yet: 1/3, 3/3"):
        gather(Output(out))
    go(clips, shard_folder(out, 1, 2), shard=(1, 2))
    with pytest.raises(UnusableOutputError, match=r"2 divisions \(2, 3 parts\)"):
        gather(Output(out))


def test_shards_of_different_settings_or_unfinished_are_refused(clips, log, tmp_path):
    out = tmp_path / "out"
    go(clips, shard_folder(out, 1, 2), shard=(1, 2))
    other = Settings(threshold_mm=7.0)
    go(clips, shard_folder(out, 2, 2), shard=(2, 2), settings=other)
    with pytest.raises(UnusableOutputError, match="another model, version or settings"):
        gather(Output(out))

    class Stop:
        def clip(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(clips, shard_folder(out, 2, 2), shard=(2, 2), watcher=Stop())
    with pytest.raises(UnusableOutputError, match="2-of-2 has not come to its end"):
        gather(Output(out))


def test_what_is_done_is_not_done_again_and_what_changed_is(clips, log, tmp_path):
    out = tmp_path / "out"
    first = go(clips, out)
    assert measured(log) == 12 and first.resumed == 0
    before = tables(out)
    again = go(clips, out)
    assert measured(log) == 12 and again.resumed == 13 and tables(out) == before
    (clips / "05.dcm").rename(clips / "renamed.dcm")
    assert go(clips, out).files == 14 and measured(log) == 12, "content counts, not its name"
    write(clips / "06.dcm", header(48, 64), speckle(seed=99).tobytes())
    go(clips, out)
    assert measured(log) == 13
    go(clips, out, settings=Settings(threshold_mm=7.0))
    assert measured(log) == 13 + 12
    go(clips, out, settings=Settings(threshold_mm=7.0), fresh=True)
    assert measured(log) == 13 + 24
    for number, changed in enumerate(({"sha256": "1" * 64}, {"min_quality": 0.2})):
        bundle = killable.SimpleNamespace(**{**vars(killable.BUNDLE), **changed})
        engine = replace(ENGINE, bundle=bundle)
        measure([clips], bundle, engine, Settings(threshold_mm=7.0), output=Output(out))
        assert measured(log) == 13 + 36 + 12 * number, changed


def test_files_that_are_gone_leave_the_tables_and_come_back_unmeasured(clips, log, tmp_path):
    """As a network drive that is away for a day."""
    out = tmp_path / "out"
    go(clips, out)
    before = tables(out)
    clips.rename(tmp_path / "away")
    clips.mkdir()
    (clips / "05.dcm").write_bytes((tmp_path / "away/05.dcm").read_bytes())
    assert go(clips, out).files == 1
    (clips / "05.dcm").unlink()
    clips.rmdir()
    (tmp_path / "away").rename(clips)
    assert go(clips, out).resumed == 13 and measured(log) == 12
    assert tables(out) == before


def test_settings_that_come_back_find_their_results(clips, log, tmp_path):
    out = tmp_path / "out"
    go(clips, out)
    before = tables(out)
    go(clips, out, settings=Settings(threshold_mm=7.0))
    assert measured(log) == 24
    assert go(clips, out).resumed == 13 and measured(log) == 24 and tables(out) == before
    pictures = {record.overlay for record in go(clips, out).records} - {None}
    assert all((out / "overlays" / name).is_file() for name in pictures) and pictures


def test_a_picture_that_is_gone_is_drawn_again(clips, log, tmp_path):
    out = tmp_path / "out"
    name = next(record.overlay for record in go(clips, out).records if record.overlay)
    (out / "overlays" / name).unlink()
    go(clips, out)
    assert measured(log) == 13 and (out / "overlays" / name).is_file()


def test_a_copy_of_what_vanishes_is_measured_itself(clips, log, tmp_path, monkeypatch):
    real = jobs.measure_clip

    def vanishing(source, *rest, digest):
        if source.name.endswith("03.dcm"):
            return real(source, *rest, digest=killable.EMPTY)  # as a file that cannot be read
        return real(source, *rest, digest=digest)

    monkeypatch.setattr(jobs, "measure_clip", vanishing)
    found = {r.file.rpartition("/")[2]: r for r in go(clips, tmp_path / "out").records}
    assert found["03.dcm"].best == found["copy.dcm"].best
    assert found["copy.dcm"].best.status is not Status.FAILED


def test_a_shard_that_was_begun_anew_and_killed_is_not_gathered(clips, log, tmp_path):
    """Its run.json still says that the former run was complete."""
    out = tmp_path / "out"
    for part in (1, 2):
        go(clips, shard_folder(out, part, 2), shard=(part, 2))
    with Ledger(shard_folder(out, 2, 2) / "ledger.sqlite") as ledger:
        about = ledger._about()
        ledger.begin(about["context"], about["who"])
    with pytest.raises(UnusableOutputError, match="has not come to its end"):
        gather(Output(out))


def test_shards_that_saw_other_files_are_refused(clips, log, tmp_path):
    out = tmp_path / "out"
    go(clips, shard_folder(out, 1, 2), shard=(1, 2))
    write(clips / "new.dcm", header(48, 64), speckle(seed=77).tobytes())
    go(clips, shard_folder(out, 2, 2), shard=(2, 2))
    with pytest.raises(UnusableOutputError, match="found other files"):
        gather(Output(out))


def test_what_was_gathered_can_be_gone_on_with(clips, log, tmp_path):
    """Shards that were run a different number of times, then one run over the whole."""
    out = tmp_path / "out"
    for part in (1, 2, 2, 2):
        go(clips, shard_folder(out, part, 2), shard=(part, 2))
    gather(Output(out))
    before, done = tables(out), measured(log)
    assert go(clips, out).files == 14 and measured(log) == done and tables(out) == before
    (clips / "04.dcm").unlink()
    assert go(clips, out).files == 13


def test_a_key_for_identities_changes_no_measurement(clips, log, tmp_path):
    out = tmp_path / "out"
    plain = go(clips, out)
    hashed = go(clips, out, settings=Settings(pseudonym_key=b"k" * 32))
    assert measured(log) == 12
    ids = [{r.identity.patient_id for r in run.records} - {None} for run in (plain, hashed)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    ledger = (out / "ledger.sqlite").read_bytes()
    assert not any(name.encode() in ledger for name in ids[0]), "not even in deleted pages"
