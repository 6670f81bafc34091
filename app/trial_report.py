"""The command line: the study's report, and how far repeated scans of a visit agree."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import FAILED, end, usage
from app.trial import PROTOCOL, AsJson, ProtocolName, Reviews, Run, Visits, read_study

if TYPE_CHECKING:
    from trial.analysis.repeat import Repeats
    from trial.joining import Joined
    from trial.protocol import Protocol

commands = typer.Typer()
OF_THE_REPORT = ("endometer", "numpy", "scipy", "statsmodels")


@commands.command()
def report(
    visits: Visits,
    run: Run,
    out: Annotated[Path, typer.Option(help="Folder for report.html and the tables.")],
    reviews: Reviews = None,
    protocol: ProtocolName = PROTOCOL,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Compare this arm with the reference, where the protocol has several others.",
        ),
    ] = None,
    blinded: Annotated[
        bool,
        typer.Option(
            "--blinded", help="For interim looks: pool all women, say nothing by arm anywhere."
        ),
    ] = False,
) -> None:
    """Report the study: thickness over cycles and arms, implantation, pregnancy, what is missing.

    For instance:  [bold]endometer trial report visits.csv --run results/ --out study/[/bold]

    Exit status: 0 reported, 1 the folder cannot be written, or packages are missing, 2 wrong usage.
    Needs the extra packages of studies: pip install 'endometer\\[trial]'.
    """
    from inference.tables import OutputError
    from trial.analysis.whole import Endpoints, analyse
    from trial.report.words import main_points
    from trial.report.write import REPORT_HTML, Report, write_report
    from trial.screening import screen

    joined, plan = read_study(visits, run, reviews, protocol)
    endpoints = Endpoints(
        arms=_arms(plan, compare, blinded),
        levels_mm=plan.levels_mm,
        threshold_mm=plan.threshold_mm,
        phase=plan.persistent.phase,
        scheduled=tuple(sorted({visit.cycle for visit in plan.visits})),
    )
    try:
        found = analyse(joined.observations, joined.transfers, endpoints, joined.baselines, blinded)
    except ImportError as error:
        raise end(str(error)) from None
    screened = screen(joined.observations, joined.cancellations, plan, joined.undecided)
    versions = {name: metadata.version(name) for name in OF_THE_REPORT}
    whole = Report(found, joined, screened, plan, versions)
    try:
        write_report(out, whole)
    except OutputError as error:
        raise end(str(error), FAILED) from None
    _print(main_points(found), joined)
    typer.echo(f"endometer: {REPORT_HTML} and its tables are in {out}.", err=True)


@commands.command()
def repeat(
    visits: Visits,
    run: Run,
    reviews: Reviews = None,
    protocol: ProtocolName = PROTOCOL,
    as_json: AsJson = False,
) -> None:
    """Say how far repeated scans of one visit agree: SD within a visit, repeatability coefficient.

    For instance:  [bold]endometer trial repeat visits.csv --run results/[/bold]

    Exit status: 0 said, or there are no repeats, 2 wrong usage.
    """
    from trial.analysis.repeat import repeats

    joined, _ = read_study(visits, run, reviews, protocol)
    found = repeats(joined.observations)
    if as_json:
        typer.echo(json.dumps(asdict(found), allow_nan=False))
        return
    _print_repeats(found)


def _arms(plan: "Protocol", compare: str | None, blinded: bool) -> tuple[str, str]:
    """Return the reference arm and the one that is compared with it."""
    others = [arm.key for arm in plan.arms if arm.key != plan.reference_arm]
    if blinded:
        return plan.reference_arm, next(iter(others), "")
    if not others:
        raise usage(
            f"the protocol has one arm, {plan.reference_arm}, and nothing to compare it with; "
            "--blinded reports all women together."
        )
    if compare is not None:
        chosen = plan.arm(compare)
        if chosen not in others:
            raise usage(
                f"--compare {compare!r} is no arm beside the reference: {', '.join(others)}."
            )
        return plan.reference_arm, chosen
    if len(others) > 1:
        raise usage(
            f"the protocol has several arms beside {plan.reference_arm}; choose one with "
            f"--compare {'|'.join(others)}."
        )
    return plan.reference_arm, others[0]


def _print(points: list[str], joined: "Joined") -> None:
    """Print what the report comes to, and what is not in it."""
    from app.report import Screen, line

    screen = Screen()
    for point in points:
        screen.print(line(point), soft_wrap=True)
    left: Mapping[str, int] = {
        "visits without their scan": len(joined.unjoined_visits),
        "scans without a visit": len(joined.unjoined_scans),
        "problems of the tables": len(joined.problems),
    }
    screen.print(", ".join(f"{n} {what}" for what, n in left.items()) + ".", soft_wrap=True)


def _print_repeats(found: "Repeats") -> None:
    from rich.table import Table

    from app.report import Screen
    from trial.agreement.words import with_ends

    screen = Screen()
    if found.overall is None:
        screen.print("No visit has two measured scans.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("mean of the visit")
    for heading in ("visits", "scans", "SD within a visit, mm", "repeatability coefficient, mm"):
        table.add_column(heading, justify="right")
    rows = [("all", found.overall)]
    for each in found.bins:
        if each.repeatability is not None:
            high = "and more" if each.high_mm is None else f"to {each.high_mm:g} mm"
            rows.append((f"{each.low_mm:g} {high}", each.repeatability))
    for words, values in rows:
        table.add_row(
            words,
            f"{values.cases}",
            f"{values.readings}",
            with_ends(values.sd),
            with_ends(values.coefficient),
        )
    screen.print(table)
    screen.print(
        f"Repeated scans of {found.women} women. Two scans of a visit differ by less than the "
        "coefficient in 95 of 100.",
        soft_wrap=True,
    )
