"""The page and the tables that `trial report` leaves in a folder."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from inference.records import Value
from inference.report.page import render
from inference.tables import make_folder, replacing, write_csv, write_json, writing
from trial.agreement import words as numbers_in_words
from trial.agreement.estimate import Estimate
from trial.agreement.words import with_ends
from trial.analysis.mixed import Mixed
from trial.analysis.numbers import NoResult
from trial.analysis.values import arms_of, baseline_of, by_cycle, in_phase, thickness
from trial.analysis.whole import Analysis
from trial.flat import write_flat
from trial.joining import Joined
from trial.observations import Observation, numbers
from trial.protocol import Protocol
from trial.report import charts, words
from trial.screening import Screened, Verdict
from trial.write_screening import write_screening

TEMPLATE = Path(__file__).with_name("report.html")
REPORT_HTML, ANALYSIS_JSON = "report.html", "analysis.json"
FLOWS = ("thickness", "outcomes")
THICKNESS = (
    "woman",
    "patient",
    "arm",
    "cycle",
    "cycle_type",
    "cycle_day",
    "phase",
    "thickness_mm",
    "lower_mm",
    "upper_mm",
    "origin",
    "automatic_mm",
    "change_mm",
)


@dataclass(frozen=True)
class Report:
    """What the report is made of."""

    found: Analysis
    joined: Joined
    screened: Sequence[Screened]
    protocol: Protocol
    versions: Mapping[str, str]


def write_report(out: Path, report: Report) -> None:
    """Write report.html, analysis.json and a table for every part of it.

    The page has no name of a woman: she goes by her number in the tables, which have both. A
    blinded analysis writes no table by woman at all: her line, her file or what somebody wrote into
    a cell can tell her arm. Raises OutputError.
    """
    make_folder(out)
    found = report.found
    with writing(out / ANALYSIS_JSON):
        write_json(out / ANALYSIS_JSON, found.as_json())
    for name, rows in _parts(found.as_json()):
        with writing(out / f"{name}.csv"):
            write_flat(out / f"{name}.csv", rows)
    if not found.blinded:
        with writing(out / "thickness.csv"):
            write_csv(out / "thickness.csv", THICKNESS, _thickness_rows(report))
        write_screening(out, report.screened, report.joined)
    with writing(out / REPORT_HTML), replacing(out / REPORT_HTML) as temporary:
        temporary.write_bytes(page(report).encode("utf-8", "backslashreplace"))


def page(report: Report) -> str:
    """Return the page."""
    found = report.found
    fitted = found.mixed if isinstance(found.mixed, Mixed) else None
    return render(
        TEMPLATE,
        found=found,
        protocol=report.protocol,
        w=words,
        n=numbers_in_words,
        points=words.main_points(found),
        warning=words.RANDOMISED if report.protocol.randomised else words.NOT_RANDOMISED,
        course=_course(report),
        changes=_changes(found),
        mixed=fitted,
        no_mixed=found.mixed.why if isinstance(found.mixed, NoResult) else None,
        terms=_terms(fitted) if fitted else None,
        rates=_rates(found),
        verdicts=[(v, sum(each.verdict is v for each in report.screened)) for v in Verdict],
        joined=report.joined,
        measured=sum(each.thickness_mm is not None for each in report.joined.observations),
        origins=_origins(report.joined.observations),
        sections=[
            (name, source.origin, source.assumption)
            for name, source in report.protocol.sources.items()
        ],
        versions=report.versions,
    )


def _arm_index(found: Analysis, arm: str | None) -> int | None:
    if found.blinded:
        return 0
    return found.arms.index(arm) if arm in found.arms else None


def _women(report: Report) -> Iterator[tuple[int, str, int, Mapping[int, Observation]]]:
    """Yield number, patient, arm from 0 and cycles of the women that are compared."""
    called = numbers(report.joined.observations)
    arms = arms_of(report.joined.observations)
    kept, _ = in_phase(report.joined.observations, report.found.phase)
    for patient, cycles in by_cycle(kept, report.found.phase).items():
        arm = _arm_index(report.found, arms[patient])
        if arm is not None:
            yield called[patient], patient, arm, cycles


def _course(report: Report) -> charts.Course | None:
    women = [
        (arm, f"woman {number}", {c: thickness(each) for c, each in cycles.items()})
        for number, _, arm, cycles in _women(report)
    ]
    if report.found.blinded:
        # A table is often sorted by arm: neither her number nor her place may tell it.
        women = sorted(
            ((arm, "", each) for arm, _, each in women), key=lambda w: sorted(w[2].items())
        )
    means = [
        (
            report.found.arms.index(each.arm),
            each.cycle,
            each.thickness.mean,
            f"{each.arm}, cycle {each.cycle}: "
            f"{words.mean(each.thickness)} mm, {each.thickness.n} women",
        )
        for each in report.found.thickness.means
        if each.thickness.mean is not None
    ]
    return charts.course(women, means, report.found.levels_mm)


def _changes(found: Analysis) -> charts.Forest | None:
    rows = [
        (
            found.arms.index(each.arm),
            f"cycle {each.cycle}, {each.arm}: {words.mean(each.change, True)} mm",
            each.change.mean,
        )
        for each in sorted(
            found.thickness.means, key=lambda each: (each.cycle, found.arms.index(each.arm))
        )
        if each.cycle >= 1 and each.change.mean is not None
    ]
    return charts.forest(rows)


def _terms(mixed: Mixed) -> charts.Forest | None:
    rows: list[tuple[int, str, Estimate]] = [
        (0, f"{each.name}: {with_ends(each.estimate, 2, sign=True)}", each.estimate)
        for each in mixed.terms
        if each.name != "intercept"
    ]
    return charts.forest(rows)


def _rates(found: Analysis) -> charts.Forest | None:
    rows = [
        (
            found.arms.index(each.arm),
            f"implantation, {each.arm}: {words.percent(each.rate.rate)} %",
            each.rate.rate,
        )
        for each in found.outcomes.implantation
        if each.rate is not None
    ]
    rows += [
        (
            found.arms.index(each.arm),
            f"pregnancy, {each.arm}: {words.count(each.pregnant)}",
            each.pregnant.share,
        )
        for each in found.outcomes.any_transfer.arms
        if each.pregnant.share is not None
    ]
    return charts.forest(rows, zero=None)


def _origins(observations: Sequence[Observation]) -> list[tuple[str, int]]:
    """Return who stands behind the thicknesses, and of how many."""
    return Counter(str(e.origin) for e in observations if e.origin is not None).most_common()


def _thickness_rows(report: Report) -> Iterator[dict[str, Value]]:
    """Yield the value that counts of every woman and cycle."""
    for number, patient, _, cycles in _women(report):
        start = baseline_of(cycles)
        for cycle, each in cycles.items():
            change = None
            if start is not None and cycle >= 1:
                change = thickness(each) - thickness(start)
            yield {
                "woman": number,
                "patient": patient,
                "arm": each.arm,
                "cycle": cycle,
                "cycle_type": each.cycle_type,
                "cycle_day": each.cycle_day,
                "phase": each.phase,
                "thickness_mm": each.thickness_mm,
                "lower_mm": each.lower_mm,
                "upper_mm": each.upper_mm,
                "origin": each.origin,
                "automatic_mm": each.automatic_mm,
                "change_mm": change,
            }


def _parts(content: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield the name and rows of the table of every part of the analysis."""
    thick, outcomes, error = content["thickness"], content["outcomes"], content["error"]
    yield "baseline", [{"arm": arm, **each} for arm, each in thick["baseline"].items()]
    yield "thin", list(thick["thin"])
    yield "means", list(thick["means"])
    yield "reached", [*thick["reached"]]
    yield "differences", [*thick["differences"], *thick["reached_differences"]]
    yield "mixed", list(content["mixed"].get("terms", ()))
    yield "implantation", list(outcomes["implantation"])
    pregnancies = (
        [{"of": what, **arm} for arm in outcomes[what]["arms"]]
        for what in ("any_transfer", "first_transfer")
    )
    yield "pregnancy", list(chain.from_iterable(pregnancies))
    yield (
        "outcome-differences",
        [
            {"of": "implantation", "difference": outcomes["implantation_difference"], "p": None},
            *(
                {"of": what, "difference": outcomes[what]["difference"], "p": outcomes[what]["p"]}
                for what in ("any_transfer", "first_transfer")
            ),
        ],
    )
    yield (
        "balance",
        [
            {
                "name": each["name"],
                **{side["arm"]: _without(side, "arm") for side in each["sides"]},
                "difference": each["difference"],
            }
            for each in content["balance"]
        ],
    )
    yield "error", [{"from": what, **(error[what] or {})} for what in ("intervals", "repeats")]
    yield "beyond", list(error["beyond"])
    overall = {"low_mm": None, "high_mm": None, "repeatability": content["repeats"]["overall"]}
    yield "repeats", [overall, *content["repeats"]["bins"]]
    yield "missing", [_in_words(row, "reasons") for row in content["flow"]["missing"]]
    flow = (
        [{"of": what, **_in_words(step, "lost")} for step in content["flow"][what]]
        for what in FLOWS
    )
    yield "flow", list(chain.from_iterable(flow))


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _in_words(row: Mapping[str, Any], counted: str) -> dict[str, Any]:
    """Return a row whose counts by reason are one cell, because reasons make poor columns."""
    return {**row, counted: "; ".join(f"{n} {why}" for why, n in row[counted].items())}
