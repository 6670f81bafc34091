"""The command line: which of two models is better."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import FAILED, Device, check_device, end, usage

if TYPE_CHECKING:
    from data.cases import Case
    from training.compare import Comparison
    from training.duel import Corner, Paired

commands = typer.Typer()
_SIDE = "Folder of a model, `default`, or a folder that `evaluate --out` wrote."


@commands.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    dataset: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATASET",
            help="Folder with truth.csv (phantoms), labels.json (outlines) or dataset.json, that "
            "neither model has seen. Two finished evaluations need it for pictures only.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.html, compare.csv and compare.json.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Of the bootstrap; the same gives the same.")
    ] = 1,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether model A is better than model B: paired differences on the same cases.

    For instance:  [bold]endometer compare my-bundle default kept-aside/ --out compared/[/bold]

    The score decides: the error in mm, or 1.5 mm for what was refused or invented; without
    millimetres the Dice. Exit status: 0 every case was compared, 1 some could not be, 2 wrong
    usage. Needs the extra packages of training: pip install 'endometer\\[train]'.
    """
    check_device(device)
    from data.cases import CasesError, read_cases
    from models.bundle import BundleError
    from models.runtime import DeviceError
    from training.compare import compare as run
    from training.duel import corner_of
    from training.finished import FinishedError
    from training.metrics import MonaiMissingError, check_monai

    try:
        corners = (corner_of(a, device), corner_of(b, device))
        if dataset is None and any(corner.model for corner in corners):
            raise usage("a model needs a DATASET to be judged on: endometer compare A B DATASET.")
        cases = read_cases(dataset) if dataset is not None else []
        if any(corner.model for corner in corners):
            check_monai()
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        both = _judge(corners, cases)
    except (BundleError, CasesError, DeviceError, FinishedError, MonaiMissingError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise usage(f"--out {out} cannot be written: {error.strerror or error}.") from None
    found = run(corners[0].side, corners[1].side, both.pairs, seed)
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, allow_nan=False))
    else:
        _print(found, both)
    if out is not None:
        _write(out, found, both, cases, corners)
    lost = found.failed_both + found.failed_a + found.failed_b
    raise typer.Exit(FAILED if lost else 0)


def _judge(corners: "tuple[Corner, Corner]", cases: "list[Case]") -> "Paired":
    """Return the results of both sides, measured where they are not there yet."""
    from app.evaluation import progress
    from training.duel import paired, results_of

    steps = len(cases) * sum(corner.model is not None for corner in corners)
    with progress(sys.stderr, steps) as advance:
        results = [results_of(corner, cases, lambda _: advance()) for corner in corners]
    return paired(*results)


def _write(
    out: Path,
    found: "Comparison",
    both: "Paired",
    cases: "list[Case]",
    corners: "tuple[Corner, Corner]",
) -> None:
    from training.compare_page import write_comparison
    from training.duel import numbered

    try:
        write_comparison(out, found, both, dict(numbered(cases)), corners)
    except OSError as error:
        raise end(f"{out} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"endometer: compare.html and its tables are in {out}.", err=True)


def _print(found: "Comparison", both: "Paired") -> None:
    """Print what decides, every endpoint, and what has to be known to read them."""
    from rich.table import Table
    from rich.text import Text

    from app.evaluation import WIDE
    from app.report import Screen, line
    from training.compare_page import cells, notes, sentence

    screen = Screen()
    if not screen.is_terminal:
        screen.width = WIDE
    screen.print(f"A: {line(found.a.name)}   B: {line(found.b.name)}", soft_wrap=True)
    screen.print(f"{found.cases} cases of {found.patients} patients.")
    screen.print()
    table = Table("", box=None, pad_edge=False)
    for heading in ("cases", "A", "B", "A − B", "95 % interval", "A is"):
        table.add_column(heading, justify="right")
    for endpoint in found.endpoints:
        table.add_row(
            *(Text(cell) for cell in cells(endpoint)),
            style="bold" if endpoint.key == found.primary else "",
        )
    screen.print(table)
    screen.print()
    screen.print(line(sentence(found)), soft_wrap=True)
    for note in notes(found, both):
        screen.print(line(note), soft_wrap=True)
