"""Through the worklist by keyboard: accept, reject, take back, filter, scrub."""

import re
import time

import pytest
from review_archive import SCRIPT


def state_of(person, key):
    review = person.json(f"/api/clip/{key}")["review"]
    return review["state"] if review else "open"


def test_ten_clips_are_accepted_by_keyboard_alone(ada):
    assert ada.page.inner_text("#progress-words") == "0 of 17, 17 to look at"
    assert "row" in ada.page.evaluate("document.activeElement.className")  # the first is at hand
    ada.press("j", "k", "ArrowDown", "ArrowUp", "Enter").shown()
    order = [item["id"] for item in ada.json("/api/worklist/ids")["items"]]
    seen = []
    for _ in range(10):
        seen.append(ada.key)
        with ada.next_shown():
            ada.press("a")
    assert seen == order[:10]
    assert ada.page.url.endswith(f"/clip/{order[10]}")
    assert [state_of(ada, key) for key in order[:11]] == ["accepted"] * 10 + ["open"]
    ada.press("l").listed()
    assert ada.page.inner_text("#progress-words") == "10 of 17, 7 to look at"
    first = ada.json("/api/clip/" + order[0])
    assert first["history"][0]["thickness_mm"] == first["measurement"]["thickness_mm"]


def test_a_held_key_accepts_one_clip(ada):
    ada.press("Enter").shown()
    first = ada.key
    with ada.next_shown():
        ada.page.keyboard.down("a")
    second = ada.key
    for _ in range(5):
        ada.page.keyboard.down("a")  # still held: repeats
    ada.page.keyboard.up("a")
    ada.page.wait_for_load_state("networkidle")
    assert ada.key == second
    assert (state_of(ada, first), state_of(ada, second)) == ("accepted", "open")


def test_a_clip_is_rejected_with_a_reason_and_a_note(ada):
    ada.press("Enter").shown()
    first = ada.here()
    ada.press("t")
    ada.page.keyboard.type("Probe moved. <b>Again</b>")
    ada.press("Escape", "r", "Escape")  # thought better of it
    assert ada.key == first["id"]
    with ada.next_shown():
        ada.press("r", "3")
    (saved,) = ada.json(f"/api/clip/{first['id']}")["history"]
    assert (saved["action"], saved["note"]) == ("reject", "Probe moved. <b>Again</b>")
    assert saved["reason"] == first["reasons"][2]["key"]
    with ada.next_shown():
        ada.press("p")
    assert "Probe moved. <b>Again</b>" in ada.page.inner_text("#history")


def test_another_reason_needs_words(ada):
    ada.press("Enter").shown()
    key = ada.key
    other = [reason["key"] for reason in ada.here()["reasons"]].index("other") + 1
    ada.press("r", str(other))
    ada.page.wait_for_selector("#note:focus")  # the dialog closes first
    assert "write it in the note" in ada.page.inner_text("#toasts")
    assert state_of(ada, key) == "open"
    ada.page.keyboard.type("IUD")
    with ada.next_shown():
        ada.press("Escape", "r", str(other))
    assert state_of(ada, key) == "rejected"


def test_what_was_saved_is_taken_back_with_what_was_drawn(ada):
    ada.clip("oblong.dcm")
    key = ada.key
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 25))
    drawn = ada.mm
    with ada.next_shown():
        ada.press("c")
    assert state_of(ada, key) == "corrected"
    with ada.next_shown():
        ada.press("u")
    assert ada.key == key
    assert state_of(ada, key) == "open"
    assert ada.mm == drawn
    assert [each["action"] for each in ada.here()["history"]] == ["withdraw", "correct"]


def test_a_correction_is_not_accepted_away(ada):
    ada.clip("oblong.dcm")
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 25)).press("a")
    assert "C saves it" in ada.page.inner_text("#toasts")
    assert state_of(ada, ada.key) == "open"


