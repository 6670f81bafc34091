"""A simulated cohort on disk: a phantom for every scan, and a reader who checks some of them."""

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.phantom.dicom import Renderer, make_phantom, write_dicom
from inference.engines import cores
from inference.records import Call
from inference.tables import make_folder, write_csv, write_json, writing
from trial.simulation import COLUMNS, Cohort, Scan, simulate

if TYPE_CHECKING:
    from app.review.desk import Desk, Item
    from app.review.sessions import Session

SCANS, VISITS, TRUTH = "scans", "visits.csv", "truth.json"
# How a simulated reader differs from the truth, mm: experts repeat themselves to 0.3 to 0.5 mm.
READER_SD_MM = 0.35
# As near to what the reader sees a number of the machine is confirmed, if its call is clear.
CONFIRMED_MM = 1.0
READER = "simulated reader"


def write_cohort(out: Path, women: int, seed: int) -> Cohort:
    """Write OUT/scans, OUT/visits.csv and OUT/truth.json, and return what they hold.

    The true thickness of every scan is that of its phantom. A folder that holds this cohort is left
    as it is. Raises OutputError, ValueError for too few women and for a folder with another cohort.
    """
    cohort = simulate(seed, women)
    jobs = list(enumerate(cohort.scans, 1))
    truth = {
        "cohort": {"seed": seed, "women": women, **asdict(cohort.truth)},
        "scans_mm": {scan_name(i): scan.true_mm for i, scan in jobs},
    }
    if (out / TRUTH).exists():
        if read_truth(out) != truth["scans_mm"]:
            raise ValueError(f"{out} holds another cohort; choose a folder of its own")
        return cohort
    make_folder(out / SCANS)
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_write_scan, out / SCANS, seed), jobs, chunksize=4))
    with writing(out / VISITS):
        write_csv(out / VISITS, COLUMNS, cohort.rows)
    with writing(out / TRUTH):  # the last, so that it says that all is there
        write_json(out / TRUTH, truth)
    return cohort


def scan_name(number: int) -> str:
    """Return the file of a scan, counted from 1."""
    return f"{number:04d}.dcm"


def _write_scan(folder: Path, seed: int, job: tuple[int, Scan]) -> None:
    number, scan = job
    phantom = make_phantom(
        (seed, number), scan.true_mm, renderer=Renderer.PHYSICAL, visible=not scan.refused
    )
    header = {
        "StudyInstanceUID": scan.study,
        "PatientID": scan.patient_id,
        "PatientName": f"PHANTOM^{scan.patient_id}",
        "StudyDate": f"{scan.date:%Y%m%d}",
        "ContentDate": f"{scan.date:%Y%m%d}",
    }
    write_dicom(phantom, folder / scan_name(number), header)


def review_cohort(results: Path, true_mm: Mapping[str, float], seed: int) -> tuple[int, int]:
    """Have a simulated reader confirm or correct every number of a run.

    `true_mm` is the truth by file name. The reader sees the truth but for an error of READER_SD_MM,
    confirms a clear call whose number is within CONFIRMED_MM of that, and otherwise draws the
    machine's calipers anew, so long as what was seen. What the machine refused is left open. Every
    review goes through the review page's own checks into its database. Returns how many were
    corrected and confirmed. Raises ReviewError, RefusedError.
    """
    from app.review.accounts import Role
    from app.review.desk import Desk
    from app.review.sessions import Session
    from app.review.settings import Settings

    rng = np.random.default_rng([seed, 1])
    desk = Desk(Settings(folder=results, reviewer=READER))
    me = Session(READER, Role.REVIEWER, "", 0.0, 0.0)
    try:
        made = [
            _review(desk, me, item, true_mm[Path(item.entry.file).name], rng)
            for item in desk.items(me)
            if item.entry.best.thickness_mm is not None
        ]
    finally:
        desk.close()
    return made.count("correct"), made.count("accept")


def _review(
    desk: "Desk", me: "Session", item: "Item", true_mm: float, rng: np.random.Generator
) -> str:
    from app.review.models import ReviewIn
    from app.review.saving import save

    best = item.entry.best
    machine_mm = best.thickness_mm or 0.0
    read = max(true_mm + float(rng.normal(0, READER_SD_MM)), 0.5)
    if best.call is not Call.INDETERMINATE and abs(machine_mm - read) <= CONFIRMED_MM:
        save(desk, me, item, ReviewIn(version=0, action="accept"))
        return "accept"
    ends = np.array(
        [
            [best.caliper_row_1, best.caliper_column_1],
            [best.caliper_row_2, best.caliper_column_2],
        ],
        float,
    )
    # The machine's calipers span fluid, its number does not: their own length counts.
    length_mm = float(np.hypot(*((ends[1] - ends[0]) * [best.row_mm, best.column_mm])))
    middle = ends.mean(0)
    drawn = middle + (ends - middle) * read / length_mm
    line = drawn.tolist()
    save(desk, me, item, ReviewIn(version=0, action="correct", frame=best.frame, calipers=line))
    return "correct"


def read_truth(folder: Path) -> dict[str, float]:
    """Return the true thickness of every scan of a cohort by file name, in mm."""
    content = json.loads((folder / TRUTH).read_text("utf-8"))
    return dict(content["scans_mm"])
