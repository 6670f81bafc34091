"""What `agree` leaves in a folder: tables for programs, and one self-contained page."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from inference.records import Value
from inference.report.page import render
from inference.report.plot import Plot, bland_altman, one_against_other
from inference.tables import replacing, write_csv, write_json
from trial.agreement import words
from trial.agreement.analysis import Agreement, Pair
from trial.agreement.study import State, Study
from trial.flat import write_flat

TEMPLATE = Path(__file__).with_name("agree.html")
AGREE_JSON, AGREE_HTML = "agree.json", "agree.html"
# Pairs that are drawn; the tables have all.
MOST_DRAWN = 15


def write_agreement(out: Path, found: Agreement, study: Study) -> None:
    """Write `agree.html`, `agree.json`, `readers.csv`, `pairs.csv`, `cases.csv`, `unjoined.csv`.

    Raises OSError. Cases go by their number in `cases.csv` on the page, which has no name of a
    file or a patient.
    """
    out.mkdir(parents=True, exist_ok=True)
    content = found.as_json()
    write_json(out / AGREE_JSON, content)
    write_flat(out / "readers.csv", content["readers"])
    write_flat(out / "pairs.csv", content["pairs"])
    names = [reader.name for reader in study.readers]
    columns = ["number", "case", "patient"]
    columns += [f"{name}_{what}" for name in names for what in ("mm", "readings", "state")]
    write_csv(out / "cases.csv", columns, map(dict, _case_rows(study)))
    rows = list(_unjoined(study))
    write_csv(out / "unjoined.csv", ["number", "case", "in", "not_in"], rows)
    with replacing(out / AGREE_HTML) as temporary:
        temporary.write_bytes(page(found, study).encode("utf-8", "backslashreplace"))


def page(found: Agreement, study: Study) -> str:
    """Return the page."""
    return render(
        TEMPLATE,
        found=found,
        w=words,
        intervals=words.intervals(found),
        methods=words.METHODS,
        pairs=[
            (pair, words.pair_words(pair, found.threshold_mm), *_plots(pair, study))
            for pair in found.pairs[:MOST_DRAWN]
        ],
        left_out=len(found.pairs) - len(found.pairs[:MOST_DRAWN]),
        interchange=words.interchange_rows(found),
        unjoined=sum(1 for _ in _unjoined(study)),
    )


def _plots(pair: Pair, study: Study) -> tuple[Plot | None, Plot | None]:
    """Return Bland and Altman's plot of the first over the second reader, and one of both."""
    by_name = {reader.name: reader for reader in study.readers}
    first, second = by_name[pair.first].readings, by_name[pair.second].readings
    dots = [
        (i, float(np.mean(second[i - 1])), float(np.mean(first[i - 1])))
        for i in range(1, len(study.cases) + 1)
        if len(first[i - 1]) and len(second[i - 1])
    ]
    lines = []
    if limits := pair.limits:
        named = (("bias", limits.bias), ("lower limit", limits.low), ("upper limit", limits.high))
        lines = [
            (f"{name} {words.number(e.value, sign=True)} mm", e.value, e.low, e.high)
            for name, e in named
        ]
    line = None
    if pair.deming:
        line = "Deming's line", pair.deming.slope.value, pair.deming.intercept.value
    across = [(i, x, y) for i, y, x in dots]  # Deming's line is of the second over the first
    return bland_altman(dots, lines), one_against_other(across, line)


def _case_rows(study: Study) -> Iterable[Mapping[str, Value]]:
    for i, case in enumerate(study.cases):
        row: dict[str, Value] = {
            "number": i + 1,
            "case": case,
            "patient": int(study.groups[i]) + 1,
        }
        for reader in study.readers:
            each = reader.readings[i]
            row[f"{reader.name}_mm"] = float(each.mean()) if len(each) else None
            row[f"{reader.name}_readings"] = len(each)
            row[f"{reader.name}_state"] = reader.states[i]
        yield row


def _unjoined(study: Study) -> Iterable[dict[str, Value]]:
    """Yield the cases that some reader does not have."""
    for i, case in enumerate(study.cases):
        absent = [r.name for r in study.readers if r.states[i] is State.ABSENT]
        if absent:
            there = [r.name for r in study.readers if r.states[i] is not State.ABSENT]
            yield {
                "number": i + 1,
                "case": case,
                "in": ", ".join(there),
                "not_in": ", ".join(absent),
            }
