"""The command line: from a training run to a model with a card."""

from pathlib import Path
from typing import Annotated

import typer

from app.base import end, missing, usage

commands = typer.Typer()


def _say(text: str) -> None:
    typer.echo(f"endometer: {text}", err=True)


def _print_template(on: bool) -> None:
    if on:
        from training.claim import template

        typer.echo(template(), nl=False)
        raise typer.Exit


@commands.command()
def ship(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a finished training run, or of all its folds."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the model.")],
    name: Annotated[str, typer.Option(help="Its name in every result.")],
    judge: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="Judge it on these patients, who it never saw."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Fit intervals and quality limit on these, others again; too few are said so.",
        ),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML with what only people know; --about-template prints one."
        ),
    ] = None,
    known_failures: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text: what it does badly.")
    ] = None,
    recipe: Annotated[
        list[Path] | None,
        typer.Option(metavar="CONFIG", help="TOML files of all stages; the run's own if left out."),
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX name of the weights' licence.")] = "Apache-2.0",
    shift: Annotated[
        float | None, typer.Option(help="Off the endometrium's logit; fitted if left out.")
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least quality; fitted if left out.")
    ] = None,
    blend: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START SHARE", help="Average the weights of another model in."),
    ] = None,
    n: Annotated[
        int, typer.Option(min=0, max=10_000, help="Phantoms that fit and judge; 0: none.")
    ] = 200,
    gallery: Annotated[
        int, typer.Option(min=0, max=20, help="Pictures of the worst cases in the model's folder.")
    ] = 8,
    about_template: Annotated[
        bool,
        typer.Option(
            "--about-template",
            is_eager=True,
            callback=_print_template,
            help="Print an about.toml to fill in, and end.",
        ),
    ] = False,
) -> None:
    """Make a model of a training run: export, fit, judge, and write its card.

    For instance:  [bold]endometer ship runs/mine my-bundle --name mine --judge kept-aside/
    --calibrate more-kept-aside/[/bold]

    Exit status: 0 written, 1 it could not be, 2 wrong usage. Needs the extra packages of training:
    pip install 'endometer\\[train]'.
    """
    try:
        from training.checkpoint import RunError
        from training.ensemble import runs_in
        from training.ship import Chosen, Said, blend_of, config_of, origin_of, weights_of
    except ImportError as error:
        raise missing("shipping", error) from None
    from data.cases import CasesError
    from models.bundle import CARD, BundleError
    from training.claim import KNOWN_FAILURES, read_about
    from training.config import read_config
    from training.shipping import Evidence
    from training.shipping import ship as write

    if (out / CARD).exists():
        raise usage(f"{out} holds a bundle already; choose a new folder.")
    try:
        runs = runs_in(run)
        recipes = [read_config(path) for path in recipe] if recipe else [config_of(runs[0])]
        words = read_about(about) if about else {}
        if known_failures is not None:
            words[KNOWN_FAILURES] = " ".join(known_failures.read_text("utf-8").split())
        chosen = Chosen(shift, min_quality, blend_of(*blend) if blend else None)
        origin = origin_of(recipes, runs, Said(name, words, licence), chosen)
        weights = [weights_of(one, recipes[-1], chosen) for one in runs]
        evidence = Evidence(judge, calibrate, n, gallery)
        fixed = (shift, min_quality)
        made = write(weights, recipes[-1], origin, out, evidence, fixed, _say)
    except (BundleError, CasesError, RunError, ValueError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{error.filename or out}: {error.strerror or error}.") from None
    if gallery and (made.path / "gallery").is_dir():
        _say("gallery/ has cut-outs of the worst cases, without names; --gallery 0 leaves them out")
    typer.echo(f"{made.name} is in {out}; MODEL_CARD.md there says what it is.")
