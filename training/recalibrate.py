"""A bundle whose intervals hold for images like those of a data set: `endometer calibrate`."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import CARD, EXPORT, WEIGHTS, Bundle, BundleError, IntervalTable
from models.check import GALLERY
from training.calibrate import (
    BIN_EDGES_MM,
    FEWEST_PATIENTS,
    binned,
    fit_intervals,
)
from training.card import write_card
from training.summary import Result


@dataclass(frozen=True)
class Bin:
    """Measured thicknesses `low_mm` <= t < `high_mm`, the patients they are of, and how far (mm)
    their intervals reach below and above them on average."""

    low_mm: float
    high_mm: float
    patients: int
    below_mm: float
    above_mm: float


def edges_for(results: list[Result]) -> tuple[float, ...]:
    """Return upper ends (mm) of bins that have patients enough, each, for an interval.

    A bin with too few goes together with the next one, the last with the one before it. Raises
    ValueError where even all together are too few.
    """
    edges, waiting = list[float](), set[str]()
    for _, high, inside in binned(results, BIN_EDGES_MM):
        waiting |= {r.patient for r in inside}
        if len(waiting) >= FEWEST_PATIENTS:
            edges.append(high)
            waiting = set()
    if not edges:
        raise ValueError(
            f"{len(waiting)} patients with a measured and a known thickness are too few: an "
            f"interval needs {FEWEST_PATIENTS}, and a good one some dozens."
        )
    return (*edges[:-1], math.inf)


def calibrated(results: list[Result]) -> tuple[IntervalTable, list[Bin]]:
    """Return intervals fitted on results, and what they amount to. Raises ValueError."""
    edges = edges_for(results)
    table = fit_intervals(results, edges)
    bins = []
    for low, high, inside in binned(results, edges):
        reach = [table.reach(r.measured_mm or 0.0, r.spread_mm or 0.0) for r in inside]
        patients = len({r.patient for r in inside})
        below, above = (sum(side) / len(side) for side in zip(*reach, strict=True))
        bins.append(Bin(low, high, patients, below, above))
    return table, bins


def check_free(out: Path) -> None:
    """Raise BundleError for a folder that holds a bundle already."""
    if (out / CARD).exists():
        raise BundleError(f"{out} holds a bundle already; choose a new folder.")


def write_calibrated(
    bundle: Bundle, table: IntervalTable, out: Path, name: str, about: dict[str, Any]
) -> None:
    """Write `bundle` into the new folder OUT with other intervals, under another name.

    `about` goes into the card as what they were fitted on. Raises BundleError for a folder that
    holds a bundle already, OSError.
    """
    check_free(out)
    out.mkdir(parents=True, exist_ok=True)
    for file in (WEIGHTS, *EXPORT):
        shutil.copyfile(bundle.path / file, out / file)
    if (bundle.path / GALLERY).is_dir():
        shutil.copytree(bundle.path / GALLERY, out / GALLERY)
    card = json.loads((bundle.path / CARD).read_text("utf-8"))
    fields = card | {"name": name, "calibration": about | {"of": bundle.name}}
    words = f"fitted again on {about.get('patients')} patients"
    again = {"intervals": words, "millimetres_trusted": True}
    fields["fitted"] = (card.get("fitted") or {}) | again
    write_card(out, fields, table, card["metrics"])
