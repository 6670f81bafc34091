"""The worklist: what needs a look comes first, thousands stay fast, nobody is named."""

import json
import random

import pytest
from review_run import SECRET_ID, write_tables

from app.review.clips import Clips, keyed
from app.review.listing import Query, worklist
from app.review.rows import read_run
from app.review.sessions import Session
from app.review.settings import ReviewError
from inference.records import CLIP_COLUMNS


def table_row(n=1, **values):
    clip = dict.fromkeys(CLIP_COLUMNS)
    return clip | {
        "file": f"clips/{n:06d}.dcm",
        "sha256": f"{n:064x}",
        "frames": 1,
        "frame": 1,
        "status": "measured",
        "thickness_mm": 5.0,
        "lower_mm": 4.0,
        "upper_mm": 5.4,
        "call": "thin",
        "threshold_mm": 6.0,
        "quality": 0.95,
        "calibration": "ultrasound_region",
        "row_mm": 0.1,
        "column_mm": 0.1,
        "bundle": "b",
        "device": "cpu",
        **values,
    }


def refused(n, reason, quality=None):
    nothing = dict.fromkeys(["thickness_mm", "lower_mm", "upper_mm", "call", "threshold_mm"])
    return table_row(n, **nothing, status="not_measurable", reason=reason, quality=quality)


def put(run, rows):
    write_tables(run, rows)
    (run / "frames.parquet").unlink(missing_ok=True)


@pytest.fixture
def listed(run, seat):
    def make(rows, **options):
        put(run, rows)
        return seat(**options).enter()

    return make


def test_the_order_is_that_of_need(listed):
    rows = [
        refused(1, None) | {"status": "failed", "message": "cut short", "sha256": None},
        table_row(2),
        refused(3, "no_endometrium"),
        refused(4, "low_quality", 0.1),
        table_row(5, upper_mm=5.8),
        table_row(6, quality=0.3),
        table_row(7, call="indeterminate", lower_mm=4.9, upper_mm=6.9, thickness_mm=5.9),
        table_row(8, call="indeterminate", lower_mm=4.0, upper_mm=6.9, thickness_mm=5.0),
        table_row(9, duplicate_of="clips/000002.dcm"),
    ]
    seat = listed(rows, show_identity=True)
    names = [item["name"][5:6] for item in seat.items()]
    assert names == ["7", "8", "6", "5", "4", "3", "2", "1"]
    needs = [item["need"] for item in seat.items()]
    assert needs[0] == "indeterminate" and needs[2:4] == ["doubtful", "near"]
    assert needs[-2:] == ["clear", "failed"]


def test_filters_narrow_and_count(listed):
    rows = [
        table_row(1, call="indeterminate", patient_id="P1", acquired_at="2026-01-05T10:00:00"),
        table_row(2, patient_id="P1", acquired_at="2026-02-05"),
        table_row(3, patient_id="P2", acquired_at="2026-03-05"),
        refused(4, "cut_off"),
    ]
    seat = listed(rows)

    def names(**query):
        return sorted(item["words"][:6] for item in seat.items(**query))

    assert len(names(call="thin")) == 2 and len(names(status="not_measurable")) == 1
    assert len(names(patient="Patient 1")) == 2 == len(names(patient="1"))
    assert len(names(**{"from": "2026-02-05", "to": "2026-02-05"})) == 1
    assert len(names(**{"from": "2026-01-06"})) == 2 and len(names(to="2026-01-05")) == 1
    assert names(need="refused") == names(status="not_measurable")
    assert names(call="' OR 1=1 --") == []
    assert names(patient="P1") == [], "an identifier is no way in where none is shown"
    found = seat.json("/api/worklist", call="thin", size=1, page=2)
    assert (found["total"], found["page"], found["pages"], len(found["items"])) == (2, 2, 2, 1)
    assert found["progress"] == {"total": 4, "done": 0, "open": 4}
    assert seat.json("/api/worklist", page=99)["page"] == 1
    ids = seat.json("/api/worklist/ids", call="thin")["items"]
    assert [i["id"] for i in ids] == [i["id"] for i in seat.items(call="thin")]


def test_states_and_reviewers_filter_what_was_saved(listed):
    seat = listed([table_row(n) for n in range(1, 5)], reviewer="anna")
    first, second, third = (item["id"] for item in seat.items()[:3])
    for key, action, more in (
        (first, "accept", {}),
        (second, "reject", {"reason": "cut_off"}),
        (third, "accept", {}),
        (third, "withdraw", {}),
    ):
        version = 1 if action == "withdraw" else 0
        clip = {"id": key, "version": version}
        assert seat.review(clip, action, **more).status_code == 201
    assert {i["id"] for i in seat.items(state="done")} == {first, second}
    assert third in {i["id"] for i in seat.items(state="open")}
    found = seat.json("/api/worklist", reviewer="anna", state="done")
    assert found["total"] == 2 and found["filters"]["reviewers"] == ["anna"]
    assert found["progress"] == {"total": 4, "done": 2, "open": 2}
    states = {i["id"]: (i["state"], i["review_mm"], i["reviewer"]) for i in seat.items()}
    assert states[first] == ("accepted", 5.0, "anna")
    assert states[second] == ("rejected", None, "anna")
    assert states[third] == ("open", None, None)


