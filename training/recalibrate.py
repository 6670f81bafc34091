"""A bundle whose intervals hold for images like those of a data set: `endometer calibrate`."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import CARD, EXPORT, WEIGHTS, Bundle, BundleError, IntervalTable
from training.calibrate import BIN_EDGES_MM, FEWEST_PATIENTS, fit_intervals
from training.card import write_card
from training.summary import Result


@dataclass(frozen=True)
class Bin:
    """Measured thicknesses `low_mm` <= t < `high_mm`, the patients they are of, and half the mean
    width of their intervals in mm."""

    low_mm: float
    high_mm: float
    patients: int
    half_width_mm: float


def usable(results: list[Result]) -> list[Result]:
    """Return the cases that were measured and whose true thickness is known."""
    return [r for r in results if r.measured_mm is not None and r.error_mm is not None]


def edges_for(results: list[Result]) -> tuple[float, ...]:
    """Return upper ends (mm) of bins that have patients enough, each, for an interval.

    A bin with too few goes together with the next one, the last with the one before it. Raises
    ValueError where even all together are too few.
    """
    edges, low = list[float](), 0.0
    for high in BIN_EDGES_MM:
        there = {r.patient for r in results if low <= (r.measured_mm or 0.0) < high}
        if len(there) >= FEWEST_PATIENTS:
            edges.append(high)
            low = high
    if not edges:
        patients = len({r.patient for r in results})
        raise ValueError(
            f"{patients} patients with a measured and a known thickness are too few: an interval "
            f"needs {FEWEST_PATIENTS}, and a good one some dozens."
        )
    return (*edges[:-1], math.inf)


def calibrated(results: list[Result]) -> tuple[IntervalTable, list[Bin]]:
    """Return intervals fitted on results, and what they amount to. Raises ValueError."""
    judged = usable(results)
    edges = edges_for(judged)
    table = fit_intervals(judged, edges)
    bins, low = [], 0.0
    for high in edges:
        inside = [r for r in judged if low <= (r.measured_mm or 0.0) < high]
        widths = [table.half_width(r.measured_mm or 0.0, r.spread_mm or 0.0) for r in inside]
        patients = len({r.patient for r in inside})
        bins.append(Bin(low, high, patients, sum(widths) / len(widths)))
        low = high
    return table, bins


def write_calibrated(
    bundle: Bundle, table: IntervalTable, out: Path, name: str, about: dict[str, Any]
) -> None:
    """Write `bundle` into the new folder OUT with other intervals, under another name.

    `about` goes into the card as what they were fitted on. Raises BundleError for a folder that
    holds a bundle already, OSError.
    """
    if (out / CARD).exists():
        raise BundleError(f"{out} holds a bundle already; choose a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    for file in (WEIGHTS, *EXPORT):
        shutil.copyfile(bundle.path / file, out / file)
    card = json.loads((bundle.path / CARD).read_text("utf-8"))
    fields = card | {"name": name, "calibration": about | {"of": bundle.name}}
    write_card(out, fields, table, card["metrics"])
