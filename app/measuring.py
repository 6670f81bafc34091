"""The command line: measuring many files, here, on a cluster, or in parts."""

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import remote
from app.base import (
    FAILED,
    INTERRUPTED,
    Device,
    Model,
    check_device,
    end,
    read_key,
    read_kinds,
    usage,
    user_calibration,
)

if TYPE_CHECKING:
    from inference.jobs import Engine
    from inference.run import Run
    from models.bundle import Bundle

commands = typer.Typer()
MORE, MANY = "More results", "Many files"
NamesInReport = Annotated[
    bool,
    typer.Option(
        "--names-in-report",
        help="Show names of files and patients on report.html, which has none otherwise.",
        rich_help_panel=MORE,
    ),
]


@commands.command()
def measure(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="DICOM, PNG, JPEG or TIFF files, folders of any depth, zips, DICOMDIR; or one "
            "server, as dicomweb://HOST/PATH.",
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
            metavar="best|all",
            help="Of a long cine measure the frames that look best, and draw the best one; or "
            "measure and draw all.",
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
    dicom: Annotated[
        str | None,
        typer.Option(
            metavar="sr,seg,sc",
            help="Also write DICOM results: report, outline (of stills), picture.",
            rich_help_panel=MORE,
        ),
    ] = None,
    names_in_report: NamesInReport = False,
    json_logs: Annotated[
        bool,
        typer.Option(
            "--json-logs",
            help="Tell the progress as JSON, a line per event, on standard error.",
            rich_help_panel=MORE,
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="Measure everything again, or go on where a former run in this folder ended.",
            rich_help_panel=MANY,
        ),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|dask", help="This machine, or a Dask cluster.", rich_help_panel=MANY
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes (threads with a GPU); as many as cores if left out.",
            rich_help_panel=MANY,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the Dask scheduler, for instance tcp://host:8786.",
            rich_help_panel=MANY,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Measure the I-th of N parts of the files, as in an array job; then "
            "`endometer gather`.",
            rich_help_panel=MANY,
        ),
    ] = None,
    study: remote.Study = None,
    since: remote.Since = None,
    modality: remote.Modality = "US",
    plain_http: remote.PlainHttp = False,
    stow: remote.Stow = False,
) -> None:
    """Measure clips: one row each, with thickness, interval, call, or the reason for none.

    A sonographer's single clip:  [bold]endometer measure scan.dcm[/bold]

    A researcher's archive:  [bold]endometer measure archive/ --out results/[/bold]

    A server:  [bold]endometer measure dicomweb://HOST/PATH --since 2026-01-31 --out results/[/bold]
    with its token in ENDOMETER_DICOMWEB_TOKEN, or a login in ENDOMETER_DICOMWEB_USER and _PASSWORD.

    Exit status: 0 every file was measured or refused with a reason, 1 a file could not be read
    or the run ended early (130 if you interrupted it), 2 wrong usage. A run that ends early writes
    what it has measured.
    """
    if not 0 < threshold < 100:
        raise usage(f"--threshold {threshold:g} is not a thickness in mm.")
    check_device(device)
    _check_choice("--frames", frames, ("best", "all"))
    _check_choice("--engine", engine, ("local", "dask"))
    if (engine == "dask") != (scheduler is not None):
        raise usage("--engine dask and --scheduler ADDRESS belong together.")
    if engine == "dask" and workers is not None:
        raise usage("--workers counts processes of this machine; a cluster has its own.")
    for option, value in (("--shard", shard), ("--dicom", dicom)):
        if value and out is None:
            raise usage(f"{option} needs --out: that is where its results go.")
    server = remote.remote_of(
        sources, study=study, since=since, modality=modality, plain_http=plain_http, stow=stow
    )
    if server is not None:
        server.check(dicom=dicom, engine=engine)
    if server is None and all(map(_is_nowhere, sources)):  # one of many is a row, not an end
        raise usage(f"there is no {', no '.join(map(str, sources))}.")
    user = None if spacing is None else user_calibration(spacing)
    key = read_key(pseudonymise)
    part = _read_shard(shard)

    from inference.clip import Settings
    from inference.run import Output
    from inference.shards import shard_folder
    from models.bundle import BundleError, load_bundle
    from models.runtime import DeviceError

    try:
        model = load_bundle(bundle)
        measures = _engine(model, device, workers, scheduler)
    except (BundleError, DeviceError) as error:
        raise usage(str(error)) from None
    settings = Settings(
        threshold_mm=threshold,
        user=user,
        allow_ruler=allow_ruler,
        all_frames=frames == "all",
        pseudonym_key=key,
    )
    output = None
    if out is not None:
        folder = shard_folder(out, *part) if shard else out
        output = Output(folder, read_kinds(dicom, "--dicom"), names_in_report)
    options = {
        "sources": sources,
        "bundle": model,
        "engine": measures,
        "settings": settings,
        "output": output,
        "shard": part,
        "fresh": fresh,
    }
    how = _measure if server is None else partial(_measure_remote, server)
    run = how(options, as_json=as_json, json_logs=json_logs)
    if not run.files and not shard and server is not None:
        raise usage(f"{server.address.name} has nothing of what was asked for: {server.asked}.")
    if not run.files and not shard:
        raise usage(
            f"no DICOM, PNG, JPEG or TIFF files in {', '.join(map(str, sources))} "
            f"({run.skipped} other files looked at)."
        )
    raise _ended(run, output.folder if output else None, table=not as_json)


