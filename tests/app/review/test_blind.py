"""Blind reading: what the machine and others say stays on the server until the study is opened."""

import json
import re
from itertools import pairwise

import pytest
from review_run import rows_of

from app.review.blind import ReaderOrder
from app.review.clips import Clips
from app.review.rows import read_run
from app.review.settings import ReviewError

LINE = [[150.0, 300.0], [180.0, 300.0]]


@pytest.fixture
def reader(seat):
    def sit(name, **options):
        return seat(**{"blind": True, "seed": 7, "reviewer": name, **options}).enter()

    return sit


def read(person, item, line=LINE):
    clip = person.json(f"/api/clip/{item['id']}")
    done = person.review(clip, "correct", frame=1, calipers=line)
    assert done.status_code == 201, done.text
    return done.json()


def scaled(person):
    """Return the first case that has a scale."""
    return next(item for item in person.items() if person.json(f"/api/clip/{item['id']}")["row_mm"])


def everything(person):
    """Return all that the server says to a person, text of every page and answer."""
    texts = []
    for item in person.items():
        paths = [f"/clip/{item['id']}", f"/api/clip/{item['id']}"]
        paths += [f"/api/clip/{item['id']}/frame/1", f"/thumbnails/{item['id']}.jpg"]
        texts += [person.get(path).text for path in paths]
    texts += [person.get(p).text for p in ("/worklist", "/api/worklist", "/api/worklist/ids")]
    texts.append(person.get("/api/me").text)
    return "\n".join(texts)


def test_nothing_that_the_machine_says_leaves_the_server(reader, run):
    person = reader("anna", repeats=2)
    for item in person.items():
        read_or_reject(person, item)
    told = everything(person)
    for row in rows_of(run / "measurements.csv"):
        for name in ("thickness_mm", "lower_mm", "upper_mm", "quality", "caliper_row_1"):
            number = row[name]
            if number and float(number) not in (0.0, 1.0):
                assert number[:7] not in told, name
        for name in ("file", "sha256", "patient_id", "acquired_at", "sop_instance_uid"):
            assert not row[name] or row[name] not in told, name
    for word in ("not_measurable", "low_quality", "no_endometrium", "indeterminate"):
        assert not re.search(rf'"{word}"', told), word


def read_or_reject(person, item):
    clip = person.json(f"/api/clip/{item['id']}")
    if clip["row_mm"] is None:
        assert person.review(clip, "reject", reason="wrong_scale").status_code == 201
    else:
        read(person, item)


def test_the_fields_of_the_machine_are_empty(reader):
    person = reader("anna")
    for item in person.items():
        machine = ("status", "call", "reason", "words", "thickness_mm", "need", "quality")
        assert [item[name] for name in machine] == [None] * 7
        assert item["patient"] is None and item["acquired_at"] is None
        clip = person.json(f"/api/clip/{item['id']}")
        assert clip["blind"] and clip["measurement"] is None and clip["trend"] == []
        assert clip["per_frame"] == [] and clip["patient"] is None
        answer = person.get(f"/api/clip/{item['id']}/frame/1")
        assert answer.status_code == 403
    for query in ({"call": "thin"}, {"need": "refused"}, {"status": "failed"}, {"reviewer": "x"}):
        assert person.get("/api/worklist", **query).status_code == 422
        assert person.get("/api/worklist/ids", **query).status_code == 422
    assert person.json("/api/worklist", state="open")["filters"] == {
        "reviewers": [],
        "calls": [],
        "statuses": [],
        "needs": [],
    }


def test_a_thumbnail_shows_no_outline(reader, seat, run):
    from test_clip_page import picture

    person = reader("anna")
    case = next(
        c for c in person.desk._order(_me(person)).cases if c.entry.file.endswith("one.dcm")
    )
    shown = picture(person.get(f"/thumbnails/{case.id}.jpg")).astype(int)
    assert (abs(shown[..., 0] - shown[..., 2]) < 12).all(), "grey: nothing is drawn over it"
    assert [p.name for p in (run / ".review/thumbnails").iterdir()] == [
        f"{case.entry.id}-plain.jpg"
    ]


def _me(person):
    return next(iter(person.desk.sessions._sessions.values()))


