"""What a check and a split of a data set say to a person."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.evaluation import WIDE
from training.datasets.check import BINS_MM, Checked, Thicknesses
from training.datasets.look import Level
from training.datasets.split import Split

# Findings of one kind that are shown before they are only counted; --json has all.
SHOWN = 5


def print_check(found: Checked) -> None:
    """Print the findings by kind, then the thicknesses by folder."""
    screen = _screen()
    for (level, kind), same in groupby(found.findings, lambda one: (one.level, one.kind)):
        listed = list(same)
        screen.print(f"{level}: {kind} ({len(listed)})", style="red" if _bad(level) else "yellow")
        for message, alike in groupby(listed[:SHOWN], lambda one: one.message):
            files = [finding.file for finding in alike]
            said = f"  {files[0]}: {message}" if len(files) == 1 else f"  {message}"
            screen.print(said, soft_wrap=True)
            if len(files) > 1:
                screen.print(f"    {', '.join(files)}", soft_wrap=True)
        if len(listed) > SHOWN:
            screen.print(f"  and {len(listed) - SHOWN} more; --json has all.")
    if found.findings:
        screen.print()
    rows = dict(found.folders)
    if len(rows) > 1:
        rows["all"] = found.all
    screen.print(_thicknesses(rows))
    warnings = len(found.findings) - found.errors
    screen.print(f"{len(found.looks)} items, {found.errors} errors, {warnings} warnings.")


def print_split(done: Split, out: Path) -> None:
    """Print the parts, and what holds groups together."""
    screen = _screen()
    screen.print(_thicknesses(done.parts))
    if done.joined:
        screen.print(
            f"{done.joined} groups of images stay together because they show the same picture, "
            "though nobody says that they are of one patient.",
            soft_wrap=True,
        )
    unnamed = max(part.unnamed for part in done.parts.values())
    if unnamed:
        screen.print(
            "Of some items nobody knows the patient: each image stands for one, so the same "
            "patient may be in two parts.",
            soft_wrap=True,
        )
    screen.print(f"{len(done.parts)} parts of {done.groups} groups are in {out}.", soft_wrap=True)


def _bad(level: Level) -> bool:
    return level is Level.ERROR


def _screen() -> Console:
    screen = Console(markup=False, emoji=False, highlight=False)
    if not screen.is_terminal:
        screen.width = WIDE
    return screen


def _thicknesses(rows: Mapping[str, Thicknesses]) -> Table:
    table = Table("", box=None, pad_edge=False)
    for name in ("items", "patients", "empty", "no mm", "least", "median", "most"):
        table.add_column(name, justify="right")
    for low, high in zip(BINS_MM, (*BINS_MM[1:], None), strict=True):
        name = f"below {high:g}" if low == 0 else f"{low:g}–{high:g}" if high else f"{low:g} on"
        table.add_column(f"{name} mm", justify="right")
    for name, found in rows.items():
        mm = (found.smallest_mm, found.median_mm, found.largest_mm)
        table.add_row(
            name,
            str(found.items),
            f"{found.patients}{'+?' if found.unnamed else ''}" if found.patients else "?",
            str(found.empty),
            str(found.unmeasured),
            *("" if value is None else f"{value:.1f}" for value in mm),
            *(str(count) for count in found.bins),
        )
    return table
