"""Attacks on what the server answers; docs/review.md lists them with what came of each."""

import logging
import re

import httpx
import pytest
from review_run import PASSWORD, SCRIPT, Seat

from app.review.guard import MOST_BODY
from app.review.serve import running
from app.review.settings import Settings

# Reaching what nobody may reach.


@pytest.mark.parametrize(
    "path",
    [
        "/frames/../../etc/passwd/1.png",
        "/frames/..%2f..%2fetc%2fpasswd/1.png",
        "/frames/%2e%2e%2f%2e%2e%2freviews.sqlite/1.png",
        "/thumbnails/..%2f..%2freviews.sqlite.jpg",
        "/thumbnails/%00.jpg",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/%2e%2e/reviewing.py",
        "/static//etc/passwd",
        "/static/..\\server.py",
        "/api/clip/..%2f..%2frun.json",
        "/api/clip/' OR '1'='1",
        "/clip/../../etc/passwd",
        "/reviews.sqlite",
        "/.review/thumbnails",
        "/run.json",
        "/docs",
        "/redoc",
        "/openapi.json",
    ],
)
def test_no_path_leads_to_a_file(local, person, path):
    answer = person.client.get(path)
    assert answer.status_code in (303, 404, 422), answer.text
    assert "root:" not in answer.text and "SQLite" not in answer.text
    assert "import" not in answer.text and "settings" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/me",
        "/api/worklist",
        "/api/worklist/ids",
        "/api/clip/{}",
        "/api/clip/{}/frame/1",
        "/frames/{}/1.png",
        "/thumbnails/{}.jpg",
        "/api/openapi.json",
        "/api/users",
    ],
)
def test_without_a_session_there_is_nothing(local, person, path):
    key = person.items()[0]["id"]
    nobody = Seat(local)
    answer = nobody.get(path.format(key))
    assert answer.status_code == 401 and set(answer.json()) == {"error"}
    answer = nobody.post(f"/api/clip/{key}/reviews", {"version": 0, "action": "accept"})
    assert answer.status_code == 401
    for page in ("/worklist", f"/clip/{key}"):
        assert nobody.get(page).headers["location"] == f"/expired?next={page}"


# Requests that another site makes.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_forged_request_saves_nothing(person, headers):
    key = person.items()[0]["id"]
    token = {} if "Origin" not in headers and "Sec-Fetch-Site" not in headers else {
        "X-CSRF-Token": person.csrf
    }  # fmt: skip
    for path in (f"/api/clip/{key}/reviews", f"/api/clip/{key}/snap", "/api/logout"):
        answer = person.client.post(
            path, json={"version": 0, "action": "accept"}, headers=token | headers
        )
        assert answer.status_code == 403, path
    assert person.json(f"/api/clip/{key}")["version"] == 0


def test_the_token_of_another_session_is_no_good(local, person):
    other = Seat(local).enter()
    key = person.items()[0]["id"]
    person.csrf = other.csrf
    answer = person.post(f"/api/clip/{key}/reviews", {"version": 0, "action": "accept"})
    assert answer.status_code == 403


def test_a_form_of_another_site_is_no_json(person):
    key = person.items()[0]["id"]
    answer = person.client.post(
        f"/api/clip/{key}/reviews",
        content='{"version":0,"action":"accept"}',
        headers={"Content-Type": "text/plain", "X-CSRF-Token": person.csrf},
    )
    assert answer.status_code == 422 and person.json(f"/api/clip/{key}")["version"] == 0


def test_a_login_that_was_not_asked_for_by_a_page_is_refused(at):
    seat = at(None)
    given = {"name": "vera", "password": PASSWORD}
    assert seat.post("/api/login", given).status_code == 403
    other = at(None).read_csrf("/login")
    seat.read_csrf("/login")
    seat.csrf = other.csrf
    assert seat.post("/api/login", given).status_code == 403


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:8000", "127.0.0.1.evil.test", "", "a@b", "[::1", "127.0.0.1, x"],
)
def test_a_name_that_is_not_ours_is_not_answered(local, host):
    """DNS rebinding: a page of evil.test that leads to 127.0.0.1 reads nothing."""
    token = local.state.desk.sessions.new_token()
    answer = Seat(local).client.get("/", params={"token": token}, headers={"Host": host})
    assert answer.status_code == 421 and "set-cookie" not in answer.headers
    assert local.state.desk.sessions.take_token(token), "the token was not even looked at"


def test_own_names_are_answered_with_any_port(local):
    for host in ("127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]:8000"):
        assert Seat(local).client.get("/health", headers={"Host": host}).status_code == 200, host


# What answers say.


def test_every_answer_has_the_headers_that_browsers_obey(person):
    key = person.items()[0]["id"]
    paths = ("/worklist", f"/clip/{key}", "/api/worklist", "/nothing", f"/frames/{key}/1.png",
             "/static/nothing.js", "/health", "/expired", "/api/clip/x")  # fmt: skip
    for path in paths:
        headers = person.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy and "script-src 'self';" in policy
        assert headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers and "server" not in headers
        assert headers["cache-control"] in ("no-store", "no-cache"), path


