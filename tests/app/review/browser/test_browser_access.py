"""Doors: tokens, sessions that end, accounts, conflicts of two reviewers."""

import re

import pytest

from app.review.accounts import Accounts, Role
from app.review.database import open_database

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(results):
    """Accounts of an admin and two reviewers in the run's database."""
    engine = open_database(results, None)
    for name, role in (("boss", Role.ADMIN), ("ada", Role.REVIEWER), ("ben", Role.REVIEWER)):
        Accounts(engine).add(name, PASSWORD, role)
    engine.dispose()


@pytest.fixture
def network_server(accounts, serve):
    """A server that others may reach; here by its address on this machine."""
    server = serve(host="0.0.0.0", names=("127.0.0.1",))
    server.address = server.address.replace("0.0.0.0", "127.0.0.1")
    return server


def sign_in(somebody, name, password=PASSWORD):
    somebody.page.fill("input[name=name]", name)
    somebody.page.fill("input[name=password]", password)
    somebody.page.keyboard.press("Enter")


def expire(server):
    server.desk.sessions._sessions.clear()


@pytest.mark.parametrize("token", ["wrong", "", "0" * 43])
def test_a_wrong_token_opens_nothing(serve, person, token):
    eve = person(serve(), expected=(401, 403))
    answer = eve.page.goto(f"{eve.server.address}/?token={token}")
    assert answer.status == 403 or eve.page.url.endswith("/expired")
    assert "endometer" in eve.page.content()
    assert eve.page.locator(".row").count() == 0
    assert eve.page.evaluate("fetch('/api/worklist').then((r) => r.status)") == 401


def test_a_token_opens_the_page_once(serve, person):
    server = serve()
    entry = server.entry()
    ada = person(server)
    ada.page.goto(entry)
    ada.listed()
    assert "token" not in ada.page.url
    eve = person(server, expected=(401, 403))
    eve.page.goto(entry)
    assert eve.page.locator("#rows").count() == 0


def test_work_outlives_a_session_that_has_expired(serve, person):
    server = serve()
    ada = person(server, expected=(401,)).enter().clip("oblong.dcm")
    key = ada.key
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 25))
    drawn = ada.mm
    expire(server)
    ada.press("c")
    ada.page.wait_for_url(re.compile("/expired"))
    assert re.search(r"Unsaved work on Clip \d+ is kept", ada.page.inner_text("#kept"))
    ada.enter()
    assert re.search(r"Unsaved work on Clip \d+ is kept", ada.page.inner_text("#kept"))
    ada.page.get_by_role("link", name="Go on").click()
    ada.shown(key)
    assert "is back" in ada.page.inner_text("#toasts")
    assert ada.mm == drawn
    with ada.next_shown():
        ada.press("c")
    saved = ada.json(f"/api/clip/{key}")["review"]
    assert round(saved["thickness_mm"], 1) == drawn
    ada.press("l").listed()
    assert not ada.page.is_visible("#kept")


def test_kept_work_can_be_given_up(ada):
    ada.clip("oblong.dcm")
    before = ada.mm
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 25))
    ada.page.reload()
    ada.shown()
    assert ada.mm != before
    ada.page.get_by_role("button", name="Discard").click()
    assert ada.mm == before
    assert ada.draft() is None


def test_signing_in_goes_on_where_one_was(network_server, person):
    ada = person(network_server, expected=(401,))
    key = ada.id_of("oblong.dcm")
    ada.page.goto(f"{network_server.address}/clip/{key}")
    ada.page.wait_for_selector("#login")
    sign_in(ada, "ada", "wrong password")
    ada.page.wait_for_function("() => document.getElementById('problem').textContent")
    assert ada.page.input_value("input[name=password]") == ""
    sign_in(ada, "ada")
    ada.shown(key)
    ada.page.click("summary[aria-label='Account of ada']")
    ada.page.click("#logout")
    ada.page.wait_for_selector("#login")
    assert ada.page.evaluate("fetch('/api/worklist').then((r) => r.status)") == 401


def test_nobody_is_sent_to_another_site_after_signing_in(network_server, person):
    ada = person(network_server)
    ada.page.goto(f"{network_server.address}/login?next=//evil.example/")
    sign_in(ada, "ada")
    ada.listed()
    assert ada.page.url.startswith(network_server.address)


@pytest.fixture
def both(network_server, person):
    """Two reviewers, each with a browser, before the same clip."""
    people = []
    for name in ("ada", "ben"):
        somebody = person(network_server, expected=(409,))
        somebody.page.goto(f"{network_server.address}/login")
        sign_in(somebody, name)
        people.append(somebody.listed().clip("oblong.dcm"))
    ada, ben = people
    x, y = ada.ends()[0]
    ada.drag((x, y), (x, y - 25))
    with ada.next_shown():
        ada.press("c")
    x, y = ben.ends()[1]
    ben.drag((x, y), (x, y + 40))
    ben.press("c")
    ben.page.wait_for_selector("#conflict-dialog[open]")
    return ada, ben


def test_of_two_reviewers_the_second_keeps_what_the_first_saved(both):
    ada, ben = both
    key, mine = ben.key, ben.mm
    theirs = ada.json(f"/api/clip/{key}")["review"]
    sides = ben.page.locator("#both section").all_inner_texts()
    assert "ada" in sides[0] and f"{theirs['thickness_mm']:.1f}" in sides[0]
    assert f"{mine:.1f}" in sides[1]
    assert ben.page.locator("#both canvas").count() == 2
    ben.page.click("#keep-theirs")
    ben.page.wait_for_selector("#history li")
    assert ben.key == key
    assert ben.mm == round(theirs["thickness_mm"], 1)
    assert ben.draft() is None
    assert len(ben.here()["history"]) == 1


def test_of_two_reviewers_the_second_saves_all_the_same(both):
    _, ben = both
    key, mine = ben.key, ben.mm
    with ben.next_shown():
        ben.page.click("#save-mine")
    history = ben.json(f"/api/clip/{key}")["history"]
    assert [each["reviewer"] for each in history] == ["ben", "ada"]
    assert round(history[0]["thickness_mm"], 1) == mine


def test_the_dialog_may_be_left_to_think(both):
    _, ben = both
    mine = ben.mm
    ben.press("Escape")
    assert ben.mm == mine
    assert len(ben.here()["history"]) == 1
    ben.press("c")
    ben.page.wait_for_selector("#conflict-dialog[open]")


def test_a_save_that_fails_keeps_the_clip_and_can_be_tried_again(serve, person):
    ada = person(serve(), expected=(503,)).enter().clip("oblong.dcm")
    key = ada.key
    ada.page.route("**/reviews", lambda route: route.fulfill(status=503, json={"error": "Busy."}))
    ada.press("a")
    ada.page.get_by_text("Not saved. Busy.").wait_for()
    assert ada.key == key
    ada.page.unroute("**/reviews")
    with ada.next_shown():
        ada.page.get_by_role("button", name="Try again").click()
    assert ada.json(f"/api/clip/{key}")["review"]["state"] == "accepted"