def test_going_back_shows_the_clip_before(ada):
    ada.press("Enter").shown()
    first = ada.key
    with ada.next_shown():
        ada.press("n")
    second = ada.key
    assert ada.page.url.endswith(second)
    with ada.next_shown():
        ada.page.go_back()
    assert ada.key == first
    assert ada.page.url.endswith(first)
    with ada.next_shown():
        ada.page.go_forward()
    assert ada.key == second


def test_the_list_that_was_filtered_is_the_one_that_is_walked(ada):
    items = ada.json("/api/worklist?state=all")["items"]
    n = sum(item["call"] == "not_thin" for item in items)
    assert 1 < n < len(items)
    ada.page.select_option("select[name=call]", "not_thin")
    ada.page.wait_for_url(re.compile("call=not_thin"))
    ada.page.wait_for_function("n => document.querySelectorAll('.row').length === n", arg=n)
    ada.page.wait_for_load_state("networkidle")
    keys = [link.split("/")[-1] for link in ada.page.eval_on_selector_all(
        ".row", "rows => rows.map((row) => row.getAttribute('href'))"
    )]  # fmt: skip
    ada.page.locator(".row").first.click()
    ada.shown(keys[0])
    assert ada.page.inner_text("#position") == f"1 of {n}"
    for key in keys[1:]:
        with ada.next_shown():
            ada.press("a")
        assert ada.key == key
    ada.press("a")
    ada.page.get_by_role("button", name="Worklist").wait_for()
    assert [state_of(ada, key) for key in keys] == ["accepted"] * n


def test_filters_are_in_the_address_and_can_be_cleared(ada):
    items = ada.json("/api/worklist?state=all")["items"]
    one = next(item for item in items if item["id"] == ada.id_of("still-09.dcm"))
    patient, until = one["patient"], "2026-01-31"
    of_patient = [item for item in items if item["patient"] == patient]
    early = [item for item in of_patient if item["acquired_at"][:10] <= until]
    assert 0 < len(early) < len(of_patient) < len(items)

    def wait(count):
        ada.page.wait_for_function("n => document.querySelectorAll('.row').length === n", arg=count)

    ada.page.fill("input[name=patient]", patient)
    ada.page.press("input[name=patient]", "Enter")
    ada.page.wait_for_url(re.compile("patient=Patient"))
    wait(len(of_patient))
    rows = ada.page.locator(".row .who").all_inner_texts()
    assert all(text.startswith(f"{patient}\n") for text in rows)
    ada.page.fill("input[name=to]", until)
    wait(len(early))
    ada.page.reload()
    ada.listed()
    wait(len(early))
    assert ada.page.input_value("input[name=patient]") == patient
    ada.page.click("#clear")
    wait(len(items))
    ada.page.go_back()
    wait(len(early))


def test_many_clips_are_paged(ada):
    ada.page.goto(f"{ada.server.address}/worklist?state=all&size=5")
    ada.listed()
    assert ada.page.inner_text("#page-words") == "Page 1 of 4, 17 clips"
    first = ada.page.locator(".row .name").all_inner_texts()
    ada.page.click("#page-on")
    ada.page.get_by_text("Page 2 of 4, 17 clips").wait_for()
    second = ada.page.locator(".row .name").all_inner_texts()
    assert len(first) == len(second) == 5 and not set(first) & set(second)


def test_a_cine_is_scrubbed_and_played(ada):
    ada.clip("cine.dcm")
    clip = ada.here()
    strip = ada.page.locator("#strip")
    box = strip.bounding_box()

    def words():
        return ada.page.inner_text("#frame-words")

    def wait(frame):
        ada.page.wait_for_function(
            "text => document.getElementById('frame-words').textContent === text",
            arg=f"Frame {frame} of {clip['frames']}",
        )

    wait(clip["frame"])
    left, right = box["x"] + 37, box["x"] + box["width"] - 5
    ada.page.mouse.click(left, box["y"] + 30)
    wait(1)
    assert strip.get_attribute("aria-valuenow") == "1"
    ada.drag((left, box["y"] + 30), (right, box["y"] + 30))
    wait(clip["frames"])
    ada.press("ArrowLeft")
    wait(clip["frames"] - 1)
    ada.press("Home")
    wait(1)
    ada.press("g")
    wait(clip["frame"])
    ada.press("Home")
    wait(1)
    ada.press("Space")
    wait(3)
    ada.press("Space")
    assert ada.page.get_attribute("#play", "aria-label") == "Play"
    time.sleep(0.3)
    stopped = words()
    time.sleep(0.3)
    assert words() == stopped
    measured = [row for row in clip["per_frame"] if row["thickness_mm"] is not None]
    assert ada.page.locator("#strip .dot, #strip .poor").count() == len(measured) - 1
    assert ada.page.locator("#strip .best").count() == 1


