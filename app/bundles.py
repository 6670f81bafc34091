"""The command line: what a bundle is, whether it is whole, who accepted it, and out again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import FAILED, end, missing, usage

if TYPE_CHECKING:
    from models.bundle import Bundle

commands = typer.Typer(
    no_args_is_help=True,
    help="Look at a model, check it, sign it off, and give it to other programs.",
)

FORMATS = ("onnx", "monai")
Folder = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Folder of a model; `default` is the shipped one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def folder_of(bundle: str) -> Path:
    """Return the folder that is meant."""
    from models.bundle import DEFAULT_BUNDLE

    return DEFAULT_BUNDLE if bundle == "default" else Path(bundle)


def _load(bundle: str) -> "Bundle":
    from models.bundle import BundleError, load_bundle

    try:
        return load_bundle(folder_of(bundle))
    except BundleError as error:
        raise usage(str(error)) from None


@commands.command()
def show(bundle: Folder = "default", as_json: AsJson = False) -> None:
    """Show a model's card in words: what it is, from what, how good, its limits, its files.

    For instance:  [bold]endometer bundle show[/bold]

    MODEL_CARD.md in its folder has all of it. Exit status: 0, or 2 for what is no bundle.
    """
    from app.bundle_words import facts_of, print_bundle

    model = _load(bundle)
    try:
        facts = facts_of(model)
        if as_json:
            typer.echo(json.dumps(facts, ensure_ascii=False))
        else:
            print_bundle(facts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # What measuring needs was checked; the rest of a card may be anything.
        raise end(
            f"{model.path}: the card has a field that cannot be shown ({error!r}). Restore the "
            "bundle as it was published."
        ) from None


@commands.command()
def verify(
    bundle: Folder = "default",
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also compute with torch and compare with the export."),
    ] = False,
    must_have: Annotated[
        str | None,
        typer.Option(
            "--sign-off", metavar="SHA256", help="A sign-off that has to be there, by its sha256."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a model is whole: hashes, ties, sign-offs, and that the network runs.

    For instance:  [bold]endometer bundle verify my-bundle --deep[/bold]

    Exit status: 0 everything holds, 1 something does not, 2 wrong usage.
    """
    from app.bundle_words import print_checks
    from models.bundle import BundleError
    from models.check import check_bundle

    try:
        checks = check_bundle(folder_of(bundle), deep=deep, must_have=must_have)
    except BundleError as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{bundle} cannot be read: {error.strerror or error}.") from None
    sound = all(check.held is not False for check in checks)
    if as_json:
        rows = [{"name": c.name, "held": c.held, "words": c.words} for c in checks]
        typer.echo(json.dumps({"sound": sound, "checks": rows}, ensure_ascii=False))
    else:
        print_checks(checks)
    raise typer.Exit(0 if sound else FAILED)


@commands.command("sign-off")
def sign_off(
    bundle: Folder,
    by: Annotated[str, typer.Option(help="Who accepts it.")],
    role: Annotated[str, typer.Option(help="As what, for instance 'principal investigator'.")],
    note: Annotated[str, typer.Option(help="For what, and on what grounds.")],
    as_json: AsJson = False,
) -> None:
    """Write down that somebody accepts a model: these weights with this card, as they are now.

    For instance:  [bold]endometer bundle sign-off my-bundle --by 'A. Smith' --role 'PI' --note
    'read the card, for the pilot only'[/bold]

    A line is added to sign-offs.jsonl; `verify` says when weights, card or a line were changed
    since. Keep the sha256 that is printed: it proves later that the line was there. It is a record,
    not a signature (docs/bundles.md). Exit status: 0 written, 1 it could not be, 2 wrong usage.
    """
    from models.bundle import BundleError
    from models.sign_offs import sign_off as write

    model = _load(bundle)
    try:
        entry = write(model.path, model.name, by, role, note)
    except BundleError as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{model.path} cannot be written: {error.strerror or error}.") from None
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(entry), ensure_ascii=False))
    else:
        typer.echo(f"Sign-off {entry.number} of {model.name}: sha256 {entry.sha256}")


@commands.command()
def describe(
    bundle: Folder,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML with what only people know; `endometer ship --about-template` prints one.",
        ),
    ] = None,
) -> None:
    """Write a model's MODEL_CARD.md again, with what people say of it.

    For instance:  [bold]endometer bundle describe my-bundle --about about.toml[/bold]

    For models made before there were such cards, and for what is learned about one later. The card
    changes, so that sign-offs given before no longer hold. Exit status: 0 written, 1 it could not
    be, 2 wrong usage.
    """
    from models.bundle import BundleError
    from models.check import card_of
    from training.card import describe as write
    from training.claim import AboutError, read_about

    model = _load(bundle)
    try:
        words = (card_of(model.path).get("about") or {}) if about is None else read_about(about)
        written = write(model, words)
    except (AboutError, BundleError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{model.path} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"{written} describes {model.name}.")


@commands.command()
def judge(
    bundle: Folder,
    dataset: Annotated[
        Path | None,
        typer.Option("--judge", metavar="DATASET", help="Images of patients that it never saw."),
    ] = None,
    n: Annotated[int, typer.Option(min=0, help="Phantoms of each renderer that judge, too.")] = 200,
    gallery: Annotated[int, typer.Option(min=0, help="Worst cases that are shown.")] = 8,
) -> None:
    """Judge a model again, and write its card with what was found: numbers, intervals, worst cases.

    For instance:  [bold]endometer bundle judge my-bundle --judge kept-aside/ --n 0[/bold]

    Nothing is fitted or trained. The card changes, so that sign-offs given before no longer hold.
    Needs the extra packages of training: pip install 'endometer\\[train]'. Exit status: 0 written,
    1 it could not be, 2 wrong usage.
    """
    model = _load(bundle)
    try:
        from data.cases import CasesError
        from training.shipping import Evidence, judge_again
    except ImportError as error:
        raise missing("judging", error) from None
    try:
        judge_again(model, Evidence(judge=dataset, n=n, gallery=gallery), typer.echo)
    except CasesError as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{model.path} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"{model.path / 'MODEL_CARD.md'} says what was found.")


@commands.command()
def export(
    bundle: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New file (.onnx) or folder.")],
    to: Annotated[str, typer.Option(metavar="|".join(FORMATS), help="What to write.")],
) -> None:
    """Give a model to other programs, as an ONNX file or as a MONAI Bundle.

    For instance:  [bold]endometer bundle export default network.onnx --to onnx[/bold]

    What the millimetres, the quality and the refusals need stays here: others get the network
    alone. Needs the extra packages of training: pip install 'endometer\\[train]'. Exit status: 0
    written, 1 it could not be, 2 wrong usage.
    """
    if to == "nnunet":
        raise usage(
            "nnU-Net trains networks of its own and takes data: export the data set that you want "
            "to compare on (docs/bundles.md)."
        )
    if to not in FORMATS:
        raise usage(f"--to {to!r} is none of {', '.join(FORMATS)}.")
    model = _load(bundle)
    try:
        from training.monai_bundle import write_monai
        from training.onnx_export import write_onnx
    except ImportError as error:
        raise missing("exporting", error) from None
    from models.bundle import BundleError

    try:
        written = write_onnx(model, out) if to == "onnx" else write_monai(model, out)
    except BundleError as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{out} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"{model.name} is in {written}.")
