"""The visits table: who came when in which cycle, what became of the cycle, which scan was made.

docs/trial.md lists the columns. A table that is wrong as a whole is an error; a value that is wrong
is listed and counts as unknown; a row whose meaning is in doubt is listed and set aside.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from trial import visit_cells as cells
from trial.observations import CycleType
from trial.protocol import LAST_DAY, MOST_CYCLES, Protocol
from trial.tables import Line, TableError, read_table, require

REQUIRED = ("patient", "cycle", "cycle_type")
OPTIONAL = (
    "arm",
    "patient_id",
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
    "clip",
)
# Of each of these a table needs one column: when in the cycle, and which scan.
ONE_OF = (("cycle_day", "phase"), ("study", "clip", "date"))
READER = re.compile(r"reader_(.+)_mm")
BASELINE = re.compile(r"baseline_(.+)")
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """What is wrong in the visits table, in words without identity. `row` is its line there.

    `found` is what stands in the cell, which may be anything: for the user's tables alone.
    """

    row: int
    column: str
    words: str
    found: str = ""


@dataclass(frozen=True)
class Visit:
    """A row, its values checked; None where the cell is empty or wrong. Lengths in mm.

    `patient_id` is what the files call her: the column of that name, else `patient`.
    """

    row: int
    patient: str
    patient_id: str
    arm: str | None
    cycle: int
    cycle_type: CycleType | None
    cycle_day: int | None
    phase: str | None
    date: date | None
    cancelled: bool | None
    cancelled_because: str | None
    transfer: bool | None
    embryos: int | None
    sacs: int | None
    clinical_pregnancy: bool | None
    studies: tuple[str, ...]
    clips: tuple[str, ...]
    reader_mm: float | None
    baseline: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Visits:
    """The visits in the order of the table, and what was wrong in it."""

    rows: tuple[Visit, ...]
    problems: tuple[Problem, ...]


def read_visits(path: Path, protocol: Protocol) -> Visits:
    """Read a visits table, CSV or Parquet. Raises TableError for one that is wrong as a whole."""
    columns, lines = read_table(path)
    names = {name: name.strip().casefold() for name in columns}
    if len(set(names.values())) < len(names):
        raise TableError(f"{path} has two columns whose names differ in case or spaces alone.")
    require(path, names.values(), REQUIRED)
    for several in ONE_OF:
        if not set(several) & set(names.values()):
            raise TableError(f"{path} has no column {' or '.join(several)}; it needs one of them.")
    problems = list(_unknown_columns(names.values()))
    rows = []
    for line in lines:
        named = {names[name]: value for name, value in line.cells.items()}
        cleaned = replace(line, cells=named)
        # A spreadsheet leaves rows of separators behind; nothing in them is nothing lost.
        if any(cleaned.text(name) for name in named):
            row = _Row(cleaned, protocol)
            rows.append(row.visit())
            problems += row.problems
    if not rows:
        raise TableError(f"{path} has no rows; a row is a visit.")
    kept = [visit for visit in rows if visit is not None]
    kept = _without_copies(kept, problems)
    kept = _one_arm(kept, problems)
    problems.sort(key=lambda each: each.row)
    return Visits(tuple(kept), tuple(problems))


def _unknown_columns(names: Iterable[str]) -> Iterable[Problem]:
    known = (*REQUIRED, *OPTIONAL)
    for name in names:
        if name in known or READER.fullmatch(name) or BASELINE.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Is {close[0]} meant?" if close else ""
        yield Problem(1, name, f"no column of this name is read.{hint}")


class _Row:
    """Reads the cells of a line and gathers what is wrong in them."""

    def __init__(self, line: Line, protocol: Protocol) -> None:
        self._line, self._protocol = line, protocol
        self.problems: list[Problem] = []

    def visit(self) -> Visit | None:
        """Return the visit, None where the row is set aside."""
        line = self._line
        patient = line.text("patient")
        if not patient:
            self._problem("patient", "is empty: whose visit is it? The row is set aside.")
            return None
        cycle = self._cell("cycle", lambda text: cells.whole(text, -MOST_CYCLES, MOST_CYCLES))
        if cycle is None:
            if not line.text("cycle"):
                self._problem("cycle", "is empty.")
            self._problem("cycle", "says not which cycle it was: the row is set aside.")
            return None
        cycle_type = self._cell("cycle_type", cells.cycle_type)
        cycle_day = self._cell("cycle_day", lambda text: cells.whole(text, 1, LAST_DAY))
        phase = self._cell("phase", self._phase)
        readers = [
            self._cell(name, cells.millimetres) for name in line.cells if READER.fullmatch(name)
        ]
        mm = [each for each in readers if each is not None]
        visit = Visit(
            row=line.number,
            patient=patient,
            patient_id=line.text("patient_id") or patient,
            arm=self._cell("arm", self._arm),
            cycle=cycle,
            cycle_type=cycle_type,
            cycle_day=cycle_day,
            phase=phase or self._protocol.phase_of(cycle_type, cycle_day),
            date=self._cell("date", cells.day),
            cancelled=self._cell("cancelled", cells.yes_or_no),
            cancelled_because=line.text("cancelled_because") or None,
            transfer=self._cell("transfer", cells.yes_or_no),
            embryos=self._cell("embryos", cells.embryos),
            sacs=self._cell("sacs", cells.embryos),
            clinical_pregnancy=self._cell("clinical_pregnancy", cells.yes_or_no),
            studies=cells.several(line.text("study")),
            clips=cells.several(line.text("clip")),
            reader_mm=fmean(mm) if mm else None,
            baseline=tuple(self._baseline()),
        )
        return self._consistent(visit)

    def _problem(self, column: str, words: str, found: str = "") -> None:
        self.problems.append(Problem(self._line.number, column, words, found))

    def _cell(self, name: str, read: Callable[[str], T]) -> T | None:
        text = self._line.text(name)
        if not text:
            return None
        try:
            return read(text)
        except ValueError as error:
            self._problem(name, f"cannot be used: {error}. It counts as unknown.", text[:40])
            return None

    def _arm(self, text: str) -> str:
        found = self._protocol.arm(text)
        if found is None:
            arms = ", ".join(arm.key for arm in self._protocol.arms)
            raise ValueError(f"the protocol has the arms {arms}")
        return found

    def _phase(self, text: str) -> str:
        found = self._protocol.phase(text)
        if found is None:
            phases = ", ".join(phase.key for phase in self._protocol.phases)
            raise ValueError(f"the protocol has the phases {phases}")
        return found

    def _baseline(self) -> Iterable[tuple[str, float]]:
        for name in self._line.cells:
            if found := BASELINE.fullmatch(name):
                value = self._cell(name, cells.measure)
                if value is not None:
                    yield found[1], value

    def _consistent(self, visit: Visit) -> Visit:
        """Set to unknown what two cells of the row deny each other."""
        if visit.sacs is not None and visit.embryos is not None and visit.sacs > visit.embryos:
            self._problem(
                "sacs",
                f"is {visit.sacs} of {visit.embryos} embryos; an embryo that split counts one sac. "
                "It counts as unknown.",
            )
            visit = replace(visit, sacs=None)
        if visit.sacs and visit.clinical_pregnancy is False:
            self._problem(
                "clinical_pregnancy",
                f"is no with {visit.sacs} sacs with a heartbeat; both count as unknown.",
            )
            visit = replace(visit, sacs=None, clinical_pregnancy=None)
        if visit.cancelled_because and visit.cancelled is not True:
            self._problem(
                "cancelled",
                "is not yes in a row with a reason; whether the transfer was cancelled counts as "
                "unknown.",
            )
            visit = replace(visit, cancelled=None)
        return visit


# What a second row of the same visit may add to the first.
ADDED = (
    "arm",
    "cancelled",
    "cancelled_because",
    "transfer",
    "embryos",
    "sacs",
    "clinical_pregnancy",
    "reader_mm",
)


def _without_copies(visits: list[Visit], problems: list[Problem]) -> list[Visit]:
    """Make one visit of rows that are the same one: a second scan of it would count twice.

    What one row leaves empty the other may say; what they say differently counts as unknown.
    """
    first: dict[tuple[object, ...], Visit] = {}
    for visit in visits:
        key = (
            visit.patient,
            visit.cycle,
            visit.cycle_type,
            visit.cycle_day,
            visit.phase,
            visit.date,
            visit.studies,
            visit.clips,
        )
        if (earlier := first.setdefault(key, visit)) is not visit:
            words = f"this row is the same visit as row {earlier.row}: the two count as one."
            problems.append(Problem(visit.row, "patient", words))
            first[key] = _merged(earlier, visit, problems)
    return list(first.values())


def _merged(earlier: Visit, visit: Visit, problems: list[Problem]) -> Visit:
    values: dict[str, Any] = {}
    for name in ADDED:
        one, other = getattr(earlier, name), getattr(visit, name)
        if one is not None and other is not None and one != other:
            words = f"differs from row {earlier.row}, the same visit; it counts as unknown."
            problems.append(Problem(visit.row, name, words, str(other)))
            values[name] = None
        else:
            values[name] = other if one is None else one
    return replace(earlier, baseline=(*earlier.baseline, *visit.baseline), **values)


def _one_arm(visits: list[Visit], problems: list[Problem]) -> list[Visit]:
    """Give a woman's arm to all her visits; none where the table has her in two."""
    arms: dict[str, dict[str, int]] = {}
    for visit in visits:
        if visit.arm is not None:
            arms.setdefault(visit.patient, {}).setdefault(visit.arm, visit.row)
    for found in arms.values():
        (first, row), *others = found.items()
        problems += [
            Problem(
                other_row,
                "arm",
                f"differs from row {row} of the same woman; her arm counts as unknown.",
                f"{other}, and {first} in row {row}",
            )
            for other, other_row in others
        ]
    one = {patient: next(iter(found)) for patient, found in arms.items() if len(found) == 1}
    return [replace(visit, arm=one.get(visit.patient)) for visit in visits]
