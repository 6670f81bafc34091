"""What commands share: options, exit statuses, and how they end early."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imaging.calibration import Calibration
    from inference.dicom.maker import Kind

DEVICES = ("auto", "cpu", "cuda")
Device = Annotated[str, typer.Option(metavar="|".join(DEVICES), help="Where to compute.")]
Model = Annotated[Path | None, typer.Option(help="Folder of a model; the shipped one if left out.")]
FAILED, USAGE, INTERRUPTED = 1, 2, 130


def end(message: str, status: int = FAILED) -> typer.Exit:
    """Print to standard error why there is no result, or not all of it; raise what this returns."""
    typer.echo(f"endometer: {message}", err=True)
    return typer.Exit(status)


def usage(message: str) -> typer.Exit:
    """As `end`, for what was wrong with the call."""
    return end(message, USAGE)


def missing(what: str, error: ImportError) -> typer.Exit:
    """As `usage`, for a command that needs packages of training which are not installed."""
    return usage(
        f"{what} needs packages that are missing ({error}): pip install 'endometer[train]'"
    )


def check_device(device: str) -> None:
    """Raise what ends a call with a device that there is not."""
    if device not in DEVICES:
        raise usage(f"--device {device!r} is none of {', '.join(DEVICES)}.")


def user_calibration(text: str) -> "Calibration":
    """Return the scale of `--spacing ROW,COLUMN`; raise what ends a call with one that is none."""
    from imaging.calibration import Calibration
    from imaging.calibration import user_calibration as given

    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise usage(
            f"--spacing {text!r} is not ROW,COLUMN: two numbers of millimetres per pixel, "
            "for instance --spacing 0.12,0.12."
        ) from None
    scale = given(row, column)
    if isinstance(scale, Calibration):
        return scale
    raise usage(f"--spacing {text}: {scale.message}")


def read_kinds(text: str | None, option: str) -> "frozenset[Kind]":
    """Return the kinds of results of `option sr,seg,sc`; raise what ends a call with others."""
    from inference.dicom.maker import Kind, MissingExtraError, require_highdicom

    if text is None:
        return frozenset()
    try:
        kinds = frozenset(Kind(part.strip().lower()) for part in text.split(","))
        require_highdicom()
    except ValueError:
        raise usage(f"{option} {text!r} is no list of sr, seg and sc, such as sr,sc.") from None
    except MissingExtraError as error:
        raise usage(f"{option}: {error}") from None
    return kinds


def read_key(path: Path | None, option: str = "--pseudonymise") -> bytes | None:
    """Return the key of `option KEYFILE`; raise what ends a call with one that is none."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise usage(f"{option} {path} cannot be read: {error.strerror}.") from None
    if len(key) < 16:
        raise usage(
            f"{option} {path} has {len(key)} bytes; a key needs 16 or more, for instance "
            "from `openssl rand -hex 32`."
        )
    return key
