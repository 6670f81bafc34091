"""A blind reading: the machine's number is nowhere before the study is opened."""

import json
import re

import pytest


@pytest.fixture
def reader(serve, person):
    """A reader at the worklist of a blind study."""
    return person(serve(blind=True, seed=3), expected=(403,)).enter()


def said_in(person):
    """What the page shows and was sent since the last time; a page that was left is forgotten."""
    person.page.wait_for_load_state("networkidle")
    sent = [
        answer.text()
        for answer in person.answers
        if re.search("json|html", answer.headers.get("content-type", "")) and answer.status == 200
    ]
    person.answers.clear()
    return [person.page.content(), *sent]


def machine_numbers(server):
    """What the machine measured, as it would be shown or sent."""
    for entry in server.desk.clips.order:
        for name in ("thickness_mm", "lower_mm", "upper_mm"):
            if (value := entry.row[name]) is not None:
                yield repr(float(value))
                yield f"{value:.3f}"


def test_nothing_of_the_machine_is_shown_or_sent(reader):
    texts = said_in(reader)
    assert reader.page.locator(".row .chip, .row .mm, .row .interval").count() == 0
    assert reader.page.locator("#filters .field:visible").count() == 0
    assert reader.page.inner_text(".row .name >> nth=0") == "Case 1"
    reader.press("Enter").shown()
    for _ in range(3):
        assert reader.page.inner_text("#big") == "Place the calipers"
        assert reader.ends() == []
        assert not reader.page.is_visible("#interval") and not reader.page.is_visible("#trend-box")
        assert reader.page.is_disabled("#accept") and reader.page.is_disabled("#here")
        assert reader.page.locator("#strip .dot, #strip .best").count() == 0
        texts += said_in(reader)
        reader.page.mouse.click(500, 300)
        reader.page.mouse.click(505, 345)
        assert reader.mm > 0
        texts += said_in(reader)
        with reader.next_shown():
            reader.press("Enter")
    texts += said_in(reader)
    assert len(texts) > 12  # pages and answers
    said = "\n".join(texts)
    leaked = [number for number in machine_numbers(reader.server) if number in said]
    assert leaked == []
    for word in ("indeterminate", "not_thin", '"quality":0'):
        assert word not in said.lower()
    readings = reader.server.desk.store.newest()
    assert len(readings) == 3


def test_a_reading_is_what_the_reader_placed(reader):
    reader.press("Enter").shown()
    key = reader.key
    reader.drag((480, 280), (490, 350))  # one drag from end to end does, too
    shown = reader.mm
    assert reader.page.inner_text("#call") == ""
    with reader.next_shown():
        reader.press("c")
    saved = reader.json(f"/api/clip/{key}")["review"]
    assert round(saved["thickness_mm"], 1) == shown
    assert saved["reading"] is True


def test_the_machine_cannot_be_asked(reader):
    reader.press("Enter").shown()
    reader.press("a", "m")
    assert "nothing to accept" in reader.page.inner_text("#toasts")
    status = reader.page.evaluate(
        "key => fetch(`/api/clip/${key}/frame/1`).then((r) => r.status)", reader.key
    )
    assert status == 403
    asked = [a.url for a in reader.answers if re.search(r"/api/clip/\w+/frame/", a.url)]
    assert len(asked) == 1  # the one above: the page itself does not try


def test_a_reader_may_reject_and_sees_own_readings_alone(reader):
    reader.press("Enter").shown()
    key = reader.key
    with reader.next_shown():
        reader.press("r", "2")
    clip = reader.json(f"/api/clip/{key}")
    assert [each["action"] for each in clip["history"]] == ["reject"]
    assert clip["measurement"] is None
    assert "measurement" in json.dumps(clip)
