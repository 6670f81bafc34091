"""What commands share: options, exit statuses, and how they end early."""

from typing import Annotated

import typer

DEVICES = ("auto", "cpu", "cuda")
Device = Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to compute.")]
FAILED, USAGE, INTERRUPTED = 1, 2, 130


def end(message: str, status: int = FAILED) -> typer.Exit:
    """Print to standard error why there is no result, or not all of it; raise what this returns."""
    typer.echo(f"endometer: {message}", err=True)
    return typer.Exit(status)


def usage(message: str) -> typer.Exit:
    """As `end`, for what was wrong with the call."""
    return end(message, USAGE)


def check_device(device: str) -> None:
    """Raise what ends a call with a device that there is not."""
    if device not in DEVICES:
        raise usage(f"--device {device!r} is none of {', '.join(DEVICES)}.")
