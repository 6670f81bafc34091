"""The files that an evaluation leaves: a page for people, tables for programs."""

import csv
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from data.cases import Case
from models.bundle import Bundle
from models.runtime import Runtime
from training.metrics import Fit
from training.summary import Result, Summary, by_family, summarise
from training.trust import Trust, trust_of

CASES_CSV, SUMMARY_JSON, REPORT_HTML = "cases.csv", "summary.json", "report.html"
# Cases that nobody can be sure of: the reader was not, or there is no contrast to be seen.
UNCLEAR = (("confidence", "low"), ("pattern", "isoechoic"))


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known of a bundle on a set of cases.

    `clear` leaves out what is UNCLEAR; None if nothing is.
    """

    bundle: str
    sha256: str
    results: tuple[Result, ...]
    all: Summary
    clear: Summary | None
    families: dict[str, dict[str, Summary]]
    trust: Trust | None = None
    """Only if it was asked for."""

    def as_json(self) -> dict[str, Any]:
        """Return the content of `summary.json`: numbers only, no names of files."""
        return {
            "bundle": {"name": self.bundle, "sha256": self.sha256},
            "all": asdict(self.all),
            "clear": self.clear and asdict(self.clear),
            "families": {
                name: {group: asdict(summary) for group, summary in groups.items()}
                for name, groups in self.families.items()
            },
            **({"trust": asdict(self.trust)} if self.trust else {}),
        }


def summary_of(results: list[Result], bundle: Bundle, *, trust: bool = False) -> Evaluation:
    """Sum up the results of a bundle, with what they say about `trust` if that is asked for."""
    clear = [r for r in results if not any(pair in r.families.items() for pair in UNCLEAR)]
    return Evaluation(
        bundle=bundle.name,
        sha256=bundle.sha256,
        results=tuple(results),
        all=summarise(results),
        clear=summarise(clear) if len(clear) < len(results) else None,
        families=by_family(results),
        trust=trust_of(results) if trust else None,
    )


def write_report(
    out: Path, evaluation: Evaluation, cases: list[Case], bundle: Bundle, runtime: Runtime
) -> None:
    """Write `report.html`, `cases.csv` and `summary.json` into a folder. Raises OSError.

    The worst cases are measured once more for their pictures.
    """
    from training.gallery import page

    out.mkdir(parents=True, exist_ok=True)
    write_cases(evaluation.results, out / CASES_CSV)
    text = json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    (out / SUMMARY_JSON).write_text(text + "\n", encoding="utf-8")
    (out / REPORT_HTML).write_text(page(evaluation, cases, bundle, runtime), encoding="utf-8")


def write_cases(results: tuple[Result, ...], path: Path) -> None:
    """Write a row per case, in order; `case` counts from 1. Raises OSError."""
    families = list(dict.fromkeys(name for r in results for name in r.families))
    own = [f.name for f in fields(Result) if f.name not in ("families", "fit")]
    of_fit = [f.name for f in fields(Fit)]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", *own, "error_mm", *of_fit, *families])
        for number, result in enumerate(results, 1):
            table.writerow(
                [
                    number,
                    *(getattr(result, name) for name in own),
                    result.error_mm,
                    *(getattr(result.fit, name) if result.fit else None for name in of_fit),
                    *(result.families.get(name) for name in families),
                ]
            )
