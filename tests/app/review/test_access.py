"""Attacks on who gets in: tokens, sessions, accounts, passwords."""

import re
import shutil
import ssl
import subprocess
import threading

import httpx
import pytest
from review_run import PASSWORD, Seat

from app.review.accounts import FREE_FAILURES, Accounts, Role
from app.review.database import USERS, open_database
from app.review.serve import running
from app.review.settings import Settings

# The token of the address.


def test_a_token_opens_once_and_no_guess_does(local):
    desk, token = local.state.desk, local.state.desk.sessions.new_token()
    for wrong in ("", "x", token[:-1], token + "A", token.swapcase(), "\u00e9", "0" * 200):
        answer = Seat(local).get("/", token=wrong)
        assert answer.status_code == 403 and not answer.headers.get_list("set-cookie"), wrong
    first = Seat(local).get("/", token=token)
    assert first.status_code == 303 and first.headers["location"] == "/worklist"
    assert Seat(local).get("/", token=token).status_code == 403
    assert len(token) >= 43 and len({desk.sessions.new_token() for _ in range(100)}) == 100


def test_of_many_who_open_one_address_at_once_one_gets_in(local):
    token, start, found = local.state.desk.sessions.new_token(), threading.Barrier(8), []

    def enter():
        start.wait()
        found.append(local.state.desk.sessions.take_token(token))

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]


def test_a_token_is_compared_in_constant_time_and_lives_ten_minutes(local, monkeypatch):
    from app.review import sessions

    compared, real = [], sessions.hmac.compare_digest
    monkeypatch.setattr(
        sessions.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b)
    )
    desk = local.state.desk
    tokens = [desk.sessions.new_token() for _ in range(3)]
    assert desk.sessions.take_token(tokens[0]) and len(compared) >= 3
    assert all(tokens[0].encode() not in pair for pair in compared), "hashes alone are compared"
    clock = sessions.time.monotonic
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock() + sessions.TOKEN_LIFE + 1)
    assert not desk.sessions.take_token(tokens[1])


# Sessions.


def test_a_session_that_somebody_planted_is_not_taken_over(local, at):
    """Fixation: what the browser had before is worth nothing after."""
    seat = Seat(local)
    name = f"endometer_{local.state.desk.settings.port}"
    seat.client.cookies.set(name, "planted-by-somebody", domain="127.0.0.1")
    seat.get("/", token=local.state.desk.sessions.new_token())
    assert "planted-by-somebody" not in [c.value for c in seat.client.cookies.jar if c.path == "/"]
    thief = Seat(local)
    thief.client.cookies.set(name, "planted-by-somebody", domain="127.0.0.1")
    assert thief.get("/api/me").status_code == 401
    vera = at(None)
    for name in ("__Host-endometer", "__Host-endometer-before"):
        vera.client.cookies.set(name, "planted-by-somebody", domain="clinic.test")
    assert vera.login("vera", PASSWORD).status_code == 200
    assert "planted-by-somebody" not in [c.value for c in vera.client.cookies.jar]
    thief = at(None)
    thief.client.cookies.set("__Host-endometer", "planted-by-somebody", domain="clinic.test")
    assert thief.get("/api/me").status_code == 401


def test_logging_in_again_ends_the_session_before(at):
    vera = at("vera")
    before = vera.client.cookies["__Host-endometer"]
    other = at(None).read_csrf("/login")
    other.client.cookies.set("__Host-endometer", before, domain="clinic.test")
    assert other.post("/api/login", {"name": "vera", "password": PASSWORD}).status_code == 200
    assert other.get("/api/me").status_code == 200 and vera.get("/api/me").status_code == 401


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(local, at):
    header = Seat(local).get("/", token=local.state.desk.sessions.new_token()).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(header.split("; "))
    assert "Domain" not in header and "Secure" not in header, "no TLS on this machine"
    seat = at(None).read_csrf("/login")
    header = seat.post("/api/login", {"name": "vera", "password": PASSWORD}).headers["set-cookie"]
    assert header.startswith("__Host-endometer=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Secure"} <= set(header.split("; "))


