"""The command line: measuring. Everything heavy is imported when a command needs it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app import research
from app.base import FAILED, INTERRUPTED, Device, check_device, end, usage

if TYPE_CHECKING:
    from imaging.calibration import Calibration
    from inference.records import ClipRecord

Model = Annotated[Path | None, typer.Option(help="Folder of a model; the shipped one if left out.")]

app = typer.Typer(
    name="endometer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Measure endometrial thickness on transvaginal ultrasound: DICOM in, calibrated "
    "millimetres or a reason out. Research software, not a medical device.",
)


def _user_calibration(text: str) -> "Calibration":
    from imaging.calibration import Calibration, user_calibration

    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise usage(
            f"--spacing {text!r} is not ROW,COLUMN: two numbers of millimetres per pixel, "
            "for instance --spacing 0.12,0.12."
        ) from None
    scale = user_calibration(row, column)
    if isinstance(scale, Calibration):
        return scale
    raise usage(f"--spacing {text}: {scale.message}")


@app.command()
def measure(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", help="DICOM, PNG, JPEG or TIFF files, or folders of any depth."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for tables, overlays and run.json; made if it is not there."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Thinner than this many mm is called thin.")
    ] = 6.0,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COLUMN",
            help="Your own mm per pixel, for images that carry no scale. Never overrides a file's.",
        ),
    ] = None,
    allow_ruler: Annotated[
        bool,
        typer.Option(
            "--allow-ruler",
            help="If the file states no scale, read it from the depth ruler in the picture where "
            "that is certain; the interval grows.",
        ),
    ] = False,
    bundle: Model = None,
    device: Device = "auto",
    frames: Annotated[
        str,
        typer.Option(
            metavar="best|all", help="Draw the best frame of a cine, or all that show something."
        ),
    ] = "best",
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            metavar="KEYFILE",
            help="Write a keyed hash instead of patient identifiers. Names and paths of files, "
            "UIDs and dates stay as they are.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per clip instead of a table.")
    ] = False,
) -> None:
    """Measure clips: one row each, with thickness, interval, call, or the reason for none.

    A sonographer's single clip:  [bold]endometer measure scan.dcm[/bold]

    A researcher's archive:  [bold]endometer measure archive/ --out results/[/bold]

    Exit status: 0 every file was measured or refused with a reason, 1 a file could not be read
    or the run ended early (130 if you interrupted it), 2 wrong usage. A run that ends early writes
    what it has measured.
    """
    if not 0 < threshold < 100:
        raise usage(f"--threshold {threshold:g} is not a thickness in mm.")
    if frames not in ("best", "all"):
        raise usage(f"--frames {frames!r} is neither best nor all.")
    check_device(device)
    if all(map(_is_nowhere, sources)):  # one of many is a row, not an end
        raise usage(f"there is no {', no '.join(map(str, sources))}.")
    user = None if spacing is None else _user_calibration(spacing)
    key = _read_key(pseudonymise)

    from inference.clip import Settings
    from inference.run import OutputError, UnusableOutputError
    from inference.run import measure as run_measure
    from models.bundle import BundleError, load_bundle
    from models.runtime import DeviceError, choose_runtime

    try:
        model = load_bundle(bundle)
        runtime = choose_runtime(model, device)
    except (BundleError, DeviceError) as error:
        raise usage(str(error)) from None

    from app.progress import progress_on
    from app.report import notes, print_row, print_table

    settings = Settings(
        threshold_mm=threshold,
        user=user,
        allow_ruler=allow_ruler,
        all_frames=frames == "all",
        pseudonym_key=key,
    )
    with progress_on(sys.stderr) as progress:

        def on_clip(record: "ClipRecord") -> None:
            progress.clip(record)
            if as_json:
                print_row(record)

        try:
            run = run_measure(sources, model, runtime, settings, out=out, on_clip=on_clip)
        except UnusableOutputError as error:
            raise usage(f"--out {error}") from None
        except OutputError as error:
            raise end(f"{error} The run ended after {progress.done} clips.") from None
        except KeyboardInterrupt:
            kept = f" Their rows are in {out}." if out and progress.done else ""
            raise end(f"interrupted after {progress.done} clips.{kept}", INTERRUPTED) from None
        progress.end(complete=True, skipped=run.skipped)
    typer.echo("".join(f"endometer: {note}\n" for note in notes(run)), err=True, nl=False)
    if not run.records:
        raise usage(
            f"no DICOM, PNG, JPEG or TIFF files in {', '.join(map(str, sources))} "
            f"({run.skipped} other files looked at)."
        )
    if not as_json:
        print_table(run, out)
    raise typer.Exit(FAILED if run.failed else 0)


def _is_nowhere(source: Path) -> bool:
    """Tell whether there is surely nothing of that name. Never raises, as Path.exists does."""
    try:
        source.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False  # its row will say what is wrong with it
    return False


def _read_key(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise usage(f"--pseudonymise {path} cannot be read: {error.strerror}.") from None
    if len(key) < 16:
        raise usage(
            f"--pseudonymise {path} has {len(key)} bytes; a key needs 16 or more, for instance "
            "from `openssl rand -hex 32`."
        )
    return key


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
    user = None if spacing is None else _user_calibration(spacing)

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
    scale = _user_calibration(spacing)
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
def phantom(
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
) -> None:
    """Make simulated DICOM clips whose thickness is known, to test a scanner's export or this tool.

    For instance:  [bold]endometer phantom phantoms/ --n 20 --seed 1[/bold]
    """
    if renderer not in ("random", "physical", "simus"):
        raise usage(f"--renderer {renderer!r} is none of random, physical, simus.")

    from data.phantom.collection import write_phantoms

    try:
        rows = write_phantoms(out, n=n, seed=seed, frames=frames, renderer=renderer, empty=empty)
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
    measure(sources=[clips], out=out / "results")


app.add_typer(research.commands)


def main() -> None:
    """Run the command line. Typer ends an interrupted one with status 130 and no traceback."""
    app()
