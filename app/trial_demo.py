"""The command line: a simulated study, from its phantoms to its report."""

from pathlib import Path
from typing import Annotated

import typer

from app.base import FAILED, end, usage

commands = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="OUT", help="Folder, made if it is not there.")]
Women = Annotated[int, typer.Option(min=2, max=2000, help="How many women take part.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same gives the same cohort.")]


@commands.command()
def simulate(out: Folder, women: Women = 60, seed: Seed = 1) -> None:
    """Write a simulated cohort: a phantom for every scan, visits.csv, and the truth.

    For instance:  [bold]endometer trial simulate cohort/ --women 60[/bold]

    Exit status: 0 written, 1 the folder cannot be written.
    """
    _simulate(out, women, seed)


@commands.command()
def demo(out: Folder, women: Women = 60, seed: Seed = 1) -> None:
    """Follow a simulated study from scans to report: measure, screen, check, report.

    The reader who checks is simulated, too. Needs the extra packages of studies and of the review
    page: pip install 'endometer\\[trial,review]'.
    """
    from app import measuring, reviewing, trial, trial_report
    from app.cohort import SCANS, VISITS, read_truth, review_cohort

    visits, results, reviewed = out / VISITS, out / "results", out / "reviewed"
    _simulate(out, women, seed)
    _heading("measured")
    try:
        measuring.measure(sources=[out / SCANS], out=results)
    except typer.Exit as ended:  # it ends with its status even where all went well
        if ended.exit_code:
            raise
    _heading("screened by the machine alone")
    trial.screen(visits, results, out=out / "screening-automatic", brief=True)
    if not (results / "reviews.sqlite").exists():
        reviewing.require()
        corrected, confirmed = review_cohort(results, read_truth(out), seed)
        _heading("checked by a simulated reader")
        typer.echo(f"{corrected} corrected, {confirmed} confirmed; what was refused is left open.")
    reviewing.export(results, reviewed)
    table = reviewed / "measurements-reviewed.parquet"
    _heading("screened after the check")
    trial.screen(visits, results, table, out=out / "screening", brief=True)
    _heading("repeated scans")
    trial_report.repeat(visits, results)
    _heading("reported")
    trial_report.report(visits, results, out / "study", table)


def _heading(text: str) -> None:
    typer.echo(f"\n{text}:")


def _simulate(out: Path, women: int, seed: int) -> None:
    """Write the cohort, or end."""
    from app.cohort import SCANS, VISITS, write_cohort
    from inference.tables import OutputError

    try:
        cohort = write_cohort(out, women, seed)
    except OutputError as error:
        raise end(str(error), FAILED) from None
    except ValueError as error:
        raise usage(str(error)) from None
    typer.echo(
        f"{len(cohort.scans)} scans of {women} simulated women are in {out / SCANS}, "
        f"{len(cohort.rows)} visits in {out / VISITS}."
    )
