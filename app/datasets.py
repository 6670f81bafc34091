"""The command line: data sets of annotated images, from any annotation tool to train and test."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.base import FAILED, end, read_key, usage, user_calibration
from app.nnunet import export_nnunet
from data.importers.formats import AUTO, BY_NAME
from data.importers.patients import RULES

commands = typer.Typer(
    no_args_is_help=True,
    help="Data sets of annotated images: import them, check them, split them.",
)
commands.command("export")(export_nnunet)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.command("import")
def import_(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="File or folder of annotations.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the data set.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"What wrote them: {', '.join(BY_NAME)}; {AUTO} finds out.",
        ),
    ] = AUTO,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=MEANING",
            help="What a label means: endometrium, fluid, background (cut out of both) or ignore. "
            "Once for every name.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="endometrium[,fluid]",
            help="What the annotators told apart. If left out, what --map names: without a name "
            "for fluid, nobody said that there is none.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, if it is not that of SOURCE.")
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(metavar="ROW,COLUMN", help="Mm per pixel of the images that carry no scale."),
    ] = None,
    patient: Annotated[
        str,
        typer.Option(
            metavar="|".join([*RULES, "REGEX"]),
            help="Who an image is of: PatientID or what the annotation says (auto), nobody knows "
            "(none), PatientID (dicom), the image's folder, or the group of a regular expression "
            "in its path.",
        ),
    ] = "auto",
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            metavar="KEYFILE", help="Key of the patients' pseudonyms: 16 bytes or more, kept safe."
        ),
    ] = None,
    plain_patients: Annotated[
        bool,
        typer.Option("--plain-patients", help="Write patients as they are called, not pseudonyms."),
    ] = False,
    annotator: Annotated[str | None, typer.Option(help="Who drew, beside every item.")] = None,
    empty: Annotated[
        bool,
        typer.Option("--empty", help="Images with nothing drawn show no endometrium: take them."),
    ] = False,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Import what is sound, leave out the rest.")
    ] = False,
    append: Annotated[bool, typer.Option("--append", help="Add to the data set in OUT.")] = False,
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Also write which image came from which file and patient. It names patients.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import annotations of any tool into one folder: images, label images and dataset.json.

    For instance:  [bold]endometer dataset import slicer/ annotated/ --map Endometrium=endometrium
    --map Fluid=fluid[/bold]

    All or nothing: a fault or a name that is not mapped is told, with all others, and nothing is
    written. Exit status: 0 imported, 1 nothing was, 2 wrong usage. docs/datasets.md has the
    formats.
    """
    if format_ not in (AUTO, *BY_NAME):
        raise usage(f"--format {format_!r} is none of {', '.join([AUTO, *BY_NAME])}.")
    for path, what in ((source, "SOURCE"), (images, "--images")):
        if path is not None and not path.exists():
            raise usage(f"{what} {path} is not there.")
    if plain_patients and pseudonymise:
        raise usage("--plain-patients and --pseudonymise exclude each other.")
    scale = None if spacing is None else user_calibration(spacing).spacing_mm

    from app.evaluation import progress
    from data.importers.formats import FormatError
    from data.importers.labels import MappingError, read_mapping
    from data.importers.needs import MissingPackageError
    from data.importers.patients import RuleError
    from data.importing import ImportFailedError, Wishes, import_dataset

    try:
        wishes = Wishes(
            mapping=read_mapping(mapping or []),
            format=format_,
            labels=None if labels is None else tuple(n.strip() for n in labels.split(",")),
            images=images,
            spacing_mm=scale,
            patient=patient,
            annotator=annotator,
            key=read_key(pseudonymise),
            plain=plain_patients,
            empty=empty,
            skip_faulty=skip_faulty,
            append=append,
            listing=originals,
        )
        with progress(sys.stderr, None) as advance:
            done = import_dataset(source, out, wishes, lambda _: advance())
    except (FormatError, MappingError, MissingPackageError, RuleError) as error:
        raise usage(str(error)) from None
    except ImportFailedError as error:
        raise end(str(error)) from None
    except OSError as error:
        raise end(f"{error.filename or out} cannot be written: {error.strerror or error}") from None
    from app.import_words import in_words

    for line in in_words(done, wishes):
        typer.echo(f"endometer: {line}", err=True)
    if as_json:
        facts: dict[str, Any] = {**asdict(done), "faults": [str(fault) for fault in done.faults]}
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        typer.echo(f"{done.items} items of {done.format} are in {out}.")


@commands.command()
def check(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Data sets: each is taken for a part of one split. A folder that `dataset split` "
            "made stands for its parts.",
        ),
    ],
    contact_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Also draw every label over its image."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at data sets before any compute: broken files, odd labels, leaks, names, thickness.

    For instance:  [bold]endometer dataset check annotated/ --contact-sheet sheet.png[/bold]

    Every finding names its file and what to do. Exit status: 0 nothing, or warnings only, 1 errors
    that must be mended, 2 wrong usage.
    """
    from app.dataset_words import print_check
    from app.evaluation import progress
    from data.cases import CasesError
    from data.importers.needs import MissingPackageError
    from training.datasets.check import check as run
    from training.datasets.check import parts_of
    from training.datasets.sheet import contact_sheet as draw

    for folder in folders:
        if not folder.is_dir():
            raise usage(f"{folder} is no folder.")
    try:
        with progress(sys.stderr, None, "items") as advance:
            found = run([part for folder in folders for part in parts_of(folder)], advance)
        drawn = None if contact_sheet is None else draw(found.looks, contact_sheet)
    except (CasesError, MissingPackageError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{contact_sheet} cannot be written: {error.strerror or error}.") from None
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print_check(found)
    if drawn is not None:
        typer.echo(f"endometer: {drawn} items are drawn in {contact_sheet}.", err=True)
    raise typer.Exit(FAILED if found.errors else 0)


@commands.command()
def split(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data set (dataset.json).")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for its parts.")],
    test: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the items to judge with at the end.")
    ] = 0.2,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the items to choose weights with.",
            show_default="0.2, or the folds",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="The same seed gives the same split.")
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="Cut what is not test into so many folds."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cut a data set into train, validation and test, by patient and alike in thickness.

    For instance:  [bold]endometer dataset split annotated/ split/[/bold]

    OUT/train, OUT/validation and OUT/test are data sets themselves; with --folds K these are
    OUT/fold-1/train, OUT/fold-1/validation, ... and OUT/test. The same picture never lies in two.
    Exit status: 0 split, 2 wrong usage or items that cannot be used.
    """
    if folds is not None and validation is not None:
        raise usage("--folds makes the validation parts; leave out --validation.")
    aside = 0.2 if validation is None else validation
    if folds is None and test + aside > 0.9 + 1e-9:
        raise usage(f"--test {test:g} and --validation {aside:g} leave too little to train on.")
    if folds is None and test == aside == 0:
        raise usage("--test 0 --validation 0 splits nothing.")
    from app.dataset_words import print_split
    from app.evaluation import progress
    from data.cases import CasesError
    from data.importers.needs import MissingPackageError
    from data.splits import SplitError
    from training.datasets.split import split_dataset

    try:
        with progress(sys.stderr, None, "items") as advance:
            done = split_dataset(
                folder, out, test=test, validation=aside, folds=folds, seed=seed, note=advance
            )
    except (CasesError, MissingPackageError, SplitError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(
            f"{error.filename or out} cannot be written: {error.strerror or error}."
        ) from None
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
    else:
        print_split(done, out)
