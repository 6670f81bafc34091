"""What the terminal shows: progress, the table of results, the state of the installation."""

import platform
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from inference.records import Call, ClipRecord, Status
from inference.run import Run
from inference.words import in_words

STYLES = {Call.THIN: "red", Call.NOT_THIN: "green", Call.INDETERMINATE: "yellow"}
# More rows than this belong into a table file, not on a screen.
MAX_ROWS = 50


class Progress:
    """A bar on a terminal, silence elsewhere. How many files there will be is not known."""

    def __init__(self, stream: TextIO) -> None:
        """Show on `stream`, if it is a terminal."""
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.completed} clips"),
            TimeElapsedColumn(),
            console=Console(file=stream),
            disable=not stream.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("clips", total=None)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def advance(self) -> None:
        """Count one clip."""
        self._bar.advance(self._task)


def print_table(run: Run, out: Path | None) -> None:
    """Print what a run found, a line per clip, and where the tables lie."""
    console = Console(soft_wrap=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("clip", overflow="fold")
    table.add_column("frame", justify="right")
    table.add_column("result", overflow="fold")
    for record in run.records[:MAX_ROWS]:
        table.add_row(Path(record.file).name, _frame(record), _result(record))
    console.print(table)
    if len(run.records) > MAX_ROWS:
        console.print(f"... and {len(run.records) - MAX_ROWS} more in the tables.")
    counts = dict.fromkeys(Status, 0)
    for record in run.records:
        counts[record.best.status] += 1
    console.print(
        f"{counts[Status.MEASURED]} measured, {counts[Status.NOT_MEASURABLE]} refused, "
        f"{counts[Status.FAILED]} failed, {run.skipped} other files skipped."
    )
    if out is not None:
        console.print(f"Tables and overlays are in {out}.")


def _frame(record: ClipRecord) -> str:
    if record.best.frame is None or record.frames is None:
        return ""
    return f"{record.best.frame}/{record.frames}"


def _result(record: ClipRecord) -> str:
    best = record.best
    words = in_words(best)
    if best.status is Status.FAILED:
        return f"[red]{words}:[/red] {_plain(best.message or '')}"
    if best.call is not None:
        return f"[{STYLES[best.call]}]{words}[/]"
    return words


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def gather_info() -> dict[str, Any]:
    """Return versions, bundles, device and decoders as plain data."""
    from models.bundle import BundleError, load_bundle

    try:
        bundle = load_bundle()
        model = {
            "name": bundle.name,
            "sha256": bundle.sha256,
            "grid": f"{bundle.grid.size} x {bundle.grid.size} at {bundle.grid.mm_per_px} mm",
            "labels": list(bundle.labels),
            "licence": bundle.licence,
        }
    except BundleError as error:
        model = {"problem": str(error)}
    names = ("endometer", "pydicom", "SimpleITK", "scikit-image", "openvino", "torch", "monai")
    return {
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
        "bundle": model,
        "device": _devices(),
        "decoders": list(_decoders()),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, str]:
    cuda = "not used: torch is not installed (pip install 'endometer[train]')"
    if util.find_spec("torch") is not None:
        there = Path("/proc/driver/nvidia/version").exists()
        cuda = "available to --device cuda" if there else "not used: no NVIDIA driver was found"
    return {"cpu": "OpenVINO, float32", "cuda": cuda}


def _decoders() -> Iterator[dict[str, Any]]:
    """Yield every compressed transfer syntax, what decodes it here and what else could."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import (
        HTJ2K,
        JPEG2000,
        HTJ2KLossless,
        JPEG2000Lossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        RLELossless,
    )

    for uid in (
        RLELossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        HTJ2K,
    ):
        decoder = get_decoder(uid)
        yield {
            "transfer_syntax": uid.name,
            "uid": str(uid),
            "read_by": list(decoder.available_plugins),
            "missing": list(decoder.missing_dependencies),
        }


def print_info(facts: dict[str, Any]) -> None:
    """Print what `gather_info` found, for people."""
    console = Console()
    for title in ("versions", "bundle", "device"):
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        for name, value in facts[title].items():
            shown = ", ".join(value) if isinstance(value, list) else value
            table.add_row(name, _plain(str(shown)) if shown is not None else "not installed")
        console.print(table)
    table = Table("transfer syntax", "read by", "could also be read with", title="decoders")
    table.box, table.title_justify = None, "left"
    for row in facts["decoders"]:
        by = ", ".join(row["read_by"]) or "[red]nothing: such files fail[/red]"
        table.add_row(_plain(row["transfer_syntax"]), by, _plain("; ".join(row["missing"])))
    console.print(table)
    console.print("Uncompressed files of either byte order, and deflated ones, are always read.")
