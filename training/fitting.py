"""What a bundle's quality limit and intervals are fitted on: a data set, phantoms, or nothing."""

import hashlib
from dataclasses import replace

from data.phantom.dicom import Renderer
from inference.records import Status
from models.bundle import Bundle, IntervalTable
from models.runtime import Runtime
from training.calibrate import (
    FEWEST_PATIENTS,
    GOOD_MM,
    INTERVAL_SEED,
    QUALITY_SEED,
    fit_intervals,
    fit_min_quality,
    phantom_cases,
    usable,
    widest,
)
from training.evaluate import evaluate
from training.export import MIN_QUALITY, UNCALIBRATED
from training.recalibrate import calibrated
from training.summary import Result

# Share of phantoms without an endometrium among those that fit the quality limit and judge.
EMPTY = 0.3
# How the words begin of intervals that were fitted on them.
ON_PHANTOMS = "fitted on phantoms,"
Fitted = tuple[float, str]
Table = tuple[IntervalTable, str]


def below_limit(results: list[Result], limit: float) -> list[Result]:
    """Return what a quality limit makes of results that were measured without one."""
    return [
        replace(r, status=Status.NOT_MEASURABLE, measured_mm=None)
        if r.measured and (r.quality or 0.0) < limit
        else r
        for r in results
    ]


def enough_for_limit(results: list[Result]) -> bool:
    """Tell whether there are patients enough for a quality limit, with and without anything."""
    empty = {r.patient for r in results if not r.visible}
    good = {r.patient for r in usable(results) if r.visible and abs(r.error_mm or 0.0) <= GOOD_MM}
    return min(len(empty), len(good)) >= FEWEST_PATIENTS


def halves(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """Return results of every second patient and those of the others, whatever their order."""
    names = sorted(
        {r.patient for r in results}, key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    first = set(names[::2])
    return [r for r in results if r.patient in first], [
        r for r in results if r.patient not in first
    ]


def share_out(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """Return the results that fit the limit, and those that fit the intervals.

    Two halves by patient where each is enough for what it is for: an interval must be fitted on
    patients that had no part in what is measured at all. Otherwise intervals get them all.
    """
    one, other = halves(results)
    patients = {r.patient for r in usable(other)}
    if enough_for_limit(one) and len(patients) >= FEWEST_PATIENTS:
        return one, other
    return [], results


def quality_limit(results: list[Result], bundle: Bundle, runtime: Runtime, n: int) -> Fitted:
    """Return the quality limit, and in words what it was fitted on.

    `results` are those of `share_out`, measured without a limit; `n` phantoms stand in for them
    where there are none, and with n = 0 it stays what export gave.
    """
    if results:
        patients = len({r.patient for r in results})
        return fit_min_quality(results), f"fitted on {patients} patients"
    if n:
        with phantom_cases(QUALITY_SEED, n, empty=EMPTY) as cases:
            unlimited = replace(bundle, min_quality=0.0)
            try:
                found = fit_min_quality(evaluate(cases, unlimited, runtime, outlines=False))
            except ValueError as error:
                return MIN_QUALITY, f"not fitted: on {n} phantoms, {error}"
        return found, f"fitted on {n} phantoms of renderer 1"
    return MIN_QUALITY, "not fitted"


def intervals(results: list[Result], bundle: Bundle, runtime: Runtime, n: int) -> Table:
    """Return the intervals and in words what they were fitted on.

    `results` are of patients that decided nothing else, limited by the bundle's quality. Where they
    are too few, `n` phantoms of each renderer stand in; with n = 0 intervals stay uncalibrated.
    """
    why = ""
    if results:
        try:
            table, bins = calibrated(results)
        except ValueError as error:
            why = f" ({error})"
        else:
            patients = len({r.patient for r in usable(results)})
            return table, f"fitted on {patients} patients, in {len(bins)} bins of thickness"
    if n:
        try:
            return phantom_intervals(bundle, runtime, n), (
                f"{ON_PHANTOMS} {n} of each renderer, not on patients{why}"
            )
        except ValueError as error:
            why = f" (on {n} phantoms of each renderer: {error}){why}"
    return UNCALIBRATED, f"not calibrated{why}"


def phantom_intervals(bundle: Bundle, runtime: Runtime, n: int) -> IntervalTable:
    """Return intervals that hold on `n` phantoms of each renderer. Raises ValueError."""
    tables = []
    for renderer in (Renderer.RANDOM, Renderer.PHYSICAL):
        with phantom_cases(INTERVAL_SEED, n, renderer=renderer) as cases:
            tables.append(fit_intervals(evaluate(cases, bundle, runtime, outlines=False)))
    return widest(tables)
