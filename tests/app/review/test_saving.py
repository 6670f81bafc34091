"""Saving: the server measures what was drawn itself, and of two reviewers the second decides."""

import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from test_worklist import put

from app.review.geometry import distance_mm, share_inside
from app.review.rows import read_run
from app.review.store import Store
from imaging.clip import sha256


def circle(row, column, radius, n=90):
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return [[row + radius * math.sin(a), column + radius * math.cos(a)] for a in turn]


def box(top, left, bottom, right):
    return [[top, left], [top, right], [bottom, right], [bottom, left]]


@pytest.fixture
def person(seat):
    return seat(reviewer="anna").enter()


def test_accept_takes_over_what_the_run_measured(person):
    clip = person.clip("a/one.dcm")
    lie = [[0.0, 0.0], [0.0, 400.0]]
    answer = person.review(clip, frame=1, calipers=lie)
    assert answer.status_code == 201
    saved = answer.json()["review"]
    said = clip["measurement"]
    assert saved["thickness_mm"] == said["thickness_mm"] and saved["calipers"] == said["calipers"]
    assert saved["call"] == "thin" and saved["call_words"] == "thin: below 6 mm"
    assert (saved["state"], saved["reviewer"], answer.json()["version"]) == ("accepted", "anna", 1)
    after = person.clip("a/one.dcm")
    assert after["review"] == saved == after["history"][0] and after["version"] == 1


def test_accepting_a_refusal_says_that_there_is_no_number(person):
    saved = person.review(person.clip("nothing.dcm")).json()["review"]
    assert (saved["state"], saved["thickness_mm"], saved["call"]) == ("accepted", None, None)


