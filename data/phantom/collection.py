"""A folder of phantoms and the table of what is true of them."""

import csv
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from data.phantom.dicom import Phantom, Renderer, make_phantom, write_dicom, write_label
from data.phantom.unmeasurable import Situation, make_unmeasurable

TRUTH_COLUMNS = (
    "file",
    "frames",
    "thickness_mm",
    "pattern",
    "subject",
    "orientation",
    "fluid",
    "mm_per_px",
    "renderer",
    "label",
)
# Tells the draws of which clips are empty or unmeasurable from the draw of the clips.
_EMPTY, _UNMEASURABLE = 1, 2
# From so many frames on other processes are started: each takes a second or two to begin.
WORTH_FRAMES = 24


def truth_row(name: str, phantom: Phantom, label: str = "") -> dict[str, str]:
    """Return what is true of a phantom, as the columns of `truth.csv`.

    `name` is its file, `label` the file of its label image. Without endometrium there is no
    thickness.
    """
    band = phantom.scene.endometrium
    return {
        "file": name,
        "frames": str(len(phantom.frames)),
        "thickness_mm": f"{band.thickness_mm:.4f}" if band else "",
        "pattern": str(phantom.scene.pattern),
        "subject": phantom.situation or str(phantom.scene.subject),
        "orientation": phantom.scene.orientation or "",
        "fluid": "true" if band and band.fluid_mm > 0 else "false",
        "mm_per_px": f"{phantom.mm_per_px:.6f}",
        "renderer": str(phantom.renderer),
        "label": label,
    }


def write_phantoms(  # noqa: PLR0913 - what a collection is made of
    out: Path,
    *,
    n: int,
    seed: int,
    frames: int = 1,
    renderer: str = Renderer.RANDOM,
    empty: float = 0.0,
    freehand: bool = False,
    unmeasurable: float = 0.0,
    workers: int = 1,
) -> list[dict[str, str]]:
    """Write `n` clips, their labels, and `truth.csv`; clip i depends on `seed` and i alone.

    About a share `unmeasurable` are stills of which nobody should take a thickness, every situation
    in turn, and of the others a share `empty` shows no endometrium; `freehand` as in
    `make_phantom`. `workers` processes draw, where there is enough to draw for them to start; a
    script that asks for several must be importable. Raises OSError, ValueError for an unknown
    renderer or one that has no free hand, and ImportError for one whose package is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    options = {"frames": frames, "renderer": renderer, "freehand": freehand}
    draw = partial(_write_one, out, seed, empty, unmeasurable, options)
    if workers > 1 and n * frames >= WORTH_FRAMES:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rows = list(pool.map(draw, range(n), chunksize=4))
    else:
        rows = [draw(i) for i in range(n)]
    write_truth(out, rows)
    return rows


def _write_one(
    out: Path, seed: int, empty: float, unmeasurable: float, options: dict[str, Any], i: int
) -> dict[str, str]:
    """Write clip `i` and its label, and return its row."""
    name, label = f"phantom-{i + 1:04d}.dcm", f"phantom-{i + 1:04d}.label.nrrd"
    if np.random.default_rng([seed, i, _UNMEASURABLE]).random() < unmeasurable:
        situation = list(Situation)[i % len(Situation)]
        phantom = make_unmeasurable((seed, i), situation, options["renderer"])
        write_dicom(phantom, out / name)
        return truth_row(name, phantom)
    visible = bool(np.random.default_rng([seed, i, _EMPTY]).random() >= empty)
    phantom = make_phantom((seed, i), visible=visible, **options)
    write_dicom(phantom, out / name)
    write_label(phantom, out / label)
    return truth_row(name, phantom, label)


def write_truth(out: Path, rows: list[dict[str, str]]) -> None:
    """Write `truth.csv` beside the clips."""
    with (out / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, TRUTH_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
