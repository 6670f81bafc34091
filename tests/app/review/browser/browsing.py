"""What a sonographer does in a browser, and the run that is looked at."""

import json
import math
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from review_archive import write_archive

from data.phantom.dicom import Renderer
from inference.clip import Settings
from inference.engines import Threaded
from inference.run import Output, measure
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

SECONDS = 20_000  # of patience, in ms; a machine under load is slow


def measured_archive(folder: Path, renderer=Renderer.RANDOM, cine_frames=6) -> Path:
    """Write clips, measure every frame of them and return the folder of the tables."""
    clips = write_archive(folder / "clips", renderer, cine_frames)
    bundle = load_bundle()
    engine = Threaded(bundle, OpenVinoRuntime(bundle), 1)
    settings = Settings(all_frames=True)
    measure([clips], bundle, engine, settings, output=Output(folder / "results"))
    return folder / "results"


class Person:
    """Somebody at a page of a server. `expected`: statuses of refusals that the test provokes."""

    def __init__(self, browser, server, width=1280, height=720, expected=(), **options):
        self.server, self.expected = server, expected
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.context.set_default_timeout(SECONDS)
        self.page = self.context.new_page()
        self.faults, self.elsewhere, self.answers = [], [], []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _heard(self, message):
        if message.type not in ("error", "warning"):
            return
        refused = re.search(r"responded with a status of (\d+)", message.text)
        if not (refused and int(refused[1]) in self.expected):
            self.faults.append(message.text)

    def _answered(self, answer):
        self.answers.append(answer)

    def _asked(self, request):
        asked, own = urlsplit(request.url), urlsplit(self.server.address)
        if asked.scheme in ("http", "https") and asked.netloc != own.netloc:
            self.elsewhere.append(request.url)

    def leave(self):
        self.context.close()

    def check(self):
        """No error was logged (a breach of the policy is one), nothing was asked elsewhere."""
        assert self.faults == []
        assert self.elsewhere == []

    def enter(self):
        """Open the address of the terminal and wait for the worklist."""
        self.page.goto(self.server.entry())
        return self.listed()

    def listed(self):
        self.page.wait_for_selector("#rows[data-loaded]")
        return self

    def id_of(self, file):
        return next(e.id for e in self.server.desk.clips.order if e.file.endswith(file))

    def clip(self, file):
        """Open a clip by the name of its file, as by its address."""
        return self.open(self.id_of(file))

    def open(self, key):
        self.page.goto(f"{self.server.address}/clip/{key}")
        return self.shown(key)

    def shown(self, key=None):
        """Wait until a clip is on the screen, and its outline where it has one."""
        what = f'#top[data-shown="{key}"]' if key else "#top[data-shown]"
        self.page.wait_for_selector(what)
        self.page.wait_for_load_state("networkidle")
        return self

    @property
    def key(self):
        return self.page.get_attribute("#top", "data-shown")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        return self

    @contextmanager
    def next_shown(self):
        """Wait until another clip than the present one is on the screen."""
        before = self.key
        yield
        self.page.wait_for_function(
            "key => document.getElementById('top').dataset.shown !== key", arg=before
        )

    @property
    def mm(self):
        """The number that stands there."""
        return float(re.match(r"[\d.]+", self.page.inner_text("#big"))[0])

    def ends(self):
        """Where the caliper ends are on the screen, (x, y)."""
        return [
            (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            for box in (each.bounding_box() for each in self.page.locator("#handles button").all())
        ]

    def high_and_low(self):
        """The two caliper ends, the one higher on the screen first."""
        return sorted(self.ends(), key=lambda end: end[1])

    def drag(self, start, *way):
        """Press at a place, move through others, let go."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        for place in way:
            mouse.move(*place, steps=6)
        mouse.up()
        return self

    def json(self, path):
        """Ask the API with the page's own session."""
        return self.page.evaluate("path => fetch(path).then((r) => r.json())", path)

    def here(self):
        """The clip on the screen, as the API gives it."""
        return self.json(f"/api/clip/{self.key}")

    def module(self, name, code, *values):
        """Run `(m, ...values) => code` with a module of the page."""
        return self.page.evaluate(
            f"""async (values) => {{
                const m = await import("/static/{name}");
                const run = {code};
                return run(m, ...values);
            }}""",
            list(values),
        )

    def draft(self):
        """The work that this tab keeps on the clip on the screen."""
        key = f"endometer.draft.{self.key}"
        return json.loads(self.page.evaluate("key => sessionStorage.getItem(key)", key) or "null")


def length(a, b, spacing=(1.0, 1.0)):
    """The distance of two points in mm, with the spacing of their two axes."""
    return math.hypot(*((q - p) * s for p, q, s in zip(a, b, spacing, strict=True)))
