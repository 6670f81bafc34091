"""Whose a scan is: what visits name, what fits them, and why the rest belongs to nobody."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from trial.scans import Scan
from trial.visits import Visit

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


class Claims:
    """Which visit each image belongs to, and why the others belong to none."""

    def __init__(self, visits: Sequence[Visit], scans: Sequence[Scan]) -> None:
        """Settle whose every scan is."""
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
            return "the file is of another day than the row"
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
