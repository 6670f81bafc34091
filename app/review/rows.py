"""The tables of a run, read back: rows per clip, the few columns per frame that a strip shows."""

import csv
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.review.settings import ReviewError
from inference.records import CLIP_COLUMNS, Value

Row = dict[str, Value]
STRIP = ("file", "frame", "status", "thickness_mm", "lower_mm", "upper_mm", "quality")


@dataclass(frozen=True)
class RunTables:
    """A run's clips, its frames and `run.json`. `strip` are columns of equal length, by file."""

    rows: list[Row]
    strip: Mapping[str, list[Any]]
    summary: Mapping[str, Any]

    @property
    def threshold_mm(self) -> float:
        """The threshold that calls were made against."""
        return float(self.summary["settings"]["threshold_mm"])

    def frames_of(self, file: str) -> list[dict[str, Any]]:
        """Return the frames of a clip that were measured, in their order."""
        files = self.strip["file"]
        found = range(bisect_left(files, file), bisect_right(files, file))
        names = STRIP[1:]
        return [{name: self.strip[name][i] for name in names} for i in found]


def stamp_of(folder: Path) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when a run writes its tables anew: inode, time and size of each file."""
    found = []
    for name in ("run.json", "measurements.parquet", "measurements.csv", "frames.parquet"):
        try:
            stated = (folder / name).stat()
        except OSError:
            continue
        found.append((stated.st_ino, stated.st_mtime_ns, stated.st_size))
    return tuple(found)


def read_run(folder: Path) -> RunTables:
    """Read a run's folder. Raises ReviewError."""
    if not folder.is_dir():
        raise ReviewError(f"{folder} is no folder; name the one that measure --out wrote.")
    try:
        summary = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        float(summary["settings"]["threshold_mm"])
        str(summary["bundle"]["sha256"])
        parquet = folder / "measurements.parquet"
        rows = _parquet_rows(parquet) if parquet.is_file() else _csv_rows(folder)
        strip = _strip(folder / "frames.parquet")
    except FileNotFoundError as error:
        raise ReviewError(
            f"{folder} holds no run: there is no {Path(str(error.filename)).name}. Name the folder "
            "that measure --out wrote."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReviewError(
            f"the tables in {folder} cannot be read ({type(error).__name__}: {error}). Run the "
            "same measure command again: it writes them anew."
        ) from None
    return RunTables(rows, strip, summary)


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, list[Any]]:
    from arro3.io import read_parquet

    try:
        with path.open("rb") as file:
            table = read_parquet(file).read_all()
            missing = set(names) - set(table.column_names)
            if missing:
                raise ValueError(f"{path.name} has no column {', '.join(sorted(missing))}")
            return {name: table.column(name).to_pylist() for name in names}
    except (OSError, ValueError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - arro3 panics where Python would raise
        raise ValueError(f"{path.name} is damaged: {type(error).__name__}") from None


def _parquet_rows(path: Path) -> list[Row]:
    columns = _columns(path, tuple(CLIP_COLUMNS))
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _csv_rows(folder: Path) -> list[Row]:
    with (folder / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    missing = set(CLIP_COLUMNS) - set(rows[0] if rows else CLIP_COLUMNS)
    if missing:
        raise ValueError(f"measurements.csv has no column {', '.join(sorted(missing))}")
    return [{name: _typed(row[name], kind) for name, kind in CLIP_COLUMNS.items()} for row in rows]


def _typed(text: str | None, kind: type) -> Value:
    if not text:
        return None
    if kind is bool:
        return text == "true"
    found: Value = kind(text)
    return found


def _strip(path: Path) -> Mapping[str, list[Any]]:
    """Return the frames' columns sorted by file and frame; none where the table is not there."""
    if not path.is_file():
        return {name: [] for name in STRIP}
    columns = _columns(path, STRIP)
    files, frames = columns["file"], columns["frame"]
    order = sorted(range(len(files)), key=lambda i: (files[i], frames[i] or 0))
    return {name: [values[i] for i in order] for name, values in columns.items()}
