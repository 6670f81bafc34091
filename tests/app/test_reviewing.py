"""The commands around the review page, as a person calls them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the review page is the extra `review`")

import httpx
from typer.testing import CliRunner

from app.cli import app
from app.review import settings
from app.review.database import open_database
from app.review.store import Store
from data.phantom.dicom import make_phantom, write_dicom

ENDOMETER = [sys.executable, "-c", "from app.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "DISPLAY": ""}
PASSWORD = "four words are easy"


def run(*arguments, text="", **environment):
    """Run a command here: starting Python takes longer than all of them."""
    return CliRunner().invoke(app, [*map(str, arguments)], input=text, env=environment)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviewing")
    (folder / "clips").mkdir()
    write_dicom(make_phantom((2,), 6.0), folder / "clips/DOE^JANE.dcm")
    done = run("measure", folder / "clips", "--out", folder / "results")
    assert done.exit_code == 0, done.stderr
    return folder / "results"


@pytest.fixture
def serving():
    """Start the page: `serving(...)` returns the process and the address that it printed."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [*ENDOMETER, "review", *map(str, arguments), "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
            **options,
        )
        started.append(process)
        assert process.stdout.readline() == "The review page is at\n"
        address = process.stdout.readline().strip()
        return process, address

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(address):
    for _ in range(600):
        try:
            return httpx.get(address)
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the page did not come up")


def test_a_review_from_the_printed_address_to_the_exported_table(serving, results, tmp_path):
    process, address = serving(results, "--reviewer", "anna")
    base = re.match(r"http://127\.0\.0\.1:\d+", address)[0]
    wait_for(f"{base}/health")
    with httpx.Client(base_url=base) as browser:
        assert browser.get(address).headers["location"] == "/worklist"
        page = browser.get("/worklist").text
        csrf = re.search('name="csrf" content="([^"]*)"', page)[1]
        item = browser.get("/api/worklist").json()["items"][0]
        saved = browser.post(
            f"/api/clip/{item['id']}/reviews",
            json={"version": 0, "action": "accept"},
            headers={"X-CSRF-Token": csrf},
        )
        assert saved.status_code == 201 and saved.json()["review"]["reviewer"] == "anna"
    process.send_signal(signal.SIGKILL)  # a closed laptop
    process.wait()
    done = run("review-export", results, tmp_path / "out", "--format", "csv")
    assert done.exit_code == 0 and "1 reviewed clips" in done.stdout, done.stderr
    assert "anna" in (tmp_path / "out/reviews.csv").read_text()
    assert json.loads((tmp_path / "out/corrections.json").read_text()) == {"items": []}


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN], ids=["front", "background"])
def test_interrupted_it_ends_in_peace_and_its_output_names_nobody(serving, results, handler):
    # A shell's background commands ignore the signal until somebody listens to it.
    process, address = serving(results, preexec_fn=lambda: signal.signal(signal.SIGINT, handler))
    wait_for(address)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "Traceback" not in out and "DOE" not in out and "What was shown as saved is saved" in out


def test_people_are_added_listed_and_removed(results, tmp_path):
    base = ("--database", f"sqlite:///{tmp_path}/people.sqlite")
    added = run("review-user", "add", results, "ada", "--role", "admin", *base, text=PASSWORD)
    assert added.exit_code == 0 and PASSWORD not in added.stdout, added.stderr
    run("review-user", "add", results, "vera", *base, text=f"{PASSWORD}\n")
    assert run("review-user", "list", results, *base).stdout == "admin     ada\nreviewer  vera\n"
    for arguments, text, says in (
        (("add", results, "ada"), PASSWORD, "not used again"),
        (("add", results, "x y", "--role", "king"), PASSWORD, "none of"),
        (("add", results, "<b>"), PASSWORD, "letters"),
        (("password", results, "nobody"), PASSWORD, "no account"),
        (("password", results, "vera"), "short", "12"),
        (("remove", results, "ada"), "", "last admin"),
    ):
        done = run("review-user", *arguments, *base, text=text)
        assert done.exit_code in (1, 2) and says in done.stderr and "Traceback" not in done.stderr
    assert run("review-user", "remove", results, "vera", *base).exit_code == 0
    environment = {"ENDOMETER_REVIEW_DATABASE": base[1]}
    assert run("review-user", "list", results, **environment).stdout == "admin     ada\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--host", "0.0.0.0"), "--certificate"),
        (("--host", "0.0.0.0", "--tls-in-front"), "no admin account"),
        (("--host", "10.1.2.3", "--certificate", "x.pem"), "belong together"),
        (("--database", "mysql://x"), "postgresql://"),
        (("--repeats", "2"), "--blind"),
        (("--host", "127.0.0.1", "--port", "1"), "cannot be used"),
    ],
)
def test_what_cannot_be_served_says_why(results, options, says):
    if "1" in options and os.geteuid() == 0:
        options = ("--host", "203.0.113.1", "--tls-in-front")
    done = run("review", results, "--no-browser", *options)
    assert done.exit_code == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_is_opened_once_and_asked_about_first(results, tmp_path):
    base = ("--database", f"sqlite:///{tmp_path}/study.sqlite")
    none = run("review-open", results, *base)
    assert none.exit_code == 1 and "no blind study" in none.stderr
    Store(open_database(tmp_path, base[1])).begin_study(1, 1, "x")
    refused = run("review", results, "--no-browser", *base)
    assert refused.exit_code == 2 and "review-open" in refused.stderr
    assert run("review-open", results, *base, text="n\n").exit_code == 1
    assert "--blind" in run("review", results, "--no-browser", *base).stderr
    assert run("review-open", results, *base, text="y\n").exit_code == 0
    again = run("review", results, "--no-browser", "--blind", *base)
    assert again.exit_code == 2 and "was opened" in again.stderr


def test_without_the_extra_it_is_named(results, tmp_path, monkeypatch):
    monkeypatch.setattr(
        settings.util, "find_spec", lambda name: None if name == "sqlalchemy" else object()
    )
    for arguments in (("review", results), ("review-export", results, tmp_path / "out")):
        done = run(*arguments)
        assert done.exit_code == 2 and "endometer[review]" in done.stderr
        assert "sqlalchemy" in done.stderr and "fastapi" not in done.stderr


def test_the_server_never_needs_torch_and_commands_do_not_wait_for_it():
    for name, heavy in (
        ("app.cli", "torch fastapi sqlalchemy uvicorn argon2"),
        ("app.review.server", "torch monai"),
    ):
        code = f"import {name}, sys; print([m for m in {heavy.split()} if m in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=True,
        )
        assert done.stdout == "[]\n", name


def test_wrong_formats_are_usage(results, tmp_path):
    for option in (("--format", "xml"), ("--dicom", "seg")):
        done = run("review-export", results, tmp_path / "out", *option)
        assert done.exit_code == 2 and option[1] in done.stderr
