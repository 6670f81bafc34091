"""The audit table: nothing is lost, nothing is changed, and of two who save at once one wins."""

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.review.database import open_database, where
from app.review.settings import ReviewError
from app.review.store import REVIEW, Review, StaleError, Store, now


def a_review(**values):
    plain = {
        "slot": "clip-1",
        "number": 1,
        "kind": REVIEW,
        "clip": "clip-1",
        "sha256": "ab" * 32,
        "sop_uid_hash": None,
        "reviewer": "anna",
        "at": now(),
        "action": "correct",
        "threshold_mm": 6.0,
        "software": "0.1.0",
        "bundle": "b",
        "bundle_sha256": "cd" * 32,
        "calipers": [[1.5, 2.25], [3.0, 4.0]],
        "contours": [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]],
        "after_mm": 5.123456789012345,
        "note": "ümlaut ' \" ; DROP TABLE reviews",
    }
    return Review(**plain | values)


@pytest.fixture
def store(tmp_path, database):
    engine = open_database(tmp_path, database)
    yield Store(engine)
    engine.dispose()


def test_what_is_saved_comes_back_as_it_was(store, tmp_path, database):
    first, second = a_review(), a_review(number=2, action="withdraw", after_mm=None, calipers=None)
    store.append(first)
    store.append(second)
    other = Store(open_database(tmp_path, database))
    assert other.history("clip-1") == [first, second] == list(other.all())
    assert other.newest() == {"clip-1": second} and other.secret == store.secret
    other.engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reviews SET reviewer = 'eve'",
        "UPDATE reviews SET note = NULL WHERE id = 1",
        "DELETE FROM reviews",
        "UPDATE study SET at = ''",
        "DELETE FROM study",
    ],
)
def test_nothing_that_was_saved_can_be_changed(store, statement):
    store.begin_study(1, 2, "anna")
    store.append(a_review())
    before = list(store.all())
    with pytest.raises(DBAPIError, match="never changed"), store.engine.begin() as base:
        base.execute(text(statement))
    assert list(store.all()) == before and store.study().began_at


def test_an_emptied_or_replaced_table_is_refused_too(store):
    store.append(a_review())
    columns = "slot, number, kind, clip, reviewer, at, action, threshold_mm, over, software"
    values = "'clip-1', 1, 'review', 'clip-1', 'eve', '', 'accept', 6, false, ''"
    if store.engine.dialect.name == "postgresql":
        statements = [
            "TRUNCATE reviews",
            f"INSERT INTO reviews ({columns}, bundle, bundle_sha256) VALUES ({values}, '', '') "
            "ON CONFLICT (slot, number) DO UPDATE SET reviewer = 'eve'",
        ]
    else:
        statements = [
            f"INSERT OR REPLACE INTO reviews ({columns}, bundle, bundle_sha256) "
            f"VALUES ({values}, '', '')"
        ]
    for statement in statements:
        with pytest.raises(DBAPIError), store.engine.begin() as base:
            base.execute(text(statement))
    assert [r.reviewer for r in store.all()] == ["anna"]


