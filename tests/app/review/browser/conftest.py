"""A real browser before a real server over a real run; every test also finds out whether the page
asked for anything elsewhere, broke its own security policy, or logged an error.
"""

import os
import shutil
from contextlib import ExitStack

import pytest
from browsing import Person, measured_archive

from app.review.serve import running
from app.review.settings import Settings
from data.phantom.dicom import Renderer
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
PICTURES = os.environ.get("ENDOMETER_SCREENSHOTS")


@pytest.fixture(scope="session")
def chromium():
    """A browser of the system; playwright's own are not downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def measured(chromium, tmp_path_factory):
    """The folder of a run's tables; never written to."""
    return measured_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def pictured(chromium, tmp_path_factory):
    """The same of clips that look like ultrasound, where to put pictures of them is said."""
    if PICTURES is None:
        pytest.skip("ENDOMETER_SCREENSHOTS names no folder to write to")
    return measured_archive(tmp_path_factory.mktemp("pictured"), Renderer.PHYSICAL, 24)


@pytest.fixture
def results(measured, tmp_path):
    """A copy of the run's folder; the clips stay where they are."""
    return shutil.copytree(measured, tmp_path / "results")


@pytest.fixture(scope="session")
def network():
    """The network that measures frames; loading it for every server would take most of the time."""
    bundle = load_bundle()
    return bundle, OpenVinoRuntime(bundle)


@pytest.fixture
def serve(results, network):
    """Start a server: `serve(blind=True, ...)`."""
    with ExitStack() as servers:

        def start(**options):
            settings = Settings(**{"folder": results, "reviewer": "Ada", **options})
            server = servers.enter_context(running(settings))
            server.desk.measurer._network = network
            return server

        yield start


@pytest.fixture
def person(chromium):
    """Give somebody a browser of their own: `person(server, locale="de-DE", ...)`."""
    people = []

    def sit(server, **options):
        people.append(Person(chromium, server, **options))
        return people[-1]

    yield sit
    for each in people:
        each.leave()
    for each in people:
        each.check()


@pytest.fixture
def ada(serve, person):
    """Somebody at the worklist of a fresh server."""
    return person(serve()).enter()