def test_logout_and_idleness_end_a_session(local, person, monkeypatch):
    from app.review import sessions

    other = Seat(local).enter()
    assert person.post("/api/logout").status_code == 200
    assert person.get("/api/me").status_code == 401 and other.get("/api/me").status_code == 200
    clock, idle = sessions.time.monotonic, local.state.desk.settings.idle_seconds
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock() + idle / 2)
    assert other.get("/api/me").status_code == 200
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock() + idle * 1.4)
    assert other.get("/api/me").status_code == 200, "it was in use since"
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock() + idle * 2.5)
    assert other.get("/api/me").status_code == 401
    assert other.get("/worklist").headers["location"].startswith("/expired")


def test_a_session_in_use_ends_as_well_one_day(local, person, monkeypatch):
    from app.review import sessions

    clock = sessions.time.monotonic
    for hours in range(1, 16):
        monkeypatch.setattr(sessions.time, "monotonic", lambda h=hours: clock() + 3600 * h)
        assert person.get("/api/me").status_code == 200
    monkeypatch.setattr(sessions.time, "monotonic", lambda: clock() + sessions.LONGEST_SESSION + 1)
    assert person.get("/api/me").status_code == 401


# Accounts.


def test_roles_may_what_they_may(at):
    rita, vera, ada = at("rita"), at("vera"), at("ada")
    key = rita.items()[0]["id"]
    given = {"version": 0, "action": "accept"}
    assert rita.post(f"/api/clip/{key}/reviews", given).status_code == 403
    assert not rita.json(f"/api/clip/{key}")["can_save"]
    assert vera.post(f"/api/clip/{key}/reviews", given).status_code == 201
    new = {"name": "nora", "password": PASSWORD, "role": "admin"}
    for person in (rita, vera):
        assert person.get("/api/users").status_code == 403
        assert person.get("/api/openapi.json").status_code == 403
        assert person.post("/api/users", new).status_code == 403
        assert person.post("/api/users/ada/password", {"password": PASSWORD}).status_code == 403
        answer = person.client.delete("/api/users/ada", headers={"X-CSRF-Token": person.csrf})
        assert answer.status_code == 403
    assert [u["name"] for u in ada.json("/api/users")["users"]] == ["ada", "rita", "vera"]
    assert ada.json("/api/openapi.json")["paths"]
    assert ada.client.delete("/api/users/vera").status_code == 403, "without the page's token"


def test_an_admin_adds_and_removes_people_and_their_sessions_end(at, network):
    ada = at("ada")
    new = {"name": "nora", "password": PASSWORD, "role": "reader"}
    assert ada.post("/api/users", new).status_code == 201
    assert ada.post("/api/users", new).status_code == 422
    nora = at("nora")
    assert nora.get("/api/me").json()["role"] == "reader"
    changed = {"password": "another few words"}
    assert ada.post("/api/users/nora/password", changed).status_code == 200
    assert nora.get("/api/me").status_code == 401
    nora = Seat(network, "clinic.test")
    assert nora.login("nora", PASSWORD).status_code == 401
    assert nora.login("nora", changed["password"]).status_code == 200
    remove = {"X-CSRF-Token": ada.csrf}
    assert ada.client.delete("/api/users/nora", headers=remove).status_code == 200
    assert nora.get("/api/me").status_code == 401
    assert nora.login("nora", changed["password"]).status_code == 401
    assert ada.client.delete("/api/users/nobody", headers=remove).status_code == 404
    answer = ada.client.delete("/api/users/ada", headers=remove)
    assert answer.status_code == 422 and "last admin" in answer.json()["error"]


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaa", "vera is my name", "x" * 1001])
def test_weak_passwords_are_refused(at, password):
    ada = at("ada")
    answer = ada.post("/api/users", {"name": "Vera is", "password": password, "role": "reader"})
    assert answer.status_code == 422
    changed = ada.post("/api/users/vera/password", {"password": password})
    assert changed.status_code == 422


def test_passwords_are_argon2_hashes_and_no_answer_holds_one(at, network):
    with network.state.desk.engine.connect() as base:
        kept = [row.password for row in base.execute(USERS.select())]
    assert all(text.startswith("$argon2id$") for text in kept) and PASSWORD not in str(kept)
    assert "argon2" not in at("ada").get("/api/users").text


def test_hashes_cost_what_argon2_advises(run):
    """The tests above use a cheap one."""
    engine = open_database(run, None)
    Accounts(engine).add("vera", PASSWORD, Role.REVIEWER)
    with engine.connect() as base:
        kept = base.execute(USERS.select()).one().password
    memory, rounds = (int(re.search(rf"{name}=(\d+)", kept)[1]) for name in "mt")
    assert memory >= 19 * 1024 and rounds >= 2, "OWASP's least for argon2id"
    engine.dispose()


