"""What the terminal shows of an evaluation."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from app.report import line
from inference.records import Status
from models.bundle import IntervalTable
from training.calibrate import CONFIDENCE, usable
from training.recalibrate import Bin
from training.report import Evaluation
from training.summary import Result, Summary
from training.trust import Trust, outcomes
from training.words import COLUMNS, short, summary_rows, trust_groups, trust_rows

# Columns of text where the width of the screen is unknown: in a file or a pipe.
WIDE = 132


@contextmanager
def progress(
    stream: TextIO, total: int | None, what: str = "cases"
) -> Iterator[Callable[[], None]]:
    """Show a bar on `stream` if it is a terminal; yields what to call after each of `total`
    (None: nobody knows)."""
    screen = Console(file=stream)
    with Progress(console=screen, disable=not stream.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the summary, the families in short and what could not be compared."""
    screen = Console(markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = WIDE
    table = Table("", "all", "95 % interval", box=None, pad_edge=False)
    if evaluation.clear:
        table.add_column("clear cases")
        table.add_column("95 % interval")
    for name, cells in summary_rows(evaluation):
        table.add_row(name, *(text for pair in cells for text in pair))
    screen.print(table)
    if evaluation.families:
        screen.print()
        screen.print(_families(evaluation.families))
    if evaluation.trust:
        _print_trust(screen, evaluation.trust)
    for result in evaluation.results:
        if result.status is Status.FAILED:
            text = f"{result.name} failed: {result.message}"
            screen.print(Text(line(text)), soft_wrap=True)


def _print_trust(screen: Console, trust: Trust) -> None:
    table = Table("trust", "", "95 % interval", box=None, pad_edge=False)
    for row in trust_rows(trust):
        table.add_row(*row)
    screen.print()
    screen.print(table)
    table = Table(box=None, pad_edge=False)
    for heading in ("intervals", "measured", "hold the truth", "95 % interval", "half width"):
        table.add_column(heading)
    for group in trust_groups(trust):
        table.add_row(*group)
    screen.print()
    screen.print(table)
    columns = outcomes(trust.situations)
    table = Table(
        "what each got", *(c.replace("_", " ") for c in columns), box=None, pad_edge=False
    )
    for name, counts in trust.situations.items():
        table.add_row(name, *(str(counts.get(got, "")) for got in columns))
    screen.print()
    screen.print(table)


def print_calibration(results: list[Result], bins: list[Bin], table: IntervalTable) -> None:
    """Print what intervals were fitted on, and how wide they became."""
    screen = Console(markup=False, emoji=False)
    judged = len(usable(results))
    screen.print(
        f"{judged} of {len(results)} cases were measured and have a known thickness.",
        soft_wrap=True,
    )
    headings = ("measured thickness", "patients", "below it", "above it")
    shown = Table(*headings, box=None, pad_edge=False)
    for each in bins:
        upper = f"to {each.high_mm:g} mm" if math.isfinite(each.high_mm) else "mm and more"
        reach = (f"{each.below_mm:.2f} mm", f"{each.above_mm:.2f} mm")
        shown.add_row(f"{each.low_mm:g} {upper}", str(each.patients), *reach)
    screen.print(shown)
    screen.print(
        f"Intervals hold at least {table.nominal:.0%} of patients like these, in each of these "
        f"rows with a confidence of {CONFIDENCE:.0%}.",
        soft_wrap=True,
    )


def _families(families: dict[str, dict[str, Summary]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("by", no_wrap=True)
    for heading, _, _ in COLUMNS:
        table.add_column(heading, justify="right")
    for name, groups in families.items():
        table.add_row(name, style="bold")
        for group, summary in groups.items():
            table.add_row(f"  {group}", *(short(summary, f, unit) for _, f, unit in COLUMNS))
    return table
