"""One self-contained page of an evaluation: tables, Bland and Altman's plot, the worst cases.

Cases go by their number in `cases.csv`: names of files and patients stay off the page, and so does
what is burned in around a picture.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.cases import Case, CasesError
from imaging.reasons import Reason
from inference.records import Status
from inference.report.page import render
from inference.report.plot import Plot, bland_altman
from inference.words import REASONS
from models.bundle import Bundle
from models.runtime import Runtime
from training.evaluate import measure_case
from training.pictures import (
    FOUND_COLOUR,
    TRUE_COLOUR,
    case_picture,
    risk_over_share,
)
from training.summary import Result, Summary
from training.trust import Trust, outcomes
from training.words import COLUMNS, short, summary_rows, trust_groups, trust_rows

if TYPE_CHECKING:
    from training.report import Evaluation

TEMPLATE = Path(__file__).with_name("report.html")
WORST = 20
# What counts how much, in mm of error: a number given for something else, and a number refused.
WRONG_MM, REFUSED_MM = 6.0, 1.5


@dataclass(frozen=True)
class Exhibit:
    """A case of the gallery: its number, what went wrong in words, groups, picture (data URI)."""

    case: int
    words: str
    groups: str
    picture: str | None


def badness(result: Result) -> float:
    """Return how bad a case is, in mm: the error, or what a miss or a false find counts as.

    0 for what is right, and for what could not be compared.
    """
    if result.status is Status.FAILED:
        return 0.0
    if not result.visible:
        return WRONG_MM if result.measured else 0.0
    if not result.measured:
        return REFUSED_MM + 0.1 * (1 - result.dice)
    wrong = WRONG_MM if result.drawn and not result.located else 0.0
    return max(abs(result.error_mm or 0.0), wrong)


def in_words(result: Result) -> str:
    """Return what was measured and what is true, without any name."""
    true = f"{result.true_mm:.1f} mm" if result.true_mm is not None else "unknown"
    if not result.measured or result.measured_mm is None:
        reason = REASONS[Reason(result.reason)] if result.reason else "no reason given"
        truth = f"True thickness {true}." if result.visible else "There is none to be seen."
        return f"Not measured: {reason}. {truth}{_drawn(result)}"
    said = f"Measured {result.measured_mm:.1f} mm"
    if result.lower_mm is not None and result.upper_mm is not None:
        said += f" ({result.lower_mm:.1f} to {result.upper_mm:.1f} mm)"
    if not result.visible:
        return f"{said} where no endometrium is to be seen."
    error = result.error_mm
    if error is not None:
        way = "too thick" if error > 0 else "too thin"
        said += f" instead of {true}: {abs(error):.1f} mm {way}"
    place = ", in a wrong place" if result.drawn and not result.located else ""
    return f"{said}{place}.{_drawn(result)}"


def page(evaluation: "Evaluation", cases: list[Case], bundle: Bundle, runtime: Runtime) -> str:
    """Return the page. `cases` are those of the results, in order; the worst are measured again."""
    return render(
        TEMPLATE,
        bundle=evaluation.bundle,
        sha256=evaluation.sha256,
        rows=summary_rows(evaluation),
        clear=evaluation.clear is not None,
        headings=[heading for heading, _, _ in COLUMNS],
        families={
            name: {group: _columns(summary) for group, summary in groups.items()}
            for name, groups in evaluation.families.items()
        },
        plot=_plot(evaluation),
        trust=_trust(evaluation.trust) if evaluation.trust else None,
        exhibits=_exhibits(evaluation.results, cases, bundle, runtime),
        true_colour=_css(TRUE_COLOUR),
        found_colour=_css(FOUND_COLOUR),
    )


def _drawn(result: Result) -> str:
    if result.fit is None:
        return " Nothing was outlined." if result.drawn and not result.outlined else ""
    line = result.fit.beside_mm
    beside = "" if line is None else f", centre lines {line:.1f} mm apart"
    return f" Dice {result.fit.dice:.2f}{beside}."


def _columns(summary: Summary) -> list[str]:
    return [short(summary, field, unit) for _, field, unit in COLUMNS]


def _plot(evaluation: "Evaluation") -> Plot | None:
    pairs = [
        (number, r.true_mm, r.measured_mm)
        for number, r in enumerate(evaluation.results, 1)
        if r.visible and r.true_mm is not None and r.measured_mm is not None
    ]
    named = (
        ("bias", evaluation.all.bias_mm),
        ("lower limit", evaluation.all.limit_low_mm),
        ("upper limit", evaluation.all.limit_high_mm),
    )
    lines = [
        (f"{words} {e.value:.2f} mm".replace("-", "−"), e.value, e.low, e.high)
        for words, e in named
        if e is not None
    ]
    return bland_altman(pairs, lines)


def _trust(trust: Trust) -> dict[str, Any]:
    points = [(kept.share, kept.mae_mm) for kept in trust.curve]
    columns = outcomes(trust.situations)
    return {
        "rows": trust_rows(trust),
        "groups": trust_groups(trust),
        "outcomes": [got.replace("_", " ") for got in columns],
        "situations": {
            name: [row.get(got, 0) for got in columns] for name, row in trust.situations.items()
        },
        "plot": risk_over_share(points, points[-1][1]) if points else None,
    }


def _exhibits(
    results: tuple[Result, ...], cases: list[Case], bundle: Bundle, runtime: Runtime
) -> list[Exhibit]:
    order = sorted(range(len(results)), key=lambda i: -badness(results[i]))
    found = []
    for i in order[:WORST]:
        if badness(results[i]) == 0:
            break
        groups = ", ".join(f"{name} {group}" for name, group in results[i].families.items())
        try:
            picture = case_picture(cases[i], measure_case(cases[i], bundle, runtime))
        except CasesError:
            picture = None
        found.append(Exhibit(i + 1, in_words(results[i]), groups, picture))
    return found


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