def test_a_refused_host_gets_them_too(local):
    answer = Seat(local).client.get("/", headers={"Host": "evil.test"})
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_script_in_the_name_of_a_patient_stays_text(person):
    """With --show-identity names are shown: pages escape them, JSON is no page."""
    for page in ("/worklist", f"/clip/{person.items()[0]['id']}", "/expired?next=" + SCRIPT):
        text = person.get(page).text
        assert "<script>alert" not in text and "onerror=alert(2)>" not in text
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), "no script within a page"
        assert not re.search(r"\son\w+=|style=\"|javascript:", text)
    answer = person.get("/api/worklist")
    assert answer.headers["content-type"] == "application/json"
    assert any(SCRIPT[:64] == item["patient"] for item in answer.json()["items"])


@pytest.mark.parametrize("where", ["//evil.test", "https://evil.test", "/\\evil.test", "x", "/a\n"])
def test_nobody_is_sent_to_another_site(person, at, where):
    assert "evil" not in person.get("/expired", next=where).text
    vera = at("vera")
    assert vera.get("/login", next=where).headers["location"] == "/worklist"
    assert vera.get("/login", next="/clip/0123456789abcdef").headers["location"].startswith("/clip")


@pytest.mark.parametrize(
    "query",
    [
        "' OR 1=1 --",
        "'; DROP TABLE reviews; --",
        '" UNION SELECT password FROM users --',
        "%",
        "\0",
    ],
)
def test_sql_in_filters_and_names_is_text(person, at, query):
    for name in ("need", "status", "call", "reviewer", "patient"):
        answer = person.get("/api/worklist", **{name: query})
        assert answer.status_code == 200 and answer.json()["total"] == 0, name
    for name in ("from", "to", "state", "page", "size"):
        assert person.get("/api/worklist", **{name: query}).status_code == 422, name
    seat = at(None).read_csrf("/login")
    assert seat.post("/api/login", {"name": query, "password": query}).status_code == 401


def test_bodies_are_bounded_whether_they_say_their_length_or_not(local, person):
    key = person.items()[0]["id"]
    path, headers = f"/api/clip/{key}/reviews", {"X-CSRF-Token": person.csrf}
    big = b'{"note":"' + b"x" * (MOST_BODY + 1) + b'"}'
    assert person.client.post(path, content=big, headers=headers).status_code == 413
    pieces = (big[i : i + 65536] for i in range(0, len(big), 65536))
    assert person.client.post(path, content=pieces, headers=headers).status_code == 413
    for length in ("-1", "1e3", "\u0661", " "):
        answer = person.client.post(
            path, content=b"{}", headers=[*headers.items(), ("Content-Length", length.encode())]
        )
        assert answer.status_code in (400, 413, 422), length
    deep = b'{"version":0,"action":"correct","frame":1,"contours":' + b"[" * 100_000
    assert person.client.post(path, content=deep, headers=headers).status_code == 422


def test_a_fault_tells_where_and_nothing_of_the_file(person, monkeypatch, caplog):
    def fault(*_):
        raise RuntimeError("SECRET-4711 in /archive/DOE^JANE.dcm")

    monkeypatch.setattr("app.review.listing.worklist", fault)
    caplog.set_level(logging.INFO)
    answer = person.get("/api/worklist")
    assert answer.status_code == 500 and "SECRET" not in answer.text
    assert "test_attacks.py" in answer.json()["error"]
    assert "content-security-policy" in answer.headers
    assert "SECRET" not in caplog.text and "RuntimeError at test_attacks.py" in caplog.text


def test_logs_hold_no_token_name_or_id(local, caplog):
    caplog.set_level(logging.DEBUG, logger="endometer")
    token = local.state.desk.sessions.new_token()
    seat = Seat(local)
    seat.get("/", token=token)
    key = seat.items(patient=SCRIPT[:64])[0]["id"]
    seat.get(f"/clip/{key}")
    seat.get(f"/frames/{key}/1.png")
    own = [r.getMessage() for r in caplog.records if r.name.startswith("endometer")]
    assert len(own) == 4 and any("GET /frames/{key}/{number}.png 404" in line for line in own)
    told = "\n".join(own)
    for secret in (token, key, SCRIPT[:20], *seat.client.cookies.values()):
        assert secret not in told


def test_a_real_server_tells_nothing_of_itself_and_takes_no_smuggled_request(folder):
    """Through uvicorn, not the test client: raw bytes on a socket."""
    import socket

    with running(Settings(folder=folder, prefetch=False)) as server:
        host, port = server.address.removeprefix("http://").split(":")
        answer = httpx.get(server.address + "/health")
        assert answer.status_code == 200 and "server" not in answer.headers
        assert httpx.get(server.entry()).status_code == 303
        for raw in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nHost: evil.test\r\n\r\n".encode(),
            f"POST /api/login HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 4\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
            b"\x16\x03\x01\x00\xa5nonsense\r\n\r\n",
        ):
            with socket.create_connection((host, int(port)), timeout=10) as wire:
                wire.sendall(raw)
                first = wire.recv(65536).split(b"\r\n")[0]
            assert first.split()[1] in (b"400", b"403", b"421"), raw
        with httpx.Client() as browser:
            assert browser.get(f"{server.address}/?token=guess").status_code == 403
