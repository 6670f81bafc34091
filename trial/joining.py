"""Visits joined to the scans of a run. What does not join is listed with the reason.

A visit names its scans by `clip` or `study`; one that names neither joins the one study of that
woman on that day. A scan of another patient, of another day, or that two visits claim joins none.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from trial.cycles import outcomes
from trial.observations import Cancellation, Observation, Origin, Transfer
from trial.protocol import Protocol
from trial.scans import ACCEPTED, CORRECTED, Scan
from trial.visits import Problem, Visit, Visits

# A scan just after midnight, or a clock that was not set, is a day off; more is another visit.
LONGEST_OFF = timedelta(days=1)
SHORTEST_HASH = 16
_HASH = re.compile(rf"[0-9a-f]{{{SHORTEST_HASH},64}}")


@dataclass(frozen=True)
class UnjoinedVisit:
    """A visit, or a scan that it names, without a measurement; `row` is in the visits table."""

    row: int
    patient: str
    why: str


@dataclass(frozen=True)
class UnjoinedScan:
    """A scan that counts for no visit."""

    file: str
    patient_id: str
    date: date | None
    why: str


@dataclass(frozen=True)
class Joined:
    """The study's data. Every visit is an observation, measured or not.

    `undecided` are cycles before treatment of which the table does not say whether they were
    cancelled. `baselines` are numbers of each woman from the columns `baseline_*`.
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
    claims = _Claims(visits.rows, scans)
    observations = tuple(
        _observation(visit, claims.images(visit), claims.why(visit), protocol)
        for visit in visits.rows
    )
    found = outcomes(visits.rows, protocol)
    baselines, differing = _baselines(visits.rows)
    stray = [
        Problem(None, "review", f"the reviewed clip {file!r} is not in the run; it is not used.")
        for file in strays
    ]
    return Joined(
        observations=observations,
        transfers=found.transfers,
        cancellations=found.cancellations,
        undecided=found.undecided,
        problems=(*visits.problems, *found.problems, *differing, *stray),
        unjoined_visits=tuple(claims.unjoined_visits()),
        unjoined_scans=tuple(claims.unjoined_scans()),
        baselines=baselines,
    )


