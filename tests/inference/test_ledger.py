"""The ledger: what is kept, what is done again, and who may write."""

import json
import sqlite3
from dataclasses import replace

import pytest

from imaging.identity import ClipIdentity
from imaging.source import Source
from inference.jobs import Job, Outcome
from inference.ledger import LEDGER, Entry, Ledger
from inference.records import ClipRecord, Measurement, Status
from inference.tables import OutputError, UnusableOutputError


def entry(image="a", patient="p"):
    return Entry(f"sha-of-{image}", image, ClipIdentity(patient_id=patient))


def outcome(image="a", file="one.dcm", status=Status.MEASURED, **more):
    known = entry(image)
    best = Measurement(1, status, thickness_mm=7.25)
    record = replace(ClipRecord.failed(file, None, "bundle", "cpu"), best=best, frames=1)
    job = Job(Source.at(file), file, known.sha256, image, known.identity, name=image, stamp="s")
    return Outcome(job, record, (best,), **more)


def begin(path, context="c", who="", **more):
    ledger = Ledger(path)
    ledger.begin(context, who, **more)
    return ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / LEDGER


def test_what_is_kept_is_there_after_a_kill(path):
    """The connection is dropped without being closed, as by kill -9."""
    ledger = begin(path)
    assert ledger.add("one.dcm", "s", entry(), 0)
    ledger.store(outcome(overlays=("a-frame0001.png",)))
    assert ledger.add("two.dcm", "s", entry("b"), 0)
    copy = path.with_name("copy.sqlite")
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    with begin(copy) as after:
        assert not after.add("one.dcm", "s", entry(), 0), "done"
        assert after.add("two.dcm", "s", entry("b"), 0), "was in flight"
        (row,) = after.rows()
        assert row["file"] == "one.dcm" and row["thickness_mm"] == 7.25
        assert row["patient_id"] == "p" and row["sha256"] == "sha-of-a"
        (frame,) = after.frame_rows()
        assert frame["frame"] == 1 and frame["file"] == "one.dcm"
        assert after.has_file("a-frame0001.png", now=True) and not after.has_file(
            "a-frame0002.png", now=False
        )
    ledger.close()


def test_a_second_run_is_refused_and_a_dead_one_is_not_in_the_way(path):
    with begin(path), pytest.raises(UnusableOutputError, match="in use: another run"):
        Ledger(path)
    Ledger(path).close()


@pytest.mark.parametrize("content", [b"this is no ledger" * 300, b"SQLite format 3\0" + b"x" * 200])
def test_a_damaged_ledger_is_named_with_what_to_do(path, content):
    path.write_bytes(content)
    with pytest.raises(UnusableOutputError, match="Delete it to measure everything again"):
        Ledger(path)
    assert path.read_bytes() == content


def test_a_ledger_of_another_version_is_refused(path):
    begin(path).close()
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(UnusableOutputError, match="format 99"):
        Ledger(path)


@pytest.mark.parametrize(
    ("second", "again"),
    [({}, False), ({"context": "d"}, True), ({"fresh": True}, True), ({"who": "key"}, False)],
)
def test_another_model_or_setting_is_measured_again(path, second, again):
    with begin(path) as ledger:
        ledger.add("one.dcm", "s", entry(), 0)
        ledger.store(outcome())
    with begin(path, **second) as ledger:
        assert (ledger.known("one.dcm", "s") is None) == bool(second.keys() & {"fresh", "who"})
        assert ledger.add("one.dcm", "s", entry(), 0) == again


def test_a_failure_is_tried_again_and_a_refusal_is_not(path):
    with begin(path) as ledger:
        for name, status in (("a", Status.FAILED), ("b", Status.NOT_MEASURABLE)):
            ledger.add(name, "s", entry(name), 0)
            ledger.store(outcome(name, name, status))
    with begin(path) as ledger:
        assert ledger.add("a", "s", entry("a"), 0)
        assert not ledger.add("b", "s", entry("b"), 0)


