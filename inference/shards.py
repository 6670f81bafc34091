"""One archive measured in parts, for array jobs without a cluster of their own kind.

`shard i of n` measures the files whose name falls to it into `shards/i-of-n` of the output folder;
`gather` makes the tables of the whole from them, as one run would have made them.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from data.discover import OVERLAYS
from inference.ledger import LEDGER, Ledger
from inference.run import DICOM, Output, Run, write_tables
from inference.tables import UnusableOutputError, printable, replacing, writing

SHARDS = "shards"
_NAME = re.compile(r"(\d+)-of-(\d+)")


def shard_folder(out: Path, part: int, parts: int) -> Path:
    """Return the folder of part `part` of `parts`."""
    return out / SHARDS / f"{part}-of-{parts}"


def gather(output: Output) -> Run:
    """Make the tables of a folder from those of its shards.

    Raises UnusableOutputError if a shard is missing, has not come to its end, or was measured with
    another model or other settings; OutputError if the tables cannot be written.
    """
    out = output.folder
    folders = _folders(out / SHARDS)
    summaries = [_summary(folder) for folder in folders]
    run = Run(complete=True, seconds=sum(summary["seconds"] for summary in summaries))
    with Ledger(out / LEDGER) as ledger:
        own = [ledger.absorb(folder / LEDGER, first=folder == folders[0]) for folder in folders]
        # Every shard passed over the same files; the reports among them are each shard's own.
        counts = summaries[0]["counts"]
        run.skipped = counts["skipped"] - own[0]
        run.archives, run.empty_sources = counts["archives"], counts["empty_sources"]
        run.add(ledger)
        for folder in folders:
            for name in (OVERLAYS, DICOM):
                _link_files(folder / name, out / name)
        about = {name: summaries[0][name] for name in ("versions", "bundle", "settings")}
        write_tables(ledger, output, about | run.summary() | {"shards": len(folders)})
    return run


def _link_files(folder: Path, to: Path) -> None:
    """Show a shard's files in the whole, without a copy where the file system can.

    Raises OutputError.
    """
    if not folder.is_dir():
        return
    with writing(to):
        to.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.suffix == ".part":
                continue
            with replacing(to / path.name) as temporary:
                try:
                    os.link(path, temporary)
                except OSError:
                    shutil.copyfile(path, temporary)


def _folders(shards: Path) -> list[Path]:
    """Return the folders of all parts of one division, in order."""
    found = {
        (int(name[2]), int(name[1])): folder
        for folder in (shards.iterdir() if shards.is_dir() else ())
        if (name := _NAME.fullmatch(folder.name))
    }
    divisions = {parts for parts, _ in found}
    if len(divisions) != 1:
        raise UnusableOutputError(
            f"{printable(str(shards))} holds no shards; measure with --shard 1/N to N/N first."
            if not divisions
            else f"{printable(str(shards))} holds shards of {len(divisions)} divisions "
            f"({', '.join(map(str, sorted(divisions)))} parts). Delete those of the wrong ones."
        )
    (parts,) = divisions
    if missing := [part for part in range(1, parts + 1) if (parts, part) not in found]:
        raise UnusableOutputError(
            f"Not measured yet: {', '.join(f'{part}/{parts}' for part in missing)}. Run them with "
            "--shard, then gather again."
        )
    return [found[parts, part] for part in range(1, parts + 1)]


def _summary(folder: Path) -> dict[str, Any]:
    """Return what `run.json` of a shard says. Raises UnusableOutputError."""
    try:
        found: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
        if found["complete"]:
            return found
    except (OSError, ValueError, KeyError):
        pass
    raise UnusableOutputError(
        f"The shard {folder.name} has not come to its end. Run it again with --shard; it goes on "
        "where it was."
    )
