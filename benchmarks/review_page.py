"""From a key press to the next clip on the screen, and how long a caliper move takes, in a browser.

    python -m benchmarks.review_page [RESULTS] [--steps 100] [--chromium /usr/bin/chromium]

RESULTS is the folder of a run; without one it is 2,000 clips made of a few phantoms. Reviews are
written to a database of their own that is thrown away.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from app.review.serve import running
from app.review.settings import Settings
from benchmarks.review import make_run

# One frame of a screen at 60 Hz.
FRAME_MS = 1000 / 60
# The clip is on the screen when the browser has painted after the page changed.
NEXT = """(key) => new Promise((resolve) => {
  const top = document.getElementById("top");
  const before = top.dataset.shown;
  const began = performance.now();
  new MutationObserver((_, seen) => {
    if (top.dataset.shown === before) return;
    seen.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }).observe(top, { attributes: true });
  document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
})"""
MOVES = """() => new Promise((resolve) => {
  const [handle] = document.querySelectorAll("#handles button");
  const took = [];
  const step = () => {
    const began = performance.now();
    const key = took.length % 2 ? "ArrowUp" : "ArrowDown";
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    took.push(performance.now() - began);
    if (took.length < 200) requestAnimationFrame(step);
    else resolve(took);
  };
  step();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--clips", type=int, default=2000, help="how many, without RESULTS")
    parser.add_argument("--steps", type=int, default=100, help="clips looked at by each key")
    parser.add_argument("--look", type=float, default=0.7, help="seconds spent on every clip")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        results = given.results or make_run(Path(folder), given.clips)
        settings = Settings(folder=results, database=f"sqlite:///{folder}/reviews.sqlite")
        with running(settings) as server:
            options = ["--no-sandbox", "--disable-background-networking"]
            browser = playwright.chromium.launch(executable_path=given.chromium, args=options)
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(server.entry())
            page.wait_for_selector(".row").press("Enter")
            page.wait_for_selector("#top[data-shown]")
            total = page.evaluate("fetch('/api/worklist').then((r) => r.json())")["total"]
            page.wait_for_load_state("networkidle")
            moves = page.evaluate(MOVES)
            page.keyboard.press("u")
            page.wait_for_timeout(500)
            for words, key in (("next clip (N)", "n"), ("accept and next (A)", "a")):
                took = []
                for _ in range(min(given.steps, total // 2 - 1)):
                    time.sleep(given.look)
                    took.append(page.evaluate(NEXT, key))
                p50, p95 = np.percentile(took, [50, 95])
                print(f"{words}: n {len(took)} of {total}, median {p50:.0f} ms, p95 {p95:.0f} ms")
            browser.close()
    p50, p95, most = np.percentile(moves, [50, 95, 100])
    print(f"caliper move: median {p50:.1f} ms, p95 {p95:.1f} ms, most {most:.1f} ms", end="")
    print(f" (a frame is {FRAME_MS:.1f} ms)")


if __name__ == "__main__":
    main()