def test_two_thousand_clips_are_each_there_once_in_the_same_order(listed):
    shuffle = random.Random(1)
    rows = [
        table_row(
            n,
            call=shuffle.choice(["thin", "indeterminate"]),
            thickness_mm=shuffle.uniform(1, 9),
            quality=shuffle.random(),
            patient_id=f"P{n % 300}",
        )
        for n in range(2000)
    ]
    seat = listed(rows)
    pages = [seat.json("/api/worklist", size=300, page=n) for n in range(1, 8)]
    ids = [item["id"] for page in pages for item in page["items"]]
    assert len(ids) == len(set(ids)) == 2000 == pages[0]["progress"]["total"]
    assert ids == [item["id"] for item in seat.json("/api/worklist/ids")["items"]]
    needs = [item["need"] for page in pages for item in page["items"]]
    assert needs == sorted(needs, key=["indeterminate", "doubtful", "near", "clear"].index)
    assert len({item["patient"] for page in pages for item in page["items"]}) == 300
    clip = seat.json(f"/api/clip/{ids[999]}")
    assert (clip["previous"], clip["next"]) == (ids[998], ids[1000])
    assert clip["position"] == {"index": 1000, "of": 2000}


def test_the_worklist_asks_the_database_for_what_is_new_alone(listed, monkeypatch):
    """Every read of the table would read all of it; here it is asked from the last one seen."""
    seat = listed([table_row(n) for n in range(50)])
    asked = []
    engine = seat.desk.store.engine

    from sqlalchemy import event

    event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2:4]))
    for item in seat.items()[:3]:
        assert seat.review({"id": item["id"], "version": 0}).status_code == 201
    asked.clear()
    worklist(seat.desk, Session("anna", "reviewer", "", 0, 0), Query())
    selects = [(what, values) for what, values in asked if what != "BEGIN"]
    assert len(selects) == 1 and "reviews.id >" in selects[0][0] and selects[0][1] == (3,)


def test_clips_that_are_measured_later_join_the_list(listed, run):
    seat = listed([table_row(1), table_row(2)])
    before = [item["id"] for item in seat.get("/api/worklist").json()["items"]]
    kept = refused(3, "low_quality", 0.1)
    put(run, [table_row(1), table_row(2), kept, table_row(4)])
    after = seat.get("/api/worklist/ids").json()["items"]
    assert len(after) == 4
    assert {item["id"] for item in after} > set(before)
    assert seat.get(f"/api/clip/{after[0]['id']}").status_code == 200
    # Half written, then whole again
    content = (run / "measurements.parquet").read_bytes()
    (run / "measurements.parquet").write_bytes(content[:100])
    assert seat.get("/api/worklist").json()["total"] == 4
    put(run, [table_row(n) for n in range(1, 7)])
    assert seat.get("/api/worklist").json()["total"] == 6
    # Of another model: for that the page is started again
    said = json.loads((run / "run.json").read_text())
    said["bundle"]["sha256"] = "1" * 64
    put(run, [table_row(1)])
    (run / "run.json").write_text(json.dumps(said))
    assert seat.get("/api/worklist").json()["total"] == 6


def test_a_blind_study_keeps_its_cases(listed, run):
    seat = listed([table_row(1), table_row(2)], blind=True)
    put(run, [table_row(n) for n in range(5)])
    assert seat.get("/api/worklist").json()["total"] == 2


def test_nobody_is_named_unless_identities_are_shown(run, seat):
    hidden, shown = seat().enter(), seat(show_identity=True).enter()

    def everything(person):
        texts = [json.dumps(person.json("/api/worklist")), person.get("/worklist").text]
        for item in person.items():
            texts.append(person.get(f"/api/clip/{item['id']}").text)
            texts.append(person.get(f"/clip/{item['id']}").text)
        return "\n".join(texts)

    plain = everything(hidden)
    for secret in (SECRET_ID, "ANNA", "one.dcm", "clips/", str(run)):
        assert secret not in plain
    told = everything(shown)
    assert SECRET_ID in told and "one.dcm" in told and str(run) not in told
    assert all(SECRET_ID not in item["id"] for item in shown.items())


def test_ids_follow_the_image_and_nobody_can_work_them_out(run):
    tables = read_run(run)
    first, other = Clips(tables, b"1" * 32), Clips(tables, b"2" * 32)
    assert not set(first.by_id) & set(other.by_id)
    moved = [r | {"file": f"elsewhere/{i}.dcm"} for i, r in enumerate(tables.rows)]
    after = Clips(type(tables)(moved, tables.strip, tables.summary), b"1" * 32)
    there = {e.id for e in first.order if e.row["sha256"]}
    assert there == {e.id for e in after.order if e.row["sha256"]}
    assert keyed(b"a", "x") != keyed(b"b", "x") and len(keyed(b"a", "x")) == 16


def test_two_rows_of_one_content_are_two_clips(listed):
    seat = listed([table_row(n, sha256="a" * 64) for n in range(3)])
    assert len({item["id"] for item in seat.items()}) == 3


def test_tables_of_csv_alone_are_read_alike(run, seat):
    before = [(i["words"], i["quality"]) for i in seat().enter().items()]
    (run / "measurements.parquet").unlink()
    assert [(i["words"], i["quality"]) for i in seat().enter().items()] == before


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "run.json").unlink(), "run.json"),
        (lambda f: (f / "run.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "run.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "measurements.parquet").write_bytes(b"PAR1 nothing"), "cannot be read"),
        (lambda f: [p.unlink() for p in f.glob("measurements.*")], "measurements.csv"),
    ],
)
def test_a_folder_without_a_run_says_what_is_missing(run, break_it, says):
    break_it(run)
    with pytest.raises(ReviewError, match=says):
        read_run(run)