def _measure(options: dict[str, Any], *, as_json: bool, json_logs: bool) -> "Run":
    """Measure, showing how far it is; raise what ends the command where it ends early."""
    from app.progress import progress_on
    from app.report import Rows
    from inference.jobs import EngineError
    from inference.run import OutputError, UnusableOutputError, measure

    with progress_on(sys.stderr, json_logs=json_logs) as progress:
        watcher = Rows(progress) if as_json else progress
        try:
            run = measure(**options, watcher=watcher)
        except UnusableOutputError as error:
            raise usage(f"--out {error}") from None
        except (OutputError, EngineError) as error:
            raise end(f"{error} The run ended after {progress.done} clips.") from None
        except KeyboardInterrupt:
            kept = ""
            if options["output"] and progress.done:
                folder = options["output"].folder
                kept = f" Their rows are in {folder}; the same command goes on from there."
            raise end(f"interrupted after {progress.done} clips.{kept}", INTERRUPTED) from None
        progress.end(complete=True, skipped=run.skipped)
    return run


def _measure_remote(
    server: remote.Remote, options: dict[str, Any], *, as_json: bool, json_logs: bool
) -> "Run":
    """As `_measure`, from a DICOMweb server, to which results go back if that was asked for."""
    from data.dicomweb import DicomwebError
    from inference.run import DICOM

    try:
        with server.connected() as connection:
            options["search"] = remote.search_of(connection, server.query)
            run = _measure(options, as_json=as_json, json_logs=json_logs)
            if server.stow:
                sent, there, problems = remote.send_back(
                    connection, options["output"].folder / DICOM
                )
                typer.echo(
                    f"endometer: {sent} DICOM results sent to the server, {there} were there.",
                    err=True,
                )
                if problems:
                    raise end(
                        f"{len(problems)} DICOM results were not sent. Run again to send them.\n"
                        + "\n".join(problems[:10])
                    )
    except DicomwebError as error:
        raise end(f"{server.address.name}: {error}") from None
    return run


def _ended(run: "Run", out: Path | None, *, table: bool) -> typer.Exit:
    """Show what came of a run; return what ends the command."""
    from app.report import notes, print_table

    typer.echo("".join(f"endometer: {note}\n" for note in notes(run)), err=True, nl=False)
    if table:
        print_table(run, out)
    return typer.Exit(FAILED if run.failed else 0)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise usage(f"{option} {value!r} is none of {', '.join(choices)}.")


def _engine(model: "Bundle", device: str, workers: int | None, scheduler: str | None) -> "Engine":
    """Return what measures. Raises DeviceError, BundleError."""
    from models.runtime import choose_runtime

    if scheduler is not None:
        from inference.dask_engine import Dask

        return Dask(model, scheduler, "cuda" if device == "cuda" else "cpu")
    from inference.engines import Local, Threaded, cores

    runtime = choose_runtime(model, device)
    several = Local if runtime.device == "cpu" else Threaded
    return several(model, runtime, workers or cores())


@commands.command()
def gather(
    out: Annotated[Path, typer.Argument(help="The folder that the shards were measured into.")],
    names_in_report: NamesInReport = False,
) -> None:
    """Make the tables of an archive that was measured with --shard 1/N to N/N.

    For instance:  [bold]endometer gather results/[/bold]
    """
    from inference.run import Output, OutputError, UnusableOutputError
    from inference.shards import gather as gather_shards

    try:
        run = gather_shards(Output(out, names=names_in_report))
    except UnusableOutputError as error:
        raise usage(str(error)) from None
    except OutputError as error:
        raise end(str(error)) from None
    raise _ended(run, out, table=True)


def _read_shard(text: str | None) -> tuple[int, int]:
    """Return (i, n) of `--shard i/n`; all in one part if there is none."""
    if text is None:
        return 1, 1
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= part <= parts:
        raise usage(f"--shard {text!r} is not I/N with I from 1 to N, for instance --shard 3/10.")
    return part, parts


def _is_nowhere(source: Path) -> bool:
    """Tell whether there is surely nothing of that name. Never raises, as Path.exists does."""
    from imaging.source import Source

    try:
        Source.at(source).path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False  # its row will say what is wrong with it
    return False