def test_a_correction_is_measured_in_rows_and_columns(run, seat, measured, tmp_path):
    """Oblong pixels: the same number of pixels is more millimetres down than across."""
    data = dcmread(measured / "clips/a/one.dcm")
    region = data.SequenceOfUltrasoundRegions[0]
    data.PixelData = (
        data.pixel_array[: data.Rows // 3 * 3].reshape(-1, 3, data.Columns)[:, 1].tobytes()
    )  # every third row
    data.Rows = data.Rows // 3
    region.PhysicalDeltaY = 3 * float(region.PhysicalDeltaX)
    region.RegionLocationMinY0 = 0
    region.RegionLocationMaxY1 = data.Rows - 1
    path = tmp_path / "oblong.dcm"
    data.save_as(path)
    row = next(r for r in read_run(run).rows if r["file"].endswith("a/one.dcm"))
    scale = {
        "row_mm": 30 * float(region.PhysicalDeltaX),
        "column_mm": 10 * float(region.PhysicalDeltaX),
    }
    put(run, [row | scale | {"file": str(path), "sha256": sha256(path)}])
    person = seat().enter()
    clip = person.clip("oblong.dcm")
    assert clip["row_mm"] == pytest.approx(3 * clip["column_mm"])
    for version, line in enumerate(
        (
            [[50.0, 300.0], [56.0, 300.0]],
            [[50.0, 300.0], [50.0, 330.0]],
            [[50, 300], [60, 320]],
        )
    ):
        saved = person.review(clip | {"version": version}, "correct", frame=1, calipers=line).json()
        (r1, c1), (r2, c2) = line
        wanted = math.hypot((r2 - r1) * clip["row_mm"], (c2 - c1) * clip["column_mm"])
        assert saved["review"]["thickness_mm"] == pytest.approx(wanted)
        assert saved["review"]["call"] == ("thin" if wanted < 6 else "not_thin")


def test_two_layers_are_summed_and_fluid_between_calipers_is_left_out(person):
    clip = person.clip("a/one.dcm")
    mm = clip["row_mm"]
    layers = [[[150.0, 300.0], [160.0, 300.0]], [[170.0, 300.0], [185.0, 300.0]]]
    saved = person.review(clip, "correct", frame=1, layers=layers).json()["review"]
    assert saved["thickness_mm"] == pytest.approx(25 * mm) and saved["layers"] == layers
    line, fluid = [[150.0, 300.0], [185.0, 300.0]], [box(160, 290, 170, 310)]
    again = person.review(
        clip | {"version": 1}, "correct", frame=1, calipers=line, fluid=fluid
    ).json()["review"]
    assert again["thickness_mm"] == pytest.approx(25 * mm)
    assert again["before_mm"] == saved["thickness_mm"]


def test_a_snapped_outline_measures_its_band(person):
    clip = person.clip("a/one.dcm")
    mm, path = clip["row_mm"], f"/api/clip/{clip['id']}/snap"
    given = {"frame": 1, "contours": [box(150, 250, 180, 450)]}
    snapped = person.post(path, given)
    assert snapped.status_code == 200, snapped.text
    found = snapped.json()
    assert found["thickness_mm"] == pytest.approx(30 * mm, abs=0.05) and not found["fluid"]
    assert distance_mm(found["calipers"], (mm, mm)) == pytest.approx(found["thickness_mm"])
    given["fluid"] = [box(160, 255, 170, 445)]
    wet = person.post(path, given).json()
    assert wet["fluid"] and wet["thickness_mm"] == pytest.approx(20 * mm, abs=0.1)
    assert wet["fluid_mm"] == pytest.approx(10 * mm, abs=0.15)
    saved = person.review(
        clip,
        "correct",
        frame=1,
        calipers=wet["calipers"],
        contours=given["contours"],
        fluid=given["fluid"],
    ).json()["review"]
    assert saved["thickness_mm"] == pytest.approx(wet["thickness_mm"], abs=1e-9)
    alone = person.review(
        clip | {"version": 1}, "correct", frame=1, contours=given["contours"]
    ).json()["review"]
    assert alone["thickness_mm"] == pytest.approx(30 * mm, abs=0.05) and alone["calipers"]


@pytest.mark.parametrize(
    ("contours", "reason"),
    [
        ([box(150, 300, 150.2, 300.2)], "no_endometrium"),
        ([circle(200, 400, 30)[:3]], None),
        ([circle(300, 400, 140)], "implausible_geometry"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(person, contours, reason):
    clip = person.clip("a/one.dcm")
    answer = person.post(f"/api/clip/{clip['id']}/snap", {"frame": 1, "contours": contours})
    if reason is not None:
        assert answer.status_code == 422 and answer.json()["reason"] == reason
    assert answer.status_code in (200, 422)


def test_a_rejection_needs_a_reason_and_another_one_words(person):
    clip = person.clip("a/one.dcm")
    assert person.review(clip, "reject").status_code == 422
    assert person.review(clip, "reject", reason="other").status_code == 422
    assert person.review(clip, "reject", reason="other", note=" \n ").status_code == 422
    assert person.review(clip, "reject", reason="nonsense").status_code == 422
    saved = person.review(clip, "reject", reason="other", note=" moved\0 ").json()["review"]
    assert (saved["state"], saved["thickness_mm"]) == ("rejected", None)
    assert (saved["reason"], saved["note"]) == ("other", "moved")


def test_a_withdrawn_review_opens_the_clip_and_stays_in_its_history(person):
    clip = person.clip("a/one.dcm")
    person.review(clip)
    done = person.review(clip | {"version": 1}, "withdraw").json()
    assert done["review"]["state"] == "open" and done["version"] == 2
    after = person.clip("a/one.dcm")
    assert after["review"] is None and [h["action"] for h in after["history"]] == [
        "withdraw",
        "accept",
    ]
    again = person.review(after, "reject", reason="cut_off").json()["review"]
    assert again["before_mm"] == clip["measurement"]["thickness_mm"]


def test_the_next_clip_is_the_next_that_is_open(person):
    order = [i["id"] for i in person.items()]
    nexts = [
        person.review({"id": key, "version": 0}).json()["next"]
        for key in (order[1], order[2], order[0], *order[3:])
    ]
    assert nexts[:3] == [order[2], order[3], order[3]] and nexts[-1] is None
    assert person.review({"id": order[4], "version": 1}, "withdraw").status_code == 201
    last = person.review({"id": order[-1], "version": 1}).json()
    assert last["next"] == order[4], "from the start again"


def test_the_second_of_two_reviewers_sees_the_first_and_decides(seat):
    anna, berta = seat(reviewer="anna").enter(), seat(reviewer="berta").enter()
    seen = berta.clip("a/one.dcm")
    anna.review(anna.clip("a/one.dcm"), "reject", reason="cut_off")
    answer = berta.review(seen)
    assert answer.status_code == 409
    assert answer.json()["review"]["reviewer"] == "anna" and "anna" in answer.json()["error"]
    assert answer.json()["review"]["action"] == "reject" and answer.json()["version"] == 1
    assert len(berta.clip("a/one.dcm")["history"]) == 1
    decided = berta.review(seen, override=True)
    assert decided.status_code == 201 and decided.json()["version"] == 2
    kept = Store(anna.desk.engine).of_clip(seen["id"])
    assert [(r.reviewer, r.over) for r in kept] == [("anna", False), ("berta", True)]
    assert kept[1].before_mm is None, "what stood before was a rejection"


def test_of_many_reviewers_at_once_one_saves_and_all_others_are_told(seat, database):
    seats = [seat(reviewer=f"r{i}", database=database).enter() for i in range(2)]
    clip = seats[0].clip("a/one.dcm")
    start, answers = threading.Barrier(8), []

    def save(i):
        start.wait()
        answers.append((i, seats[i % 2].review(clip)))

    threads = [threading.Thread(target=save, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for _, a in answers) == [201] + [409] * 7
    winner = next(a for _, a in answers if a.status_code == 201).json()["review"]["reviewer"]
    losers = {a.json()["review"]["reviewer"] for _, a in answers if a.status_code == 409}
    assert losers == {winner}
    assert seats[1].clip("a/one.dcm")["version"] == 1


LINE = [[150.0, 300.0], [180.0, 300.0]]


@pytest.mark.parametrize(
    "given",
    [
        {"action": "correct", "frame": 1},
        {"action": "correct", "calipers": LINE},
        {"action": "correct", "frame": 2, "calipers": LINE},
        {"action": "correct", "frame": 0, "calipers": LINE},
        {"action": "correct", "frame": True, "calipers": LINE},
        {"action": "correct", "frame": 1.5, "calipers": LINE},
        {"action": "correct", "frame": 1, "calipers": [[150, 300], [150, 300.5]]},
        {"action": "correct", "frame": 1, "calipers": [[0, 0], [599, 799]]},
        {"action": "correct", "frame": 1, "calipers": [[-50, 300], [20, 300]]},
        {"action": "correct", "frame": 1, "calipers": [[150, 300], [9e9, 300]]},
        {"action": "correct", "frame": 1, "calipers": [["150", 300], [180, 300]]},
        {"action": "correct", "frame": 1, "calipers": [["5,9", 300], [180, 300]]},
        {"action": "correct", "frame": 1, "calipers": [[150, 300]]},
        {"action": "correct", "frame": 1, "layers": [LINE]},
        {"action": "correct", "frame": 1, "contours": [[[1, 2], [3, 4]]]},
        {"action": "correct", "frame": 1, "contours": []},
        {"action": "correct", "frame": 1, "calipers": LINE, "thickness_mm": 5.0},
        {"action": "accept", "note": "x" * 2001},
        {"action": "delete"},
        {"action": "accept", "version": -1},
        {"action": "accept", "version": "0"},
        {"action": "accept", "override": "yes"},
    ],
)
def test_what_is_no_review_is_refused_and_nothing_is_saved(person, given):
    clip = person.clip("a/one.dcm")
    answer = person.post(f"/api/clip/{clip['id']}/reviews", {"version": 0} | given)
    assert answer.status_code == 422 and answer.json()["error"]
    assert person.clip("a/one.dcm")["version"] == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(person, number):
    clip = person.clip("a/one.dcm")
    body = '{"version":0,"action":"correct","frame":1,"calipers":[[150,300],[180,300]]}'
    body = body.replace("180", number)
    answer = person.client.post(
        f"/api/clip/{clip['id']}/reviews",
        content=body,
        headers={"X-CSRF-Token": person.csrf, "Content-Type": "application/json"},
    )
    assert answer.status_code == 422 and person.clip("a/one.dcm")["version"] == 0


def test_an_outline_of_too_many_points_is_refused(person):
    clip = person.clip("a/one.dcm")
    many = [circle(200, 400, 30, 11_000)] * 2
    rounded = [[[round(r, 1), round(c, 1)] for r, c in contour] for contour in many]
    answer = person.post(f"/api/clip/{clip['id']}/snap", {"frame": 1, "contours": rounded})
    assert answer.status_code == 422 and "20,000" in answer.json()["error"]


def test_an_outline_without_end_costs_nothing(person):
    """Half an hour of work in one request, found by schemathesis: refused before it begins."""
    clip = person.clip("a/one.dcm")
    back_and_forth = [[100 + 300 * (n % 2), 100 + n % 97] for n in range(15_000)]
    given = {"frame": 1, "contours": [back_and_forth]}
    answer = person.post(f"/api/clip/{clip['id']}/snap", given)
    assert answer.status_code == 422 and "without end" in answer.json()["error"]
    answer = person.review(clip, "correct", **given, calipers=LINE)
    assert answer.status_code == 422 and "without end" in answer.json()["error"]


def test_a_clip_without_a_scale_takes_no_calipers(person):
    clip = person.clip("unscaled.dcm")
    answer = person.review(clip, "correct", frame=1, calipers=LINE)
    assert answer.status_code == 422 and answer.json()["reason"] == "no_calibration"
    assert person.review(clip, "reject", reason="wrong_scale").status_code == 201


def test_a_full_disk_says_that_nothing_was_saved(person):
    clip = person.clip("a/one.dcm")
    with person.desk.engine.connect() as base:
        (pages,) = base.exec_driver_sql("PRAGMA page_count").one()

    from sqlalchemy import event

    @event.listens_for(person.desk.engine, "begin")
    def full(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    answer = person.review(clip, "reject", reason="other", note="x" * 2000)
    for n in range(40):
        if answer.status_code != 201:
            break
        answer = person.review(clip | {"version": n + 1}, "reject", reason="other", note="x" * 2000)
    assert answer.status_code == 503 and "nothing was saved" in answer.json()["error"]
    assert len(list(person.desk.store.all())) == person.clip("a/one.dcm")["version"] == n


PLACES = st.integers(-20, 20)


@given(
    st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=7),
    st.tuples(PLACES, PLACES),
    st.tuples(PLACES, PLACES),
)
def test_the_share_of_a_line_inside_is_what_many_points_on_it_say(corners, start, end):
    """Ends that are no whole numbers keep the line off the corners."""
    from skimage.measure import points_in_poly

    line = np.array([start, end]) + np.array([(0.371, 0.113), (0.619, 0.877)])
    along = np.linspace(0, 1, 4001)[:, None]
    inside = points_in_poly(line[0] * (1 - along) + line[1] * along, np.array(corners)).mean()
    seen_to = len(corners) / 4000 + 1e-3  # a crossing to within one step
    assert share_inside(line, [corners]) == pytest.approx(inside, abs=seen_to)


def test_a_hole_in_the_fluid_is_no_fluid():
    ring = [box(0, 0, 10, 10), box(4, 4, 6, 6)]
    assert share_inside([[5, 0], [5, 10]], ring) == pytest.approx(0.8)
    assert share_inside([[5, -10], [5, 20]], ring) == pytest.approx(8 / 30)
    assert share_inside([[20, 0], [20, 10]], ring) == 0 == share_inside([[5, 0], [5, 10]], [])
