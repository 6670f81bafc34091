"""The command line: a data set for nnU-Net v2, `endometer dataset export`."""

from pathlib import Path
from typing import Annotated

import typer

from app.base import end, usage

FORMATS = ("nnunet",)


def export_nnunet(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with train, validation and test, each a data set; or one data set.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder that becomes nnUNet_raw, or is it already."),
    ],
    to: Annotated[str, typer.Option(metavar="|".join(FORMATS), help="What to write.")] = FORMATS[0],
    number: Annotated[int, typer.Option(help="nnU-Net's number of the data set, 1 to 999.")] = 501,
    name: Annotated[str, typer.Option(help="Its name, letters and digits.")] = "Endometer",
    ending: Annotated[
        str,
        typer.Option(
            metavar=".png|.nii.gz", help="Files to write; nnU-Net reads a spacing from NIfTI only."
        ),
    ] = ".png",
) -> None:
    """Write a data set as nnU-Net v2 wants it, with the same split by patient.

    For instance:  [bold]endometer dataset export split/ nnUNet_raw/ --to nnunet[/bold]

    Pictures are numbered; cases.csv tells which was which. Exit status: 0 written, 1 it could not
    be, 2 wrong usage.
    """
    if to not in FORMATS:
        raise usage(f"--to {to!r} is none of {', '.join(FORMATS)}.")
    from data.cases import CasesError
    from data.nnunet import SPLITS, TEST, VALIDATION, write_nnunet

    try:
        made = write_nnunet(dataset, out, number=number, name=name, ending=ending)
    except (CasesError, ValueError) as error:
        raise usage(str(error)) from None
    except OSError as error:
        raise end(f"{error.filename or out}: {error.strerror or error}.") from None
    kinds = [row.split for row in made.cases]
    learning = len(kinds) - kinds.count(TEST)
    typer.echo(
        f"{learning} cases to learn from ({kinds.count(VALIDATION)} of them for validation) and "
        f"{kinds.count(TEST)} to test on are in {made.folder}, labels {', '.join(made.labels)}."
    )
    if made.left_out:
        left = len(made.left_out)
        typer.echo(f"endometer: {left} cases left out: nobody drew what they show.", err=True)
    if ending == ".png" and any(row.row_mm for row in made.cases):
        typer.echo(
            "endometer: nnU-Net takes every pixel of a PNG for as large; with --ending .nii.gz it "
            "gets the millimetres.",
            err=True,
        )
    typer.echo(
        f"After planning, copy {SPLITS} into nnUNet_preprocessed/{made.folder.name}: it keeps the "
        "split of patients."
    )
