"""The command line: how far readers and models agree."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import end, usage

if TYPE_CHECKING:
    from trial.agreement.analysis import Agreement
    from trial.agreement.study import Study
    from trial.agreement.tables import Source

commands = typer.Typer()
KEYS = ("sha256", "file", "name")
# Cases that are named where they do not join; the table has all.
MOST_NAMED = 5


@commands.command()
def agree(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=TABLE...",
            help="Tables of `measure`, CSV or Parquet, each with the name of its reader or model.",
        ),
    ] = None,
    readings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="TABLE",
            help="What people read, CSV or Parquet: case, reader, thickness_mm, and where they "
            "are known replicate and patient.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Thinner than this many mm is called thin.")
    ] = 6.0,
    margin: Annotated[
        float,
        typer.Option(
            help="A model is interchangeable if it disagrees with readers by at most so many mm "
            "more than they do with each other."
        ),
    ] = 0.5,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(KEYS),
            help="Join cases by this column (`name`: the last part of `file`); chosen if left out.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="This one is a model, though its table names no bundle. May be given again.",
        ),
    ] = None,
    reader: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="This one is a reader, though it does not come from --readings; else a table "
            "without a bundle is a reference, such as the truth of phantoms.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for agree.html, agree.json and the tables.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare readers and models: limits of agreement, ICC, Deming, kappa, interchangeability.

    For instance:  [bold]endometer agree --readings readings.csv
    model=results/measurements.csv --out agreement/[/bold]

    Exit status: 0 compared, 1 the folder cannot be written, 2 wrong usage.
    """
    if not 0 < threshold < 100:
        raise usage(f"--threshold {threshold:g} is not a thickness in mm.")
    if not 0 < margin < 100:
        raise usage(f"--margin {margin:g} is not a difference in mm.")
    if key is not None and key not in KEYS:
        raise usage(f"--key {key!r} is none of {', '.join(KEYS)}.")

    from trial.agreement.analysis import analyse
    from trial.agreement.study import join
    from trial.agreement.tables import Kind, ReadingsError
    from trial.agreement.write import write_agreement

    try:
        kinds = dict.fromkeys(model or (), Kind.MODEL) | dict.fromkeys(reader or (), Kind.READER)
        study = join(_sources(tables or [], readings or []), key, kinds)
    except ReadingsError as error:
        raise usage(str(error)) from None
    _check(study)
    found = analyse(study, threshold, margin)
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, allow_nan=False))
    else:
        _print(found, study)
    if out is not None:
        try:
            write_agreement(out, found, study)
        except OSError as error:
            raise end(f"{out} cannot be written: {error.strerror or error}.") from None
        typer.echo(f"endometer: agree.html and its tables are in {out}.", err=True)


def _sources(tables: list[str], readings: list[Path]) -> "list[Source]":
    """Read all tables. Raises ReadingsError."""
    from trial.agreement.tables import ReadingsError, read_measurements, read_readings

    sources = [read_readings(path) for path in readings]
    for text in tables:
        name, sign, path = text.partition("=")
        if not (sign and name.strip() and path):
            raise ReadingsError(
                f"{text!r} is not NAME=TABLE, for instance model=results/measurements.csv."
            )
        sources.append(read_measurements(name.strip(), Path(path)))
    return sources


def _check(study: "Study") -> None:
    """End where there is nothing to compare."""
    from trial.agreement.study import State

    readers = study.readers
    if len(readers) < 2:
        raise usage(
            f"there {'is one reader' if readers else 'are no readings'}; agreement needs two. Give "
            "NAME=TABLE for each model and --readings for what people read."
        )
    present = ([s is not State.ABSENT for s in r.states] for r in readers)
    if max(map(sum, zip(*present, strict=True))) < 2:
        raise usage(
            f"no case is in two tables when joined by {study.key}: "
            f"{', '.join(f'{r.name} has {_example(study, i)}' for i, r in enumerate(readers))}. "
            f"Choose with --key {'|'.join(KEYS)}."
        )


