"""A measured run to review, made once, and the databases that reviews are kept in."""

import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the review page is the extra `review`")

import argon2
from review_run import PASSWORD, SCRIPT, Seat, measured_run

from app.review.accounts import Accounts, Role
from app.review.database import open_database
from app.review.server import create_app
from app.review.settings import ReviewError, Settings


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """Clips and the tables of their run; never written to."""
    return measured_run(tmp_path_factory.mktemp("measured"))


@pytest.fixture
def run(measured, tmp_path):
    """A copy of the run's folder, clips stay where they are."""
    folder = tmp_path / "results"
    shutil.copytree(measured / "results", folder)
    return folder


@pytest.fixture
def seat(run):
    """Give somebody a seat at a server of the run: `seat(blind=True, ...)`."""
    opened = []

    def sit(**options):
        app = create_app(Settings(folder=run, **{"prefetch": False, "port": 8000, **options}))
        opened.append(app.state.desk)
        return Seat(app)

    yield sit
    for desk in opened:
        desk.close()


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The address of a PostgreSQL server of our own, that listens on a socket in a folder alone."""
    pytest.importorskip("psycopg", reason="PostgreSQL is the extra `postgres`")
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    programs = POSTGRES[-1].parent
    # A socket's path has at most 107 characters, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="endometer-pg-"))
    user = None
    if os.geteuid() == 0:
        if subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = "postgres"
        shutil.chown(folder, user, user)

    def call(program, *arguments):
        subprocess.run(
            [programs / program, *arguments],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            timeout=120,
        )

    data = folder / "data"
    call("initdb", "-D", data, "-U", "endometer", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
    call("pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
    try:
        yield f"postgresql://endometer@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """The address of an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'reviews.sqlite'}"
        return
    import psycopg

    address = request.getfixturevalue("postgres")
    name = f"reviews_{os.urandom(4).hex()}"
    with psycopg.connect(address, autocommit=True) as base:
        base.execute(f"CREATE DATABASE {name}")
    yield address.replace("/postgres?", f"/{name}?")
    with psycopg.connect(address, autocommit=True) as base:
        base.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def folder(measured, tmp_path_factory):
    there = tmp_path_factory.mktemp("attacked") / "results"
    shutil.copytree(measured / "results", there)
    from test_worklist import put, table_row

    put(there, [table_row(n, patient_id=SCRIPT, file=f"{SCRIPT}{n}.dcm") for n in range(3)])
    return there


@pytest.fixture(scope="module")
def local(folder):
    """A server of this machine alone, with nobody at it yet."""
    app = create_app(Settings(folder=folder, port=8000, prefetch=False, show_identity=True))
    yield app
    app.state.desk.close()


@pytest.fixture
def person(local):
    return Seat(local).enter()


@pytest.fixture(scope="module")
def network(folder, tmp_path_factory):
    """A server of a network with three accounts, TLS in front of it."""
    base = f"sqlite:///{tmp_path_factory.mktemp('network') / 'reviews.sqlite'}"
    options = {"database": base, "host": "0.0.0.0", "names": ("clinic.test",), "tls_in_front": True}
    with pytest.raises(ReviewError, match="no admin account"):
        create_app(Settings(folder=folder, **options))
    cheap = partial(argon2.PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(argon2, "PasswordHasher", cheap)
    engine = open_database(folder, base)
    for name, role in (("rita", "reader"), ("vera", "reviewer"), ("ada", "admin")):
        Accounts(engine).add(name, PASSWORD, Role(role))
    engine.dispose()
    app = create_app(Settings(folder=folder, prefetch=False, **options))
    monkeypatch.undo()
    yield app
    app.state.desk.close()


@pytest.fixture
def at(network):
    """Log somebody in: `at("vera")`."""
    network.state.desk.brake._failures.clear()

    def login(name):
        seat = Seat(network, "clinic.test")
        if name:
            assert seat.login(name, PASSWORD).status_code == 200
        return seat

    return login
