"""What `compare` leaves: a row per case, the numbers, and one self-contained page.

Cases go by their number in `compare.csv`: names of files and patients stay off the page.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cases import Case, CasesError
from inference.report.page import render
from inference.report.plot import Plot, one_against_other
from training.compare import (
    BETTER,
    TOO_FEW,
    WORSE,
    Comparison,
    Endpoint,
    Pair,
    changed_most,
    score_mm,
)
from training.duel import Corner, Key, Paired
from training.evaluate import measure_case
from training.gallery import in_words
from training.pictures import FOUND_COLOUR, TRUE_COLOUR, case_picture
from training.words import number

TEMPLATE = Path(__file__).with_name("compare.html")
COMPARE_CSV, COMPARE_JSON, COMPARE_HTML = "compare.csv", "compare.json", "compare.html"
# Pictures of cases on which one is better, and as many of those on which the other is.
MOST_SHOWN = 8
_OF_SIDE = (
    "status",
    "reason",
    "measured_mm",
    "lower_mm",
    "upper_mm",
    "call",
    "quality",
    "error_mm",
    "outlined",
    "located",
)


@dataclass(frozen=True)
class Exhibit:
    """A case that changed: its number, what each side came to, groups, pictures (data URIs)."""

    case: int
    a: str
    b: str
    groups: str
    pictures: tuple[str, ...]


def write_comparison(
    out: Path,
    found: Comparison,
    both: Paired,
    cases: Mapping[Key, Case],
    corners: tuple[Corner, Corner],
) -> None:
    """Write `compare.html`, `compare.csv` and `compare.json` into a folder. Raises OSError.

    `cases` holds those of the data set (see `numbered`), for pictures; what changed most is
    measured once more by the sides that can.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_cases(both.pairs, out / COMPARE_CSV)
    text = json.dumps(found.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    (out / COMPARE_JSON).write_text(text + "\n", encoding="utf-8")
    (out / COMPARE_HTML).write_text(page(found, both, cases, corners), encoding="utf-8")


def write_cases(pairs: Sequence[Pair], path: Path) -> None:
    """Write a row per case in order, counted from 1. Raises OSError."""
    dices = ("dice", "dice_endometrium", "dice_fluid")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        head = ["case", "name", "patient", "visible", "true_mm", "score_a_minus_b_mm"]
        for side in "ab":
            head += [f"{name}_{side}" for name in (*_OF_SIDE, "score_mm", *dices)]
        table.writerow(head)
        for i, pair in enumerate(pairs, 1):
            first = pair[0]
            scores = [score_mm(result) for result in pair]
            gap = None if None in scores else (scores[0] or 0.0) - (scores[1] or 0.0)
            row = [i, first.name, first.patient, first.visible, first.true_mm, gap]
            for result, score in zip(pair, scores, strict=True):
                row += [getattr(result, name) for name in _OF_SIDE]
                row += [score, result.dice if result.drawn else None]
                row += [result.dice_of(label) for label in ("endometrium", "fluid")]
            table.writerow(row)


def page(
    found: Comparison,
    both: Paired,
    cases: Mapping[Key, Case],
    corners: tuple[Corner, Corner],
) -> str:
    """Return the page."""
    better, worse = changed_most(both.pairs, MOST_SHOWN)

    def show(i: int) -> Exhibit:
        one, two = both.pairs[i]
        groups = ", ".join(f"{name} {group}" for name, group in one.families.items())
        pictures = _pictures(cases.get(both.keys[i]), corners)
        return Exhibit(i + 1, in_words(one), in_words(two), groups, pictures)

    a, b = _names(found)
    return render(
        TEMPLATE,
        found=found,
        a=a,
        b=b,
        sentence=sentence(found),
        notes=notes(found, both),
        rows=[cells(each) for each in found.endpoints],
        groups=[(each.family, each.group, cells(each.endpoint)) for each in found.groups],
        plot=_plot(both.pairs) if found.millimetres else None,
        listings=[
            (f"{a} is better", [show(i) for i in better]),
            (f"{b} is better", [show(i) for i in worse]),
        ],
        drawn=any(corner.model for corner in corners) and bool(cases),
        true_colour="#{:02x}{:02x}{:02x}".format(*TRUE_COLOUR),
        found_colour="#{:02x}{:02x}{:02x}".format(*FOUND_COLOUR),
    )


def sentence(found: Comparison) -> str:
    """Return what the primary endpoint says, plainly."""
    a, b = _names(found)
    main = found.decides
    if main is None:
        return f"Nothing is shown about {a} and {b}: no case could be compared."
    value = f"{main.name}: {' against '.join(cells(main)[2:4])}, difference {cells(main)[4]}"
    if cells(main)[5]:
        value += f" ({cells(main)[5]})"
    if main.verdict in (BETTER, WORSE):
        return f"{a} is {main.verdict} than {b}. {value}."
    why = f": {TOO_FEW}" if main.verdict == TOO_FEW else ""
    return f"That {a} is better or worse than {b} is not shown{why}. {value}."


def notes(found: Comparison, both: Paired) -> list[str]:
    """Return what has to be known to read the numbers."""
    main = found.decides
    said = [
        f"One endpoint decides, chosen beforehand: {main.name if main else 'none'}. The others "
        "describe; no correction is made for their number, so one of twenty excludes 0 by chance.",
        "Differences are paired by case, A − B, and their 95 % intervals are by bootstrap over "
        f"patients (seed {found.seed}); better or worse is said where the interval excludes 0. "
        "There is none of fewer than eight patients.",
    ]
    if not found.millimetres:
        said.append(
            "No case has a measured thickness and a true one in mm: outlines alone are compared. "
            "Without a scale nothing can be said about millimetres or refusals."
        )
    for name, n in zip(_names(found), (both.only_a, both.only_b), strict=True):
        if n:
            said.append(f"{n} cases were judged for {name} alone, and are left out.")
    if found.failed_both:
        said.append(f"{found.failed_both} cases could not be read or compared, and are left out.")
    for name, n in ((_names(found)[0], found.failed_a), (_names(found)[1], found.failed_b)):
        if n:
            said.append(f"{n} cases failed for {name} alone, and count as refused by it.")
    return said


def cells(endpoint: Endpoint) -> tuple[str, ...]:
    """Return name, cases, A, B, difference, its interval, and verdict, with units."""
    unit = endpoint.unit
    after = {"1": "", "%": " %", "mm": " mm"}[unit]
    found = endpoint.difference
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f"{_signed(found.low, unit)} to {_signed(found.high, unit)}"
    a, b = (number(value, unit) for value in (endpoint.a, endpoint.b))
    if endpoint.key == "bias_mm":
        a, b = (_signed(value, unit, 2) for value in (endpoint.a, endpoint.b))
    return (
        endpoint.name,
        str(endpoint.n),
        a + after,
        b + after,
        _signed(found.value, unit) + after,
        ends,
        endpoint.verdict,
    )


def _signed(value: float, unit: str, digits: int = 3) -> str:
    # An interval that ends just beside 0 must not look as if it held it.
    text = f"{value:.{digits}f}".replace("-", "−") if unit in ("1", "mm") else number(value, unit)
    bare = text.lstrip("−")
    if not float(bare):
        return bare
    return text if text.startswith("−") else f"+{text}"


def _names(found: Comparison) -> tuple[str, str]:
    """Return what both are called: by letter, too, where they share a name."""
    if found.a.name == found.b.name:
        return f"A ({found.a.name})", f"B ({found.b.name})"
    return found.a.name, found.b.name


def _plot(pairs: Sequence[Pair]) -> Plot | None:
    dots = [
        (i, abs(a.error_mm), abs(b.error_mm))
        for i, (a, b) in enumerate(pairs, 1)
        if a.error_mm is not None and b.error_mm is not None and a.visible
    ]
    return one_against_other(dots, None)


def _pictures(case: Case | None, corners: tuple[Corner, Corner]) -> tuple[str, ...]:
    """Return one picture of both sides, or one of each where they chose different frames."""
    if case is None:
        return ()
    try:
        clips = [
            measure_case(case, corner.model.bundle, corner.model.runtime)
            for corner in corners
            if corner.model
        ]
    except CasesError:
        return ()
    frames = {clip.record.best.frame or 1 for clip in clips}
    if not clips:
        return ()
    together = [clips] if len(frames) == 1 else [[clip] for clip in clips]
    found = (case_picture(case, *each) for each in together)
    return tuple(picture for picture in found if picture)