def test_the_picture_is_zoomed_at_the_pointer_panned_and_fitted(ada):
    ada.clip("oblong.dcm")
    ends = ada.high_and_low()
    at = ends[0]
    ada.page.mouse.move(*at)
    ada.page.mouse.wheel(0, -400)
    near = ada.high_and_low()
    assert near[0] == pytest.approx(at, abs=1)
    assert near[1][1] - near[0][1] > 1.5 * (ends[1][1] - ends[0][1])
    ada.drag((120, 650), (170, 620))
    assert ada.high_and_low()[0] == pytest.approx((at[0] + 50, at[1] - 30), abs=1)
    ada.page.keyboard.down("Space")
    x, y = ada.high_and_low()[0]
    ada.drag((x, y), (x + 20, y))
    ada.page.keyboard.up("Space")
    assert ada.high_and_low()[0] == pytest.approx((x + 20, y), abs=1)
    assert ada.draft() is None  # panned, not measured
    ada.page.mouse.dblclick(120, 650)
    assert ada.high_and_low() == [pytest.approx(end, abs=1) for end in ends]
    ada.press("+", "+", "-", "0")
    assert ada.high_and_low() == [pytest.approx(end, abs=1) for end in ends]


def test_brightness_and_contrast_stay_for_the_next_clip(ada):
    ada.press("Enter").shown()
    ada.press("w", "w", "Shift+W")
    filters = "brightness(1.2) contrast(1.1)"
    shown = "document.querySelector('#stage canvas').style.filter"
    assert ada.page.evaluate(shown) == filters
    with ada.next_shown():
        ada.press("n")
    ada.page.reload()
    ada.shown()
    assert ada.page.evaluate(shown) == filters
    ada.press("x")
    assert ada.page.evaluate(shown) == "brightness(1) contrast(1)"


def test_the_trend_leads_to_the_other_studies(ada):
    ada.clip("still-09.dcm")
    clip = ada.here()
    others = [point for point in clip["trend"] if point["id"] != clip["id"]]
    assert ada.page.locator("#trend a").count() == len(clip["trend"]) >= 2
    with ada.next_shown():
        ada.page.locator(f'#trend a[href="/clip/{others[0]["id"]}"]').click()
    assert ada.key == others[0]["id"]


def test_a_script_in_a_name_stays_text(serve, person):
    ada = person(serve(show_identity=True)).enter()
    assert SCRIPT in "".join(ada.page.locator(".row .who").all_inner_texts())
    ada.clip("cine.dcm")
    assert SCRIPT in ada.page.inner_text("#clip-facts")
    assert ada.page.title() == "cine.dcm · endometer review" or "owned" not in ada.page.title()
    assert ada.page.locator("#clip-facts script, .row script").count() == 0


def test_a_comma_where_the_language_has_one(serve, person):
    ada = person(serve(), locale="de-DE").enter()
    assert re.search(r"\d,\d\smm", ada.page.locator(".row .mm").first.inner_text())
    ada.clip("oblong.dcm")
    assert re.match(r"\d,\d", ada.page.inner_text("#big"))
    for part in ("#why", "#facts", "#interval"):
        text = ada.page.inner_text(part) + (ada.page.get_attribute(f"{part} svg", "aria-label")
                                            if part == "#interval" else "")  # fmt: skip
        assert not re.search(r"\d\.\d", text), text
