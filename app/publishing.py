"""The command line: results to shared or object storage."""

from pathlib import Path
from typing import Annotated

import typer

from app.base import end, usage

commands = typer.Typer()


@commands.command()
def publish(
    results: Annotated[
        Path, typer.Argument(help="Folder that `endometer measure --out` or `gather` wrote.")
    ],
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="A folder, or an address such as s3://bucket/folder."
        ),
    ],
) -> None:
    """Write a run's tables as Parquet parts to a shared folder or object storage.

    For instance:  [bold]endometer publish results/ s3://bucket/archive-2026[/bold]

    Any storage that fsspec knows; its package has to be there (s3fs, gcsfs, adlfs ...), which finds
    your login in its usual place. run.json is written last: where it lies, all parts are there.
    The tables hold what your results hold, patient identifiers, too, unless they were measured with
    --pseudonymise.
    """
    from inference.publish import PublishError, without_login
    from inference.publish import publish as write
    from inference.tables import UnusableOutputError

    try:
        names = write(results, address)
    except UnusableOutputError as error:
        raise usage(str(error)) from None
    except PublishError as error:
        raise end(str(error)) from None
    parts = sum(name.endswith(".parquet") for name in names)
    typer.echo(f"{parts} parts of two tables and run.json are in {without_login(address)}.")
