"""The command line: the study, from visits and measurements to its evidence."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.base import end, usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trial.joining import Joined
    from trial.protocol import Protocol
    from trial.screening import Screened

commands = typer.Typer()
PROTOCOL = "NCT07176143"
# Rows that are named on the terminal; the tables have all.
MOST_NAMED = 10

Visits = Annotated[Path, typer.Argument(metavar="VISITS", help="The visits table, CSV or Parquet.")]
Run = Annotated[Path, typer.Option("--run", help="Folder that `measure --out` wrote.")]
Reviews = Annotated[
    Path | None,
    typer.Option(help="Table measurements-reviewed that `review-export` wrote, CSV or Parquet."),
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", metavar="NAME|FILE", help="A protocol that ships, or a TOML.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for the tables.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.callback()
def trial() -> None:
    """A study: who fits its criterion, how thickness changes over cycles and arms, what follows."""


@commands.command()
def screen(
    visits: Visits,
    run: Run,
    reviews: Reviews = None,
    protocol: ProtocolName = PROTOCOL,
    out: Out = None,
    brief: Annotated[bool, typer.Option("--brief", help="Print the counts alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say of each woman whether transfers were cancelled for a persistently thin endometrium.

    For instance:  [bold]endometer trial screen visits.csv --run results/ --out screening/[/bold]

    Exit status: 0 screened, 1 the folder cannot be written, 2 wrong usage.
    """
    from inference.tables import OutputError
    from trial.screening import screen as screen_women
    from trial.write_screening import write_screening

    joined, plan = read_study(visits, run, reviews, protocol)
    screened = screen_women(joined.observations, joined.cancellations, plan, joined.undecided)
    if as_json:
        content = _as_json(screened, joined, plan)
        typer.echo(json.dumps(content, ensure_ascii=False, allow_nan=False))
    else:
        _print(screened, joined, plan, brief=brief)
    if out is not None:
        try:
            write_screening(out, screened, joined)
        except OutputError as error:
            raise end(str(error)) from None
        typer.echo(f"endometer: screening.csv and the other tables are in {out}.", err=True)


def read_study(
    visits: Path, run: Path, reviews: Path | None, protocol: str
) -> "tuple[Joined, Protocol]":
    """Return visits joined to measurements; raise what ends a call with tables that are wrong."""
    from trial.joining import join
    from trial.protocol import ProtocolError, load_protocol
    from trial.scans import read_scans
    from trial.tables import TableError
    from trial.visits import read_visits

    try:
        plan = load_protocol(protocol)
        table = read_visits(visits, plan)
        scans, strays = read_scans(run, reviews)
    except (ProtocolError, TableError) as error:
        raise usage(str(error)) from None
    return join(table, scans, plan, strays), plan


def _as_json(screened: "Sequence[Screened]", joined: "Joined", plan: "Protocol") -> dict[str, Any]:
    """Return the answer without what anybody is called: women by number, visits by row."""
    from trial.screening import Evidence
    from trial.write_screening import why

    return {
        "protocol": plan.registration,
        "threshold_mm": plan.threshold_mm,
        "cancelled_cycles": plan.persistent.cancelled_cycles,
        "women": [
            {
                "woman": woman.number,
                "verdict": woman.verdict,
                **{str(each): woman.count(each) for each in Evidence},
                "why": why(woman),
                "for_yes": woman.for_yes,
                "for_no": woman.for_no,
                "settle": [
                    {
                        "row": step.row,
                        "cycle": step.cycle,
                        "date": step.date.isoformat() if step.date else None,
                        "do": step.todo,
                        "because": step.because,
                    }
                    for step in woman.steps
                ],
            }
            for woman in screened
        ],
        "visits": len(joined.observations),
        "measured": sum(each.thickness_mm is not None for each in joined.observations),
        "unjoined_visits": [{"row": each.row, "why": each.why} for each in joined.unjoined_visits],
        "unjoined_scans": Counter(each.why for each in joined.unjoined_scans),
        "problems": [
            {"row": each.row, "column": each.column, "problem": each.words}
            for each in joined.problems
        ],
    }


def _print(
    screened: "Sequence[Screened]", joined: "Joined", plan: "Protocol", *, brief: bool
) -> None:
    """Print a line for every woman, what would settle the open ones, and what did not join.

    In brief the counts alone.
    """
    from app.report import Screen, line
    from trial.screening import Verdict
    from trial.write_screening import step_words, why

    screen = Screen()

    def say(text: str) -> None:
        screen.print(line(text), soft_wrap=True)

    def some(heading: str, words: list[str]) -> None:
        """List what there is, at most MOST_NAMED of it."""
        if words:
            say(heading)
            for text in [] if brief else words[:MOST_NAMED]:
                say(f"  {text}")
            if len(words) > MOST_NAMED and not brief:
                say(f"  and {len(words) - MOST_NAMED} more; --out DIR writes all.")

    needed = plan.persistent
    say(
        f"{plan.registration}: {needed.cancelled_cycles} or more cycles before treatment cancelled "
        f"as thin, each below {plan.threshold_mm:g} mm in the {plan.title_of(needed.phase)} phase."
    )
    for woman in [] if brief else screened:
        say(f"woman {woman.number}: {woman.verdict}. {why(woman)}.")
        if woman.steps:
            say(
                f"  to settle it, in this order (a yes needs {woman.for_yes}, a no can come from "
                f"{woman.for_no}):"
            )
            for step in woman.steps:
                say(f"    {step_words(step)}")
    counts = Counter(woman.verdict for woman in screened)
    say(f"{len(screened)} women: " + ", ".join(f"{counts[each]} {each}" for each in Verdict) + ".")
    measured = sum(each.thickness_mm is not None for each in joined.observations)
    say(f"{len(joined.observations)} visits, {measured} with a thickness.")
    some(
        f"visits that lack a scan: {len(joined.unjoined_visits)}",
        [f"row {each.row}: {each.why}" for each in joined.unjoined_visits],
    )
    whys = Counter(each.why for each in joined.unjoined_scans)
    some(
        f"scans that belong to no visit: {len(joined.unjoined_scans)}",
        [f"{n}: {reason}" for reason, n in whys.most_common()],
    )
    some(
        f"problems in the tables: {len(joined.problems)}",
        [f"row {p.row}, {p.column} {p.words}" for p in joined.problems],
    )