def test_readers_do_not_see_each_other(reader):
    anna, berta = reader("anna"), reader("berta")
    read(anna, scaled(anna), [[150.0, 300.0], [173.25, 300.0]])
    assert "anna" not in everything(berta)
    assert all(item["state"] == "open" for item in berta.items())
    assert not {i["id"] for i in anna.items()} & {i["id"] for i in berta.items()}
    assert berta.get(f"/api/clip/{scaled(anna)['id']}").status_code == 404
    own = anna.json(f"/api/clip/{scaled(anna)['id']}")
    assert own["review"]["reviewer"] == "anna" and own["review"]["before_mm"] is None
    assert len(own["history"]) == 1 == own["version"]


def test_two_readers_of_one_clip_are_no_conflict_and_one_reader_twice_is(reader):
    anna, berta = reader("anna"), reader("berta")
    for person in (anna, berta):
        read(person, scaled(person))
    first = scaled(anna)
    stale = anna.review({"id": first["id"], "version": 0}, "correct", frame=1, calipers=LINE)
    assert stale.status_code == 409 and stale.json()["review"]["reviewer"] == "anna"
    assert read(anna, first)["version"] == 2


def test_there_is_nothing_to_accept(reader):
    person = reader("anna")
    clip = person.json(f"/api/clip/{person.items()[0]['id']}")
    assert person.review(clip).status_code == 422
    snap = {"frame": 1, "contours": [[[150, 250], [150, 450], [180, 450], [180, 250]]]}
    answers = [
        person.post(f"/api/clip/{item['id']}/snap", snap).status_code for item in person.items()
    ]
    assert 200 in answers, "a reader may measure the own outline"


def test_every_reader_has_an_order_of_their_own_that_the_seed_decides(run):
    clips = Clips(read_run(run), b"k" * 32)

    def order(reader, seed, key=b"k" * 32):
        return [c.entry.file for c in ReaderOrder(clips, key, reader, seed, 1).cases]

    orders = {(r, s): order(r, s) for r in ("anna", "berta", "carla") for s in range(4)}
    assert orders["anna", 0] == order("anna", 0, b"other" * 7)
    assert len({tuple(o) for o in orders.values()}) > 9
    files = {e.file for e in clips.order if e.row["status"] != "failed"}
    assert all(set(o) == files and len(o) == len(files) for o in orders.values())


@pytest.mark.parametrize("repeats", [2, 3])
def test_a_clip_that_is_read_again_comes_much_later_under_another_name(run, repeats):
    from test_worklist import put, table_row

    put(run, [table_row(n) for n in range(41)])
    clips = Clips(read_run(run), b"k" * 32)
    cases = ReaderOrder(clips, b"k" * 32, "anna", 5, repeats).cases
    assert len({c.id for c in cases}) == 41 * repeats == cases[-1].number
    places = {}
    for case in cases:
        places.setdefault(case.entry.id, []).append((case.replicate, case.number))
    for found in places.values():
        assert [replicate for replicate, _ in found] == list(range(1, repeats + 1))
        gaps = [b[1] - a[1] for a, b in pairwise(found)]
        assert min(gaps) >= 41 // 2 - 1
    first, second = cases[:41], cases[41:82]
    assert [c.entry.id for c in first] != [c.entry.id for c in second]


def test_a_study_cannot_be_looked_at_openly_until_it_is_opened(reader, seat, run):
    anna = reader("anna")
    read(anna, scaled(anna))
    with pytest.raises(ReviewError, match="review-open"):
        seat()
    with pytest.raises(ReviewError, match="--seed 7"):
        reader("anna", seed=8)
    person = reader("berta")
    person.desk.store.open_study("admin")
    with pytest.raises(ReviewError, match="opened"):
        reader("anna")
    after = seat().enter()
    histories = [after.json(f"/api/clip/{i['id']}")["history"] for i in after.items()]
    assert [h[0]["reading"] for h in histories if h] == [True]
    assert all(i["state"] == "open" for i in after.items()), "a reading is no review"


def test_repeats_without_a_study_make_no_sense(seat):
    with pytest.raises(ReviewError, match="--blind"):
        seat(repeats=2)


def test_the_first_frame_of_a_cine_is_the_middle_one_and_not_the_machines(reader):
    person = reader("anna")
    cines = [
        c for c in (person.json(f"/api/clip/{i['id']}") for i in person.items()) if c["frames"] == 4
    ]
    assert [c["frame"] for c in cines] == [2]


def test_what_a_reader_reads_is_neutral_json(reader):
    person = reader("anna")
    names = [item["name"] for item in person.items()]
    assert names == [f"Case {n}" for n in range(1, len(names) + 1)]
    assert json.loads(person.get("/api/me").text)["blind"] is True