def test_guessing_a_password_gets_slower_and_slower(at, network, monkeypatch):
    from app.review import accounts

    at(None)
    clock, now = accounts.time.monotonic, [0.0]
    monkeypatch.setattr(accounts.time, "monotonic", lambda: 1000.0 + now[0])
    checked = []
    check = network.state.desk.accounts.check
    monkeypatch.setattr(
        network.state.desk.accounts, "check", lambda n, p: checked.append(p) or check(n, p)
    )
    seat = Seat(network, "clinic.test").read_csrf("/login")

    def guess(password="wrong password 1"):
        return seat.post("/api/login", {"name": "vera", "password": password})

    for _ in range(FREE_FAILURES + 1):
        assert guess().status_code == 401
    waits = []
    for _ in range(4):
        answer = guess()
        assert answer.status_code == 429
        waits.append(int(answer.headers["retry-after"]))
        tried = len(checked)
        assert guess(PASSWORD).status_code == 429 and len(checked) == tried, "not even looked at"
        now[0] += waits[-1]
        assert guess().status_code == 401
    assert waits == sorted(waits) and waits[-1] >= 4 * waits[0]
    now[0] += accounts.MOST_WAIT
    assert guess(PASSWORD).status_code == 200
    assert clock() > 0


def test_guessing_many_names_from_one_address_is_slowed_too(network):
    brake = network.state.desk.brake
    brake._failures.clear()
    from app.review.settings import RefusedError

    with pytest.raises(RefusedError) as caught:
        for n in range(100):
            brake.check(f"name{n}", "10.0.0.9")
            brake.failed(f"name{n}", "10.0.0.9")
    assert caught.value.status == 429 and n < 50
    brake.check("vera", "10.0.0.10")
    for n in range(30_000):
        brake.failed(f"n{n}", f"a{n}")
    assert len(brake._failures) < 20_000, "guesses fill no memory"


def test_a_name_that_nobody_has_is_answered_like_a_wrong_password(at, network, monkeypatch):
    seat = at(None).read_csrf("/login")
    verified = []
    hasher = type(network.state.desk.accounts._hasher)
    real = hasher.verify
    monkeypatch.setattr(hasher, "verify", lambda *a: verified.append(a[1]) or real(*a))
    answers = [
        seat.post("/api/login", {"name": name, "password": "wrong password 1"})
        for name in ("vera", "nobody")
    ]
    assert answers[0].json() == answers[1].json() and answers[0].status_code == 401
    assert len(verified) == 2 and all(text.startswith("$argon2id$") for text in verified)


def test_without_tls_there_is_no_token_login_on_a_network(network):
    seat = Seat(network, "clinic.test")
    token = network.state.desk.sessions.new_token()
    assert seat.get("/", token=token).headers["location"] == "/worklist"
    assert seat.get("/api/me").status_code == 401
    assert seat.get("/worklist").headers["location"] == "/login?next=/worklist"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_with_a_certificate_the_server_itself_does_tls(folder, tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
         certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    base = f"sqlite:///{tmp_path / 'tls.sqlite'}"
    engine = open_database(tmp_path, base)
    Accounts(engine).add("ada", PASSWORD, Role.ADMIN)
    engine.dispose()
    options = {"database": base, "host": "0.0.0.0", "names": ("localhost",), "prefetch": False}
    settings = Settings(folder=folder, certificate=certificate, key=key, **options)
    with running(settings) as server:
        address = server.address.replace("0.0.0.0", "localhost")
        assert address.startswith("https://")
        with httpx.Client(
            base_url=address, verify=ssl.create_default_context(cafile=certificate)
        ) as b:
            csrf = re.search('name="csrf" content="([^"]+)"', b.get("/login").text)[1]
            done = b.post(
                "/api/login",
                json={"name": "ada", "password": PASSWORD},
                headers={"X-CSRF-Token": csrf, "Origin": address},
            )
            assert done.status_code == 200 and b.get("/api/me").json()["role"] == "admin"
            assert "max-age" in done.headers["strict-transport-security"]
        with pytest.raises(httpx.TransportError):
            httpx.get(address.replace("https", "http") + "/health")


def test_on_this_machine_there_are_no_accounts_to_guess(local):
    answer = Seat(local).post("/api/login", {"name": "ada", "password": PASSWORD})
    assert answer.status_code == 404
