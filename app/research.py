"""The command line: judging, calibrating and training models."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.base import FAILED, INTERRUPTED, Device, check_device, end, missing, usage

commands = typer.Typer()

Model = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Folder of a model; `default` is the shipped one.")
]


@commands.command()
def evaluate(
    bundle: Model,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with truth.csv (phantoms), labels.json (outlines) or dataset.json.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, cases.csv and summary.json.")
    ] = None,
    device: Device = "cpu",
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Also whether it may be believed: intervals by group, calls on the wrong side, "
            "what every situation got, error against quality.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
) -> None:
    """Judge a model on clips of which the truth is known: Dice, errors in mm, refusals, misses.

    For instance:  [bold]endometer phantom phantoms/ --n 100[/bold]  and then
    [bold]endometer evaluate default phantoms/ --out judged/[/bold]

    Exit status: 0 every case was compared, 1 some could not be (they are in the tables), 2 wrong
    usage. Needs the extra packages of training: pip install 'endometer\\[train]'.
    """
    check_device(device)
    from data.cases import CasesError, read_cases
    from models.bundle import BundleError, load_bundle
    from models.runtime import DeviceError, choose_runtime
    from training.metrics import MonaiMissingError, check_monai

    try:
        model = load_bundle(None if bundle == "default" else Path(bundle))
        cases = read_cases(dataset)
        check_monai()
        runtime = choose_runtime(model, device)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
    except (BundleError, CasesError, DeviceError, MonaiMissingError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise usage(f"--out {out} cannot be written: {error.strerror or error}.") from None

    from app.evaluation import print_evaluation, progress
    from training.evaluate import evaluate as run
    from training.report import summary_of, write_report

    with progress(sys.stderr, len(cases)) as advance:
        results = run(cases, model, runtime, on_case=lambda _: advance())
    summary = summary_of(results, model, trust=trust)
    if as_json:
        typer.echo(json.dumps(summary.as_json(), ensure_ascii=False, allow_nan=False))
    else:
        print_evaluation(summary)
    if out is not None:
        try:
            write_report(out, summary, cases, model, runtime)
        except OSError as error:
            raise end(f"{out} cannot be written: {error.strerror or error}.") from None
        typer.echo(f"endometer: the report and its tables are in {out}.", err=True)
    raise typer.Exit(FAILED if summary.all.failed else 0)


@commands.command()
def calibrate(
    bundle: Model,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with truth.csv, labels.json or dataset.json, of patients that the model "
            "never saw.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="New folder for the calibrated model.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Its name in every result; BUNDLE's with -calibrated.")
    ] = None,
) -> None:
    """Fit a model's intervals on images of your own, so that they hold for patients like yours.

    For instance:  [bold]endometer calibrate default kept-aside/ calibrated/[/bold]  and then
    [bold]endometer measure archive/ --bundle calibrated --out results/[/bold]

    Split-conformal: what is measured does not change, only how far it is trusted. Needs the extra
    packages of training: pip install 'endometer\\[train]'.
    """
    try:
        from training.recalibrate import calibrated, check_free, write_calibrated
    except ImportError as error:
        raise missing("calibrating", error) from None
    from app.evaluation import print_calibration, progress
    from data.cases import CasesError, read_cases
    from models.bundle import BundleError, load_bundle
    from models.runtime import OpenVinoRuntime
    from training.evaluate import evaluate as run

    try:
        check_free(out)  # before minutes of measuring
        model = load_bundle(None if bundle == "default" else Path(bundle))
        cases = read_cases(dataset)
        runtime = OpenVinoRuntime(model)
        with progress(sys.stderr, len(cases)) as advance:
            results = run(cases, model, runtime, on_case=lambda _: advance())
        table, bins = calibrated(results)
        patients = len({result.patient for result in results})
        about = {"cases": len(cases), "patients": patients}
        write_calibrated(model, table, out, name or f"{model.name}-calibrated", about)
    except (BundleError, CasesError, ValueError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{out} cannot be written: {error.strerror or error}.") from None
    print_calibration(results, bins, table)
    typer.echo(f"The calibrated model is in {out}.")


@commands.command()
def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file; docs/training.md has its fields.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the run, made if it is not there.")
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            "--from",
            metavar="FOLDER|default",
            help="Begin from the weights of a run or a bundle, widened if `network.channels` are "
            "more; `default` is the shipped one.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=2,
            max=20,
            help="Train a network for each of K folds of the patients, in OUT/fold-1 and so on.",
        ),
    ] = None,
) -> None:
    """Train the network on phantoms, on annotated images of your own, or on both.

    For instance:  [bold]endometer train training/finetune.toml runs/mine --start default[/bold]

    The same command goes on with a run that was interrupted. Exit status: 0 the run is at its end,
    1 it ended early (130 if you interrupted it), 2 wrong usage. Needs the extra packages of
    training: pip install 'endometer\\[train]'.
    """
    try:
        from training.checkpoint import RunError
        from training.config import ConfigError, read_config
        from training.ensemble import train_all as run
        from training.team import joined
    except ImportError as error:
        raise missing("training", error) from None
    from app.training import watching
    from data.cases import CasesError

    try:
        with joined() as team, watching(sys.stderr) as watch:
            every = run(read_config(config), out, start, watch, folds=folds or 0, team=team)
    except (CasesError, ConfigError, RunError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(
            f"{error.filename or out} cannot be written: {error.strerror or error}."
        ) from None
    except KeyboardInterrupt:
        raise end(f"interrupted. The same command goes on with {out}.", INTERRUPTED) from None
    if team.leads:
        for checkpoint in every:
            typer.echo(f"{checkpoint} has the trained weights.")