def test_what_changed_has_no_stamp_and_copies_share_a_result(path):
    with begin(path) as ledger:
        assert ledger.known("one.dcm", "s") is None
        assert ledger.add("one.dcm", "s", entry(patient="first"), 0)
        assert not ledger.add("copy.dcm", "t", entry(patient="second"), 0), "in flight"
        assert ledger.record("copy.dcm") is None
        assert ledger.known("one.dcm", "s") == entry(patient="first")
        assert ledger.known("one.dcm", "later") is None
        ledger.store(outcome())
        assert not ledger.add("third.dcm", "t", entry(), 0), "done"
        rows = {row["file"]: row for row in ledger.rows()}
    assert [rows[name]["duplicate_of"] for name in ("copy.dcm", "one.dcm", "third.dcm")] == [
        None,
        "copy.dcm",
        "copy.dcm",
    ], "the first by name, whichever was measured"
    assert {row["thickness_mm"] for row in rows.values()} == {7.25}
    assert rows["copy.dcm"]["patient_id"] == "second" and rows["one.dcm"]["patient_id"] == "first"


def test_files_that_are_gone_leave_the_tables_at_the_end_of_a_run_and_keep_their_results(path):
    with begin(path) as ledger:
        for name in ("a", "b"):
            ledger.add(name, "s", entry(name), 0)
            ledger.store(outcome(name, name))
    with begin(path) as ledger:
        ledger.add("b", "s", entry("b"), 0)
        assert [row["file"] for row in ledger.rows()] == ["a", "b"]
        ledger.finish("")
        assert [row["file"] for row in ledger.rows()] == ["b"]
    with begin(path) as ledger:
        assert not ledger.add("a", "s", entry("a"), 0)


def test_results_of_other_settings_are_kept_and_not_mixed(path):
    for context, mm in (("c", 7.25), ("d", 5.0)):
        with begin(path, context) as ledger:
            assert ledger.add("a", "s", entry(), 0)
            found = outcome()
            best = replace(found.record.best, thickness_mm=mm)
            ledger.store(replace(found, record=replace(found.record, best=best)))
    for context, mm in (("c", 7.25), ("d", 5.0)):
        with begin(path, context) as ledger:
            assert not ledger.add("a", "s", entry(), 0)
            assert [row["thickness_mm"] for row in ledger.rows()] == [mm]
            assert ledger.resumed() == 1


def test_a_run_that_cannot_begin_changes_nothing(path, monkeypatch):
    with begin(path) as ledger:
        ledger.add("a", "s", entry(), 0)
        ledger.store(outcome())
    with Ledger(path) as ledger:
        monkeypatch.setattr(ledger, "_about", lambda: {"run": "1", "who": object()})
        with pytest.raises((OutputError, sqlite3.Error)):
            ledger.begin("c", object())
        assert not ledger.begun
    with begin(path) as ledger:
        assert not ledger.add("a", "s", entry(), 0)


def test_files_without_an_image_have_a_row_only_if_they_were_named(path):
    with begin(path) as ledger:
        ledger.add("report.dcm", "s", entry("r"), 3)
        ledger.store(outcome("r", "report.dcm", Status.FAILED, no_image=True))
        unreadable = ClipRecord.failed("gone.dcm", "It is gone.", "bundle", "cpu")
        ledger.add_unreadable(unreadable, 3)
        assert ledger.without_image() == {3: 1}
        assert list(ledger.rows()) == [unreadable.row()]
        expected = replace(unreadable, identity=ClipIdentity())
        assert ClipRecord.from_row(unreadable.row()) == expected
    with begin(path) as ledger:
        assert not ledger.add("report.dcm", "s", entry("r"), 0, named=True), "it is no failure"
        ledger.finish("")
        assert [row["file"] for row in ledger.rows()] == ["report.dcm"]
        assert ledger.without_image() == {}


def test_a_ledger_that_nothing_was_written_to_leaves_no_file(path):
    with Ledger(path):
        pass
    assert list(path.parent.iterdir()) == []
    begin(path).close()
    assert path.exists()
    with Ledger(path):
        pass
    assert path.exists()


def test_rows_are_json_and_no_pickle(path):
    with begin(path) as ledger:
        ledger.add("one.dcm", "s", entry(), 0)
        ledger.store(outcome())
    base = sqlite3.connect(path)
    ((row,),) = base.execute("SELECT row FROM results")
    assert json.loads(row)["thickness_mm"] == 7.25
    base.close()