def _example(study: "Study", i: int) -> str:
    from app.report import line
    from trial.agreement.study import State

    own = [
        case
        for case, state in zip(study.cases, study.readers[i].states, strict=True)
        if state is not State.ABSENT
    ]
    return f"{line(own[0])!r}" + (f" and {len(own) - 1} more" if len(own) > 1 else "")


def _print(found: "Agreement", study: "Study") -> None:
    """Print readers, pairs and models beside readers, and what did not join."""
    from rich.table import Table
    from rich.text import Text

    from app.evaluation import WIDE
    from app.report import Screen, line
    from trial.agreement import words
    from trial.agreement.study import State

    screen = Screen()
    if not screen.is_terminal:
        screen.width = WIDE

    def show(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table = Table(box=None, pad_edge=False)
        for i, heading in enumerate(headings):
            table.add_column(heading, justify="right" if i else "left")
        for row in rows:
            table.add_row(*(Text(line(cell)) for cell in row))
        screen.print(table)
        screen.print()

    show(
        ("reader", "measured", "refused", "unread", "not in table", "repeatability mm"),
        [
            (
                r.name + ("" if r.kind == "reader" else f" ({r.kind})"),
                *map(str, (r.measured, r.refused, r.failed, r.absent)),
                words.with_ends(r.repeatability.coefficient) if r.repeatability else "",
            )
            for r in found.readers
        ],
    )
    show(
        ("first − second", "cases", "bias mm", "lower limit mm", "upper limit mm", "ICC(2,1)"),
        [
            (
                f"{p.first} − {p.second}",
                str(p.n),
                *(
                    words.with_ends(getattr(p.limits, part) if p.limits else None, sign=True)
                    for part in ("bias", "low", "high")
                ),
                words.with_ends(p.icc.agreement if p.icc else None),
            )
            for p in found.pairs
        ],
    )
    show(
        (
            "second over first",
            "Deming's slope",
            "its intercept mm",
            "ICC(3,1)",
            f"same side of {found.threshold_mm:g} mm",
            "kappa",
        ),
        [
            (
                f"{p.second} over {p.first}",
                words.with_ends(p.deming.slope if p.deming else None),
                words.with_ends(p.deming.intercept if p.deming else None),
                words.with_ends(p.icc.consistency if p.icc else None),
                f"{100 * p.confusion.agreement.value:.0f} %" if p.confusion else words.NOTHING,
                words.with_ends(p.confusion.kappa if p.confusion else None),
            )
            for p in found.pairs
        ],
    )
    for group in found.iccs:
        if group.icc:
            screen.print(
                f"ICC of {group.name}: ICC(2,1) {words.with_ends(group.icc.agreement)}, ICC(3,1) "
                f"{words.with_ends(group.icc.consistency)}, {group.icc.n} cases.",
                soft_wrap=True,
            )
    if found.interchange:
        show(
            (
                "model",
                "cases",
                "readers, mm",
                "model, mm",
                "excess, mm",
                "index, mm²",
                f"two sides of {found.threshold_mm:g} mm",
                f"within {found.margin_mm:g} mm",
            ),
            words.interchange_rows(found),
        )
    for pair in found.pairs:
        said = " ".join(words.pair_words(pair, found.threshold_mm))
        screen.print(f"{line(pair.first)} − {line(pair.second)}: {line(said)}", soft_wrap=True)
    lost = [
        case
        for i, case in enumerate(study.cases)
        if any(r.states[i] is State.ABSENT for r in study.readers)
    ]
    if lost:
        named = ", ".join(line(case) for case in lost[:MOST_NAMED])
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        screen.print(
            f"{len(lost)} of {found.cases} cases are not in every table (joined by {found.key}): "
            f"{named}{more}.",
            soft_wrap=True,
        )
    screen.print(words.intervals(found), soft_wrap=True)
