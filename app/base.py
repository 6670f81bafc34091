"""What all commands share: exit statuses, and how they end early."""

import typer

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def end(message: str, status: int = FAILED) -> typer.Exit:
    """Print to standard error why there is no result, or not all of it; raise what this returns."""
    typer.echo(f"endometer: {message}", err=True)
    return typer.Exit(status)


def usage(message: str) -> typer.Exit:
    """As `end`, for what was wrong with the call."""
    return end(message, USAGE)
