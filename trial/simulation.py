"""A cohort that never was: visits, scans and outcomes whose truth is known.

It shows whether the analyses find that truth (benchmarks/trial_coverage.py), and stands in for a
study in demonstrations. It has the faults of a real one: women leave, scans are refused, visits
name a study that is not there or another woman's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from trial.analysis.error import Z_90
from trial.observations import Cancellation, CycleType, Observation, Origin, Transfer
from trial.simulation_truth import CYCLES, TRUTH, Truth

Cell = str | int | float | None
Row = Mapping[str, Cell]
COLUMNS = (
    "patient",
    "arm",
    "cycle",
    "cycle_type",
    "cycle_day",
    "phase",
    "date",
    "cancelled",
    "cancelled_because",
    "transfer",
    "embryos",
    "sacs",
    "clinical_pregnancy",
    "study",
    "baseline_age",
    "baseline_bmi",
)
SCREENING = (-1, 0)
# Half width of a 90 % interval, in standard deviations of a measurement's error.
HALF_WIDTH = Z_90
# Chances: a natural cycle, a visit more in the middle of the phase, a second scan of a visit, a
# refused scan, an identifier that is wrong, an outcome that nobody knows.
NATURAL, MIDDLE, REPEATED, REFUSED, WRONG, UNKNOWN = 0.3, 0.2, 0.25, 0.04, 0.03, 0.04
# Cycle days of the late proliferative visit, first and last, and of one before.
LATE_DAYS = {CycleType.HRT: (11, 16), CycleType.NATURAL: (11, 14)}
MIDDLE_DAYS = (8, 10)
NOT_MEASURED = "the scan could not be measured"
NO_STUDY = "no measurement of this study"
OTHER_WOMAN = "the study is of another patient"
FIRST_DAY = date(2025, 1, 6)


@dataclass(frozen=True)
class Scan:
    """A scan in the archive. `patient_id` is right, whatever the visits table says.

    `true_mm` is the thickness that there is; `refused` scans show none that could be measured.
    """

    study: str
    patient_id: str
    date: date
    true_mm: float
    refused: bool


@dataclass(frozen=True)
class Cohort:
    """A simulated cohort: its truth, its archive, its visits table, and what joining would give.

    `rows` have COLUMNS; the first is line 2 of the table. `observations` are as if every scan had
    been measured with the error of the truth.
    """

    truth: Truth
    scans: tuple[Scan, ...]
    rows: tuple[Row, ...]
    observations: tuple[Observation, ...]
    transfers: tuple[Transfer, ...]
    cancellations: tuple[Cancellation, ...]
    baselines: Mapping[str, Mapping[str, float]]


def simulate(seed: int, women: int = 60, truth: Truth = TRUTH) -> Cohort:
    """Return a cohort; the same seed gives the same. Raises ValueError for fewer than two women."""
    if women < 2:
        raise ValueError(f"a cohort of two arms needs two women or more, not {women}")
    maker = _Maker(truth, np.random.default_rng(seed))
    arms = maker.rng.permutation(np.arange(women) % 2)
    digits = max(3, len(str(women)))
    for number, arm in enumerate(arms, 1):
        maker.woman(f"S{number:0{digits}}", int(arm))
    return maker.cohort()


@dataclass
class _Visit:
    """What a visit becomes: its row, and what was measured."""

    row: dict[str, Cell]
    scans: list[Scan]
    observation: Observation


@dataclass
class _Maker:
    """Grows a cohort woman by woman."""

    truth: Truth
    rng: np.random.Generator
    visits: list[_Visit] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    ages: dict[str, float] = field(default_factory=dict)
    bmis: dict[str, float] = field(default_factory=dict)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def woman(self, patient: str, arm: int) -> None:
        """Follow a woman from her first cancelled cycle until she leaves."""
        truth, rng = self.truth, self.rng
        self.ages[patient] = float(round(rng.normal(33 + arm, 4), 1))
        self.bmis[patient] = float(round(rng.normal(22.5, 2.5), 1))
        own = rng.uniform(*truth.own_mm)
        response = rng.normal(0, truth.response_sd_mm)
        fertile = rng.beta(*truth.beta(arm))
        day = FIRST_DAY + timedelta(int(rng.integers(0, 365)))
        for cycle in (*SCREENING, *range(1, CYCLES + 1)):
            if cycle == 1:
                day += timedelta(60)
            if cycle >= 1 and self.chance(truth.drop_out[arm]):
                return
            kind = CycleType.NATURAL if self.chance(NATURAL) else CycleType.HRT
            level = own + truth.gain(arm, cycle) + (response if cycle >= 1 else 0)
            if self.chance(MIDDLE):
                on = int(rng.integers(MIDDLE_DAYS[0], MIDDLE_DAYS[1] + 1))
                self._visit(patient, arm, (cycle, kind, on, day), level)
            first, last = LATE_DAYS[kind]
            on = int(rng.integers(first, last + 1))
            true = self._visit(patient, arm, (cycle, kind, on, day), level)
            if cycle >= 1 and self.chance(truth.transfer):
                if self._transfer(fertile):
                    return
            else:
                thin = cycle < 1 or true < 6
                self._cancel("thin endometrium" if thin else "no embryo")
            day += timedelta(30)

    def _visit(
        self, patient: str, arm: int, when: tuple[int, CycleType, int, date], level: float
    ) -> float:
        """Add a visit in a cycle, of a type, on a day of it that began on a date."""
        truth, rng = self.truth, self.rng
        cycle, kind, on, begun = when
        true = level + truth.day_mm * (on - truth.day) + rng.normal(0, truth.visit_sd_mm)
        true += truth.natural_mm if kind is CycleType.NATURAL else 0.0
        true = max(true, 1.0)
        at = begun + timedelta(on - 1)
        study = f"2.25.{int(rng.integers(10**17, 10**18))}"
        count = 2 if self.chance(REPEATED) else 1
        scans = [Scan(study, patient, at, true, self.chance(REFUSED)) for _ in range(count)]
        found = [float(true + rng.normal(0, truth.error_sd_mm)) for s in scans if not s.refused]
        phase = "late_proliferative" if on >= 11 else "mid_proliferative"
        observation = Observation(
            row=len(self.visits) + 2,
            patient=patient,
            arm=truth.arms[arm],
            cycle=cycle,
            cycle_type=kind,
            cycle_day=on,
            phase=phase,
            date=at,
            thickness_mm=found[0] if found else None,
            lower_mm=found[0] - HALF_WIDTH * truth.error_sd_mm if found else None,
            upper_mm=found[0] + HALF_WIDTH * truth.error_sd_mm if found else None,
            origin=Origin.AUTOMATIC if found else None,
            automatic_mm=found[0] if found else None,
            repeats_mm=tuple(found),
            missing=None if found else NOT_MEASURED,
        )
        row: dict[str, Cell] = dict.fromkeys(COLUMNS) | {
            "patient": patient,
            "arm": truth.arms[arm],
            "cycle": cycle,
            "cycle_type": kind.value,
            "cycle_day": on,
            "phase": phase,
            "date": at.isoformat(),
            "study": study,
            "baseline_age": self.ages[patient],
            "baseline_bmi": self.bmis[patient],
        }
        self.visits.append(_Visit(row, scans, observation))
        return float(true)

    def _transfer(self, fertile: float) -> bool:
        """Add a transfer to the last visit; return whether she became pregnant."""
        visit = self.visits[-1]
        embryos = 2 if self.chance(self.truth.two_embryos) else 1
        sacs = int(self.rng.binomial(embryos, fertile))
        known = not self.chance(UNKNOWN)
        said, pregnant = (sacs, sacs > 0) if known else (None, None)
        visit.row |= {"cancelled": "no", "transfer": "yes", "embryos": embryos, "sacs": said}
        if pregnant is not None:
            visit.row["clinical_pregnancy"] = "yes" if pregnant else "no"
        seen = visit.observation
        self.transfers.append(
            Transfer(
                seen.row,
                seen.patient,
                seen.arm,
                seen.cycle,
                seen.cycle_type,
                embryos,
                said,
                pregnant,
            )
        )
        return sacs > 0

    def _cancel(self, because: str) -> None:
        """Say on the last visit that its cycle was cancelled."""
        visit = self.visits[-1]
        visit.row |= {"cancelled": "yes", "cancelled_because": because, "transfer": "no"}
        seen = visit.observation
        self.cancellations.append(
            Cancellation(seen.row, seen.patient, seen.cycle, seen.cycle_type, because)
        )

    def cohort(self) -> Cohort:
        """Return the cohort, with some of its identifiers made wrong."""
        for visit in self.visits:
            if self.chance(WRONG):
                self._mistake(visit)
        return Cohort(
            truth=self.truth,
            scans=tuple(scan for visit in self.visits for scan in visit.scans),
            rows=tuple(visit.row for visit in self.visits),
            observations=tuple(visit.observation for visit in self.visits),
            transfers=tuple(self.transfers),
            cancellations=tuple(self.cancellations),
            baselines={"age": self.ages, "BMI": self.bmis},
        )

    def _mistake(self, visit: _Visit) -> None:
        """Name a study of another woman, or one that is not there."""
        others = [v for v in self.visits if v.observation.patient != visit.observation.patient]
        if self.chance(0.5):
            other = others[int(self.rng.integers(len(others)))]
            visit.row["study"], why = other.scans[0].study, OTHER_WOMAN
        else:
            visit.row["study"], why = f"2.25.{int(self.rng.integers(10**17, 10**18))}", NO_STUDY
        visit.observation = replace(
            visit.observation,
            thickness_mm=None,
            lower_mm=None,
            upper_mm=None,
            origin=None,
            automatic_mm=None,
            repeats_mm=(),
            missing=why,
        )