class _Claims:
    """Which visit each image belongs to, and why the others belong to none."""

    def __init__(self, visits: Sequence[Visit], scans: Sequence[Scan]) -> None:
        self._visits, self._scans = visits, scans
        self._copies: dict[str, list[Scan]] = defaultdict(list)
        self._by_name: dict[str, list[Scan]] = defaultdict(list)
        self._by_study: dict[str, list[Scan]] = defaultdict(list)
        self._by_hash: dict[str, list[Scan]] = defaultdict(list)
        for scan in scans:
            self._copies[scan.image].append(scan)
            for name in {scan.file, scan.name}:
                self._by_name[name].append(scan)
            if scan.study:
                self._by_study[scan.study].append(scan)
            self._by_hash[scan.sha256[:SHORTEST_HASH]].append(scan)
        self._whys: dict[int, list[str]] = defaultdict(list)
        self._refused: dict[str, str] = {}
        self._claimed: dict[str, list[Visit]] = defaultdict(list)
        self._claim_all()

    def _claim_all(self) -> None:
        named: set[str] = set()
        for visit in self._visits:
            for scan in self._named(visit):
                named.add(scan.image)
                self._claim(visit, scan)
        # Scans that some visit names belong to it, whatever else was on that day.
        for visit in self._visits:
            if not visit.clips and not visit.studies:
                for scan in self._of_the_day(visit, named):
                    self._claim(visit, scan)
        for image, visits in self._claimed.items():
            if len(visits) > 1:
                for visit in visits:
                    others = [str(other.row) for other in visits if other is not visit]
                    self._whys[visit.row].append(
                        f"a scan that is also named by row {', '.join(others)}: whose is it?"
                    )
                rows = " and ".join(str(visit.row) for visit in visits)
                self._refused[image] = f"rows {rows} name it: whose is it?"

    def _claim(self, visit: Visit, scan: Scan) -> None:
        why = self._mismatch(visit, scan)
        if why is None:
            if visit not in self._claimed[scan.image]:
                self._claimed[scan.image].append(visit)
        else:
            if why not in self._whys[visit.row]:
                self._whys[visit.row].append(why)
            self._refused.setdefault(scan.image, f"named by row {visit.row}, but {why}")

    def _mismatch(self, visit: Visit, scan: Scan) -> str | None:
        """Return why a scan cannot be of a visit, in words without identity."""
        if scan.patient_id and scan.patient_id != visit.patient_id:
            return "the file is of another patient than the row"
        if len({copy.patient_id for copy in self._copies[scan.image]} - {""}) > 1:
            return "the same image is in files of several patients"
        if visit.date and scan.date and abs(visit.date - scan.date) > LONGEST_OFF:
            return f"the file is of {scan.date}, the row of {visit.date}"
        return None

    def _named(self, visit: Visit) -> list[Scan]:
        """Return the scans that a visit names; a clip says more than its study."""
        found: list[Scan] = []
        for clip in visit.clips:
            scans = self._by_name.get(clip, [])
            if not scans and _HASH.fullmatch(clip.casefold()):
                text = clip.casefold()
                scans = [
                    scan
                    for scan in self._by_hash.get(text[:SHORTEST_HASH], [])
                    if scan.sha256.startswith(text)
                ]
            images = {scan.image for scan in scans}
            if not images:
                self._whys[visit.row].append(
                    "no scan of the run is called like the clip of the row (by file name or by at "
                    f"least {SHORTEST_HASH} digits of its hash)"
                )
            elif len(images) > 1:
                self._whys[visit.row].append(f"{len(images)} scans are called like its clip")
            elif visit.studies and not {scan.study for scan in scans} & set(visit.studies):
                self._whys[visit.row].append("the clip of the row is not of its study")
            else:
                found += scans
        if not visit.clips:
            for study in visit.studies:
                if study not in self._by_study:
                    self._whys[visit.row].append("no scan of the run is of its study")
                found += self._by_study.get(study, [])
        return found

    def _of_the_day(self, visit: Visit, named: set[str]) -> list[Scan]:
        """Return the scans of the one study of a woman on the day of a visit."""
        if visit.date is None:
            self._whys[visit.row].append("the row has no clip, no study and no date")
            return []
        scans = [
            scan
            for scan in self._scans
            if scan.patient_id == visit.patient_id
            and scan.date == visit.date
            and scan.image not in named
        ]
        studies = {scan.study for scan in scans}
        if not studies:
            self._whys[visit.row].append("the row names no scan, and the run has none of that day")
        elif len(studies) > 1:
            self._whys[visit.row].append(
                f"the row names no scan, and the run has {len(studies)} studies of that day"
            )
            return []
        return scans

    def images(self, visit: Visit) -> list[Scan]:
        """Return one scan for each image that belongs to a visit alone, by file."""
        own = [image for image, visits in self._claimed.items() if visits == [visit]]
        return sorted(
            (
                next((s for s in self._copies[image] if s.file == image), self._copies[image][0])
                for image in own
            ),
            key=lambda scan: scan.file,
        )

    def why(self, visit: Visit) -> str | None:
        """Return what kept scans from a visit, None if nothing did."""
        return "; ".join(self._whys.get(visit.row, [])) or None

    def unjoined_visits(self) -> Iterable[UnjoinedVisit]:
        """Yield visits that lack a scan, those that have another scan included."""
        for visit in self._visits:
            if why := self.why(visit):
                yield UnjoinedVisit(visit.row, visit.patient, why)

    def unjoined_scans(self) -> Iterable[UnjoinedScan]:
        """Yield files of images that no visit has."""
        for scan in self._scans:
            if len(self._claimed.get(scan.image, [])) != 1:
                why = self._refused.get(scan.image, "no visit names it")
                yield UnjoinedScan(scan.file, scan.patient_id, scan.date, why)


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
    mm = lower = upper = automatic = origin = missing = None
    clip = None
    if best is not None and best.mm is not None:
        mm, automatic, clip = best.mm, best.automatic_mm, best.file
        origin = Origin.REVIEW if best.review in (ACCEPTED, CORRECTED) else Origin.AUTOMATIC
        lower = mm - half if best.lower_mm is None else best.lower_mm
        upper = mm + half if best.upper_mm is None else best.upper_mm
    else:
        refused = max(scans, key=_standing, default=None)
        if refused is not None:
            clip, automatic = refused.file, refused.automatic_mm
            missing = refused.refused
        if visit.reader_mm is not None:
            mm, origin, missing = visit.reader_mm, Origin.READER, None
            lower, upper = mm - half, mm + half
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
        repeats_mm=tuple(scan.mm for scan in measured if scan.mm is not None),
        missing=missing,
        clip=clip,
    )


def _standing(scan: Scan) -> tuple[bool, float, str]:
    return scan.review is not None, scan.quality, scan.file


def _baselines(
    visits: Iterable[Visit],
) -> tuple[dict[str, dict[str, float]], list[Problem]]:
    """Return the numbers of each woman; what two rows give differently is unknown and listed."""
    first: dict[tuple[str, str], tuple[float, int]] = {}
    differing: dict[tuple[str, str], Problem] = {}
    for visit in visits:
        for name, value in visit.baseline:
            known, row = first.setdefault((visit.patient, name), (value, visit.row))
            if known != value:
                words = (
                    f"is {value:g}, and {known:g} in row {row} of the same woman; it counts as "
                    "unknown."
                )
                column = f"baseline_{name}"
                differing.setdefault((visit.patient, name), Problem(visit.row, column, words))
    found: dict[str, dict[str, float]] = {visit.patient: {} for visit in visits}
    for (patient, name), (value, _) in first.items():
        if (patient, name) not in differing:
            found[patient][name] = value
    return found, list(differing.values())
