"""Visits joined to the scans of a run. What does not join is listed with the reason.

A visit names its scans by `clip` or `study`; one that names neither joins the one study of that
woman on that day. A scan of another patient, of another day, or that two visits claim joins none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trial.claims import Claims, UnjoinedScan, UnjoinedVisit
from trial.cycles import outcomes
from trial.observations import Cancellation, Observation, Origin, Reading, Transfer
from trial.protocol import Protocol
from trial.scans import ACCEPTED, CORRECTED, Scan
from trial.visits import Problem, Visit, Visits


@dataclass(frozen=True)
class Joined:
    """The study's data. Every visit is an observation, measured or not.

    `undecided` are cycles before treatment of which the table does not say whether they were
    cancelled. `baselines` is name -> woman -> number, from the columns `baseline_*`.
    """

    observations: tuple[Observation, ...]
    transfers: tuple[Transfer, ...]
    cancellations: tuple[Cancellation, ...]
    undecided: tuple[Cancellation, ...]
    problems: tuple[Problem, ...]
    unjoined_visits: tuple[UnjoinedVisit, ...]
    unjoined_scans: tuple[UnjoinedScan, ...]
    baselines: Mapping[str, Mapping[str, float]]


def join(
    visits: Visits, scans: Sequence[Scan], protocol: Protocol, strays: Iterable[str] = ()
) -> Joined:
    """Join the visits to the scans of a run.

    `strays` are files of reviews that are no scans of the run (trial.scans.read_scans).
    """
    claims = Claims(visits.rows, scans)
    observations = tuple(
        _observation(visit, claims.images(visit), claims.why(visit), protocol)
        for visit in visits.rows
    )
    found = outcomes(visits.rows, protocol)
    baselines, differing = _baselines(visits.rows)
    stray = [
        UnjoinedScan(file, "", None, "it was reviewed, but the run has no such clip")
        for file in strays
    ]
    return Joined(
        observations=observations,
        transfers=found.transfers,
        cancellations=found.cancellations,
        undecided=found.undecided,
        problems=(*visits.problems, *found.problems, *differing),
        unjoined_visits=tuple(claims.unjoined_visits()),
        unjoined_scans=(*claims.unjoined_scans(), *stray),
        baselines=baselines,
    )


def _observation(
    visit: Visit, scans: list[Scan], why: str | None, protocol: Protocol
) -> Observation:
    """Return what is known of the thickness at a visit: review, else machine, else a reader.

    Of several scans a reviewed one counts, then the one of the highest quality: never the thickest,
    because the largest of several noisy numbers is too large.
    """
    measured = [scan for scan in scans if scan.mm is not None]
    best = max(measured, key=_standing, default=None)
    half = protocol.reader_half_width_mm
    reader = None
    if visit.reader_mm is not None:
        reader = Reading(visit.reader_mm, visit.reader_mm - half, visit.reader_mm + half)
    mm = lower = upper = automatic = origin = missing = None
    clip = None
    if best is not None and best.mm is not None:
        mm, automatic, clip = best.mm, best.automatic_mm, best.file
        origin = Origin.REVIEW if best.review in (ACCEPTED, CORRECTED) else Origin.AUTOMATIC
        lower, upper = _ends(best, mm, half)
    else:
        refused = max(scans, key=_standing, default=None)
        if refused is not None:
            clip, automatic = refused.file, refused.automatic_mm
            missing = refused.refused
        if reader is not None:
            mm, origin, missing = reader.mm, Origin.READER, None
            lower, upper = reader.lower_mm, reader.upper_mm
        elif refused is None:
            missing = why
    return Observation(
        row=visit.row,
        patient=visit.patient,
        arm=visit.arm,
        cycle=visit.cycle,
        cycle_type=visit.cycle_type,
        cycle_day=visit.cycle_day,
        phase=visit.phase,
        date=visit.date or (best.date if best else None),
        thickness_mm=mm,
        lower_mm=lower,
        upper_mm=upper,
        origin=origin,
        automatic_mm=automatic,
        repeats_mm=tuple(s.automatic_mm for s in measured if s.automatic_mm is not None),
        missing=missing,
        clip=clip,
        others=tuple(
            Reading(scan.mm, *_ends(scan, scan.mm, half), scan.file)
            for scan in measured
            if scan.mm is not None
            and scan is not best
            and best is not None
            and (scan.review is not None or best.review is None)
        ),
        reader=reader,
    )


def _ends(scan: Scan, mm: float, half: float) -> tuple[float, float]:
    """Return the interval of a scan: the machine's, or that of a person's reading."""
    return (
        mm - half if scan.lower_mm is None else scan.lower_mm,
        mm + half if scan.upper_mm is None else scan.upper_mm,
    )


def _standing(scan: Scan) -> tuple[bool, float, str]:
    return scan.review is not None, scan.quality, scan.file


def _baselines(
    visits: Iterable[Visit],
) -> tuple[dict[str, dict[str, float]], list[Problem]]:
    """Return name -> woman -> number; what two rows give differently is unknown and listed."""
    first: dict[tuple[str, str], tuple[float, int]] = {}
    differing: dict[tuple[str, str], Problem] = {}
    for visit in visits:
        for name, value in visit.baseline:
            known, row = first.setdefault((visit.patient, name), (value, visit.row))
            if known != value:
                words = f"differs from row {row} of the same woman; it counts as unknown."
                told = Problem(
                    visit.row, f"baseline_{name}", words, f"{value:g}, and {known:g} in row {row}"
                )
                differing.setdefault((visit.patient, name), told)
    found: dict[str, dict[str, float]] = {}
    for (patient, name), (value, _) in first.items():
        women = found.setdefault(name, {})
        if (patient, name) not in differing:
            women[patient] = value
    return found, list(differing.values())
