"""What the terminal shows: the table of results, the state of the installation."""

import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference.records import Call, ClipRecord, Status
from inference.run import OutputError, Run, Watcher, printable
from inference.words import in_words

STYLES = {Call.THIN: "red", Call.NOT_THIN: "green", Call.INDETERMINATE: "yellow"}
# More rows than this belong into a table file, not on a screen.
MAX_ROWS = 50
# A file name may hold any of these; a terminal would obey them.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def _stop_printing() -> None:
    """Send the rest of standard output nowhere: its reader has gone (`| head -1`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Screen(Console):
    """A console that takes text as it is: names of files are no markup. A closed pipe ends none."""

    def __init__(self) -> None:
        """Print to standard output."""
        super().__init__(markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """See Console."""
        self.quiet = True
        _stop_printing()


class Rows:
    """Prints every clip as a line of JSON, and lets another watcher hear of it first."""

    def __init__(self, watcher: Watcher) -> None:
        """Print to standard output."""
        self._watcher = watcher

    def clip(self, record: ClipRecord) -> None:
        """See Watcher. Raises OutputError."""
        self._watcher.clip(record)
        print_row(record)

    def total(self, clips: int) -> None:
        """See Watcher."""
        self._watcher.total(clips)


def print_row(record: ClipRecord) -> None:
    """Print a row as one line of JSON, as long as anybody reads. Raises OutputError."""
    try:
        sys.stdout.write(json.dumps(record.row(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _stop_printing()
    except OSError as error:
        _stop_printing()
        why = error.strerror or str(error)
        raise OutputError(f"Standard output cannot be written: {why}.") from None


def print_table(run: Run, out: Path | None) -> None:
    """Print what a run found, a line per clip, what there is to say to it, and where tables lie."""
    screen = Screen()
    table = Table(box=None, pad_edge=False)
    table.add_column("clip", overflow="fold")
    table.add_column("frame", justify="right")
    table.add_column("result", overflow="fold")
    shown = run.records[:MAX_ROWS]
    for record in shown:
        table.add_row(_name(record), _frame(record), _result(record))
    screen.print(table)
    if run.files > len(shown):
        screen.print(f"... and {run.files - len(shown)} more in the tables.")
    for record in shown:
        status, message = record.best.status, record.best.message
        alone = status is Status.NOT_MEASURABLE and run.files == 1
        if message and (alone or status is Status.MEASURED):
            screen.print(f"{_name(record)}: {line(message)}", soft_wrap=True)
    screen.print(
        f"{run.status[Status.MEASURED]} measured, {run.status[Status.NOT_MEASURABLE]} refused, "
        f"{run.failed} failed, {run.skipped} other files skipped."
    )
    if out is not None:
        screen.print(f"Tables, overlays and report.html are in {line(str(out))}.", soft_wrap=True)


def notes(run: Run) -> list[str]:
    """Return what a run passed over and should not pass over in silence, a sentence each."""
    empty = run.empty_sources if run.files else []  # else all are, which is an error of its own
    found = [f"there is nothing to measure in {line(name)}." for name in empty]
    if run.resumed:
        found.append(f"measured before and not again: {run.resumed}. --fresh measures all again.")
    if run.duplicates:
        found.append(f"copies of a clip that is there already: {run.duplicates}, measured once.")
    if run.archives:
        found.append(
            f"archives passed over: {run.archives}. endometer reads zip only, and none "
            "in another; unpack them to measure what they hold."
        )
    found += [f"no DICOM result of {n} clips: {why}" for why, n in run.dicom_notes.items()]
    if run.overlays_missing:
        found.append(f"overlays that could not be drawn: {run.overlays_missing}.")
    return found


def line(text: str) -> str:
    """Return text from outside as a terminal may show it: what would steer one becomes visible."""
    return printable(text).translate(_CONTROLS)


def one_result(record: ClipRecord) -> Text:
    """Return name, frame and result of one clip as a line."""
    frame = f" frame {_frame(record)}" if _frame(record) else ""
    return Text.assemble(f"{_name(record)}{frame}: ", _result(record))


def _name(record: ClipRecord) -> str:
    return line(Path(record.file).name)


def _frame(record: ClipRecord) -> str:
    if record.best.frame is None or record.frames is None:
        return ""
    return f"{record.best.frame}/{record.frames}"


def _result(record: ClipRecord) -> Text:
    best = record.best
    words = in_words(best)
    if best.status is Status.FAILED:
        return Text.assemble((f"{words}:", "red"), f" {line(best.message or '')}")
    return Text(words, STYLES[best.call] if best.call is not None else "")


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
    from pydicom import uid as uids
    from pydicom.pixels.decoders.base import get_decoder

    for uid in (
        uids.RLELossless,
        uids.JPEGBaseline8Bit,
        uids.JPEGExtended12Bit,
        uids.JPEGLossless,
        uids.JPEGLosslessSV1,
        uids.JPEGLSLossless,
        uids.JPEGLSNearLossless,
        uids.JPEG2000Lossless,
        uids.JPEG2000,
        uids.HTJ2KLossless,
        uids.HTJ2K,
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
    screen = Screen()
    for title in ("versions", "bundle", "device"):
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        for name, value in facts[title].items():
            shown = ", ".join(value) if isinstance(value, list) else value
            table.add_row(name, str(shown) if shown is not None else "not installed")
        screen.print(table)
    table = Table("transfer syntax", "read by", "could also be read with", title="decoders")
    table.box, table.title_justify = None, "left"
    for row in facts["decoders"]:
        nothing = Text("nothing: such files fail", "red")
        by = ", ".join(row["read_by"]) or nothing
        table.add_row(row["transfer_syntax"], by, "; ".join(row["missing"]))
    screen.print(table)
    screen.print("Uncompressed files of either byte order, and deflated ones, are always read.")
