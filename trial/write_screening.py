"""What `trial screen` leaves in a folder: tables for programs and for the study's own records."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from inference.records import Value
from inference.tables import make_folder, write_csv, writing
from trial.joining import Joined
from trial.observations import Observation, Reading, numbers
from trial.screening import Evidence, Screened, Step

SCREENING = (
    "woman",
    "patient",
    "verdict",
    "shown",
    "open",
    "against",
    "shown_rows",
    "for_yes",
    "for_no",
    "settle",
    "settle_rows",
    "settle_clips",
    "why",
)
UNJOINED = ("what", "row", "patient", "file", "date", "why")
PROBLEMS = ("row", "column", "problem", "found")
OBSERVATIONS = ("woman", *(field.name for field in fields(Observation)))
# Between several values in one cell.
BETWEEN = "; "

Row = dict[str, Value]


def write_screening(out: Path, screened: Sequence[Screened], joined: Joined) -> None:
    """Write screening.csv, observations.csv, unjoined.csv and problems.csv.

    They hold what the visits table calls each woman. Raises OutputError.
    """
    make_folder(out)
    tables: tuple[tuple[str, tuple[str, ...], Iterator[Row]], ...] = (
        ("screening.csv", SCREENING, map(_screened, screened)),
        ("observations.csv", OBSERVATIONS, _observations(joined)),
        ("unjoined.csv", UNJOINED, _unjoined(joined)),
        ("problems.csv", PROBLEMS, _problems(joined)),
    )
    for name, names, rows in tables:
        with writing(out / name):
            write_csv(out / name, names, rows)


def why(woman: Screened) -> str:
    """Return what every cycle before treatment says, in words without identity."""
    said = [f"cycle {each.cycle}: {each.words}" for each in woman.cycles]
    return BETWEEN.join(said) or "no cancelled cycle before treatment"


def step_words(step: Step) -> str:
    """Return what to do, where and why, in words without identity."""
    when = f", {step.date}" if step.date else ""
    return f"row {step.row} (cycle {step.cycle}{when}): {step.todo}: {step.because}"


def _screened(woman: Screened) -> Row:
    shown = [row for each in woman.cycles for row in each.rows if each.evidence is Evidence.SHOWN]
    return {
        "woman": woman.number,
        "patient": woman.patient,
        "verdict": woman.verdict,
        "shown": woman.count(Evidence.SHOWN),
        "open": woman.count(Evidence.OPEN),
        "against": woman.count(Evidence.AGAINST),
        "shown_rows": BETWEEN.join(map(str, shown)),
        "for_yes": woman.for_yes,
        "for_no": woman.for_no,
        "settle": BETWEEN.join(map(step_words, woman.steps)),
        "settle_rows": BETWEEN.join(str(step.row) for step in woman.steps),
        "settle_clips": BETWEEN.join(step.clip for step in woman.steps if step.clip),
        "why": why(woman),
    }


def _observations(joined: Joined) -> Iterator[Row]:
    women = numbers(joined.observations)
    for each in joined.observations:
        values = {field.name: _cell(getattr(each, field.name)) for field in fields(each)}
        yield {"woman": women[each.patient], **values}


def _cell(value: Any) -> Value:
    if isinstance(value, Reading):
        return f"{value.mm:g} ({value.lower_mm:g} to {value.upper_mm:g})"
    if isinstance(value, tuple):
        return BETWEEN.join(str(_cell(each)) for each in value)
    return value.isoformat() if isinstance(value, date) else value


def _unjoined(joined: Joined) -> Iterator[Row]:
    empty: Row = dict.fromkeys(UNJOINED)
    for visit in joined.unjoined_visits:
        yield empty | {
            "what": "visit",
            "row": visit.row,
            "patient": visit.patient,
            "why": visit.why,
        }
    for scan in joined.unjoined_scans:
        yield empty | {
            "what": "scan",
            "patient": scan.patient_id,
            "file": scan.file,
            "date": scan.date.isoformat() if scan.date else None,
            "why": scan.why,
        }


def _problems(joined: Joined) -> Iterator[Row]:
    for each in joined.problems:
        yield {
            "row": each.row,
            "column": each.column,
            "problem": each.words,
            "found": each.found or None,
        }