def test_another_program_cannot_change_the_sqlite_file_either(tmp_path):
    engine = open_database(tmp_path, None)
    Store(engine).append(a_review())
    base = sqlite3.connect(tmp_path / "reviews.sqlite")
    for statement in ("DELETE FROM reviews", "UPDATE reviews SET after_mm = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            base.execute(statement)
    base.close()
    engine.dispose()


def test_of_many_who_saw_the_same_exactly_one_saves(store, tmp_path, database):
    """Threads of two servers on one database, all of which saw the clip without a review."""
    second = Store(open_database(tmp_path, database))
    start, saved, stale = threading.Barrier(12), [], []

    def save(who, own):
        start.wait()
        try:
            own.append(a_review(reviewer=who))
            saved.append(who)
        except StaleError as error:
            stale.append(error.newest.reviewer)

    threads = [
        threading.Thread(target=save, args=(f"r{i}", (store, second)[i % 2])) for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(saved) == 1 and stale == saved * 11
    assert [r.reviewer for r in store.all()] == saved
    assert store.newest() == second.newest()
    second.engine.dispose()


def test_saves_of_many_clips_at_once_are_all_seen_by_both_servers(store, tmp_path, database):
    second = Store(open_database(tmp_path, database))
    found = []

    def save(i):
        own = (store, second)[i % 2]
        for n in range(8):
            own.append(a_review(slot=f"s{i}-{n}", clip=f"s{i}-{n}"))
            found.append(len(own.newest()))

    threads = [threading.Thread(target=save, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.newest() == second.newest() and len(store.newest()) == 48 == len(found)
    second.engine.dispose()


def test_a_process_that_is_killed_loses_nothing_that_was_saved(tmp_path):
    """The child dies by a signal right after `append` returned."""
    child = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from test_store import a_review
from app.review.database import open_database
from app.review.store import Store
store = Store(open_database(Path({str(tmp_path)!r}), None))
for n in (1, 2, 3):
    store.append(a_review(number=n))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", child], check=False, timeout=60)
    assert done.returncode == -9
    store = Store(open_database(tmp_path, None))
    assert [r.number for r in store.all()] == [1, 2, 3]
    store.engine.dispose()


def test_sqlite_waits_for_the_disk(tmp_path):
    engine = open_database(tmp_path, None)
    with engine.connect() as base:
        assert base.execute(text("PRAGMA synchronous")).scalar() == 2
        assert base.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


def test_postgresql_waits_for_the_disk(tmp_path, postgres):
    engine = open_database(tmp_path, postgres)
    with engine.connect() as base:
        assert base.execute(text("SHOW synchronous_commit")).scalar() == "on"
    engine.dispose()


def test_a_number_that_leaves_a_gap_is_refused(store):
    with pytest.raises(StaleError):
        store.append(a_review(number=2))
    assert list(store.all()) == []


def test_a_study_is_begun_once_and_opened_once(store):
    assert store.study() is None
    store.begin_study(3, 2, "anna")
    assert store.begin_study(3, 2, "berta").began_at == store.study().began_at
    with pytest.raises(ReviewError, match="--seed 3 --repeats 2"):
        store.begin_study(4, 2, "anna")
    store.open_study("carla")
    first = store.study().opened_at
    store.open_study("carla")
    assert store.study().opened_at == first
    with pytest.raises(ReviewError, match="was opened"):
        store.begin_study(3, 2, "anna")


def test_what_was_reviewed_openly_is_no_blind_study(store):
    store.append(a_review())
    with pytest.raises(ReviewError, match="reviewed openly"):
        store.begin_study(1, 1, "anna")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("mysql://a@b/c", "postgresql://"),
        ("nonsense", "no address"),
        ("postgresql://nobody:hidden@127.0.0.1:1/none", "cannot be used"),
        ("sqlite:////no/such/folder/x.sqlite", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_says_so_without_its_password(tmp_path, address, says):
    pytest.importorskip("psycopg")
    with pytest.raises(ReviewError, match=says) as caught:
        open_database(tmp_path, address)
    assert "hidden" not in str(caught.value)


def test_a_database_of_a_later_version_is_left_alone(tmp_path):
    engine = open_database(tmp_path, None)
    with engine.begin() as base:
        base.execute(text("UPDATE about SET value = '99' WHERE name = 'format'"))
    with pytest.raises(ReviewError, match="format 99"):
        open_database(tmp_path, None)
    assert "reviews.sqlite" in where(engine)
    engine.dispose()


def test_a_damaged_database_says_so(tmp_path):
    (tmp_path / "reviews.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ReviewError, match="cannot be used"):
        open_database(tmp_path, None)


def test_reviews_are_equal_by_content():
    assert a_review(at="x") == a_review(at="x") != replace(a_review(at="x"), note="y")
