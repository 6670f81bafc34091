"""The command line: its small commands. Everything heavy is imported when a command needs it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app import (
    agree,
    bundles,
    comparing,
    datasets,
    deidentifying,
    measuring,
    noding,
    publishing,
    research,
    reviewing,
    shipping,
    trial,
    trial_demo,
    trial_report,
)
from app.base import FAILED, Model, end, usage, user_calibration

app = typer.Typer(
    name="endometer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Measure endometrial thickness on transvaginal ultrasound: DICOM in, calibrated "
    "millimetres or a reason out. Research software, not a medical device.",
)


app.add_typer(measuring.commands)
app.add_typer(publishing.commands)


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One clip or image.")],
    spacing: Annotated[
        str | None,
        typer.Option(metavar="ROW,COLUMN", help="Your own mm per pixel, as in `measure`."),
    ] = None,
    allow_ruler: Annotated[
        bool, typer.Option("--allow-ruler", help="Take the scale from the ruler, as in `measure`.")
    ] = False,
    bundle: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why a clip got its number, or none: scale, every doubt, interval, the other frames.

    For instance:  [bold]endometer explain scan.dcm[/bold]

    Exit status: 0 measured or refused with a reason, 1 it could not be read, 2 wrong usage.
    """
    if not file.is_file():
        raise usage(f"{file} is no file; explain looks at one clip.")
    user = None if spacing is None else user_calibration(spacing)

    from app.explain import facts_of, print_explanation
    from inference.clip import Settings, measure_clip
    from inference.records import Status
    from models.bundle import BundleError, load_bundle
    from models.runtime import OpenVinoRuntime

    try:
        model = load_bundle(bundle)
        runtime = OpenVinoRuntime(model)
    except BundleError as error:
        raise usage(str(error)) from None
    clip = measure_clip(file, model, runtime, Settings(user=user, allow_ruler=allow_ruler))
    if as_json:
        typer.echo(json.dumps(facts_of(clip, model), ensure_ascii=False))
    else:
        print_explanation(clip, model)
    raise typer.Exit(FAILED if clip.record.best.status is Status.FAILED else 0)


@app.command()
def thickness(
    mask: Annotated[
        Path,
        typer.Argument(
            help="PNG or TIFF: 0 background, 1 endometrium, 2 fluid; 255 counts as 1.",
        ),
    ],
    spacing: Annotated[
        str, typer.Option(metavar="ROW,COLUMN", help="Millimetres per pixel of the mask.")
    ],
) -> None:
    """Measure a mask that somebody drew, with the geometry that is used on scans.

    For instance:  [bold]endometer thickness mask.png --spacing 0.12,0.12[/bold]

    Prints one JSON object. Exit status 1, with the reason, if there is nothing to measure.
    """
    scale = user_calibration(spacing)
    from imaging.mask import MaskError, read_mask
    from inference.thickness import NotMeasurable, measure_thickness

    try:
        endometrium, fluid = read_mask(mask)
        found = measure_thickness(endometrium, scale.spacing_mm, fluid=fluid)
    except (MaskError, NotMeasurable) as error:
        raise end(f"{mask}: {error}") from None
    typer.echo(
        json.dumps(
            {
                "thickness_mm": found.thickness_mm,
                "calipers": [[float(r), float(c)] for r, c in found.calipers],
                "profile_mm": [round(float(mm), 4) for mm in found.profile_mm],
                "fluid": found.fluid,
                "inscribed_circle_mm": found.inscribed_circle_mm,
            }
        )
    )


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, models, device, and which kinds of DICOM can be decoded here.

    For instance, before a run over an archive:  [bold]endometer info[/bold]
    """
    from app.report import gather_info, print_info

    facts = gather_info()
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        print_info(facts)


@app.command()
def phantom(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    out: Annotated[Path, typer.Argument(help="Folder for the clips and truth.csv.")],
    n: Annotated[int, typer.Option(min=1, max=100_000, help="How many clips.")] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="The same seed gives the same files.")
    ] = 1,
    frames: Annotated[
        int, typer.Option(min=1, max=10_000, help="Frames of each clip; 1 makes stills.")
    ] = 1,
    renderer: Annotated[
        str,
        typer.Option(
            metavar="random|physical|simus",
            help="How pictures are made: as the network learned them, by simulated sound, or by "
            "the slow simulator of the package pymust.",
        ),
    ] = "physical",
    empty: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clips without an endometrium.")
    ] = 0.0,
    freehand: Annotated[
        bool,
        typer.Option(
            "--freehand",
            help="In cines of the renderer physical, let the uterus drift and turn and the picture "
            "get better and worse, as in a scan by hand.",
        ),
    ] = False,
    unmeasurable: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of clips that must be refused: M-mode, Doppler, 3D, pages, cut off, ...",
        ),
    ] = 0.0,
) -> None:
    """Make simulated DICOM clips whose thickness is known, to test a scanner's export or this tool.

    For instance:  [bold]endometer phantom phantoms/ --n 20 --seed 1[/bold]
    """
    if renderer not in ("random", "physical", "simus"):
        raise usage(f"--renderer {renderer!r} is none of random, physical, simus.")
    if freehand and renderer != "physical":
        raise usage("--freehand needs --renderer physical.")

    from data.phantom.collection import write_phantoms
    from inference.engines import cores

    try:
        rows = write_phantoms(
            out,
            n=n,
            seed=seed,
            frames=frames,
            renderer=renderer,
            empty=empty,
            freehand=freehand,
            unmeasurable=unmeasurable,
            workers=cores(),
        )
    except ImportError as error:
        raise usage(f"--renderer {renderer}: {error}") from None
    except OSError as error:
        raise usage(f"{out} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"{len(rows)} phantoms and truth.csv in {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for the clips and the results.")],
) -> None:
    """Make a handful of phantoms, add published real clips if they are installed, measure all.

    For instance:  [bold]endometer demo demo/[/bold]
    """
    from app.demo import prepare

    try:
        clips = prepare(out / "clips")
    except OSError as error:
        raise usage(f"{out} cannot be written: {error.strerror or error}.") from None
    measuring.measure(sources=[clips], out=out / "results")


app.add_typer(research.commands)
app.add_typer(datasets.commands, name="dataset")
app.add_typer(comparing.commands)
app.add_typer(agree.commands)
app.add_typer(deidentifying.commands)
app.add_typer(shipping.commands)
app.add_typer(bundles.commands, name="bundle")
app.add_typer(reviewing.commands)
app.add_typer(noding.commands)
trial.commands.add_typer(trial_report.commands)
trial.commands.add_typer(trial_demo.commands)
app.add_typer(trial.commands, name="trial")


def main() -> None:
    """Run the command line. Typer ends an interrupted one with status 130 and no traceback."""
    app()
