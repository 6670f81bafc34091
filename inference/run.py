"""Many clips into one folder: measure, draw, write the tables. One file's fault stays its own."""

import hmac
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from data.discover import OVERLAYS, Found, Searched, Skipped, discover
from imaging.clip import Clip
from imaging.source import Source
from inference.clip import MeasuredClip, Settings, measure_clip
from inference.overlay import draw_overlay, neighbourhood, save_overlay
from inference.records import (
    CLIP_COLUMNS,
    FRAME_COLUMNS,
    ClipRecord,
    Status,
    Value,
    frame_row,
)
from inference.tables import (
    OutputError,
    UnusableOutputError,
    make_folder,
    printable,
    replacing,
    write_csv,
    write_json,
    write_parquet,
    writing,
)
from models.bundle import Bundle
from models.runtime import Runtime

__all__ = [
    "OutputError",
    "Run",
    "UnusableOutputError",
    "measure",
    "overlay_name",
    "printable",
    "run_summary",
    "write_run",
]

VERSIONED = ("endometer", "pydicom", "SimpleITK", "scikit-image", "numpy", "scipy", "openvino")
_OVERLAY_NAME = re.compile(r"[0-9a-f]{12}-frame\d{4,}\.png")


@dataclass
class Run:
    """What a run has gathered: `records` sorted by file when it is done.

    `skipped` counts files that are no images; `archives` are those of them that might hold some.
    `empty_sources` are named folders without anything to measure, `overlays_missing` pictures that
    could not be drawn. `complete` tells that the run came to its end.
    """

    records: list[ClipRecord] = field(default_factory=list)
    frame_rows: list[dict[str, Value]] = field(default_factory=list)
    skipped: int = 0
    archives: int = 0
    empty_sources: list[str] = field(default_factory=list)
    overlays_missing: int = 0
    complete: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Return how many files could not be read."""
        return sum(record.best.status is Status.FAILED for record in self.records)


def measure(
    sources: Iterable[Path],
    bundle: Bundle,
    runtime: Runtime,
    settings: Settings | None = None,
    *,
    out: Path | None = None,
    on_clip: Callable[[ClipRecord], None] | None = None,
) -> Run:
    """Measure files and folders.

    With `out`, tables, `run.json` and overlays are written there, once there is a first clip; the
    overlays of a former run are taken away. `on_clip` is called after every clip. When the run
    ends early, for instance because the user interrupts it, what was measured is written all the
    same, and `run.json` says that it is not complete. Raises UnusableOutputError, before anything
    is measured, or OutputError if `out` cannot be written, and whatever `on_clip` raises.
    """
    settings = settings or Settings()
    if out is not None:
        make_folder(out)
        make_folder(out / OVERLAYS)
    run = Run()
    started = time.monotonic()
    try:
        for source, clip in _clips(sources, bundle, runtime, settings, out, run):
            if out is not None and not run.records:
                _clear(out / OVERLAYS)
            record = _pseudonymised(_printable(clip.record), settings.pseudonym_key)
            run.records.append(record)
            run.frame_rows += [frame_row(record, row) for row in clip.frames]
            if out is not None:
                run.overlays_missing += _draw(source, clip, out / OVERLAYS)
            if on_clip:
                on_clip(record)
        run.complete = True
    finally:
        run.records.sort(key=lambda record: record.file)
        run.frame_rows.sort(key=lambda row: (row["file"], row["frame"]))
        run.seconds = time.monotonic() - started
        if out is not None and run.records:
            write_run(run, out, bundle, runtime, settings)
    return run


def _clips(
    sources: Iterable[Path],
    bundle: Bundle,
    runtime: Runtime,
    settings: Settings,
    out: Path | None,
    run: Run,
) -> Iterator[tuple[Source, MeasuredClip]]:
    """Yield every clip with its source; count in `run` what is none."""
    reports = 0  # sound DICOM without an image in the folder that is being searched
    for found in discover(sources, leave_out=out):
        if isinstance(found, Searched):
            if found.files == reports and not found.elsewhere:
                run.empty_sources.append(printable(str(found.path)))
            reports = 0
        elif isinstance(found, Skipped):
            run.skipped += 1
            run.archives += found.archive
        else:
            clip = _handle(found, bundle, runtime, settings)
            if clip.no_image and not found.named:
                run.skipped += 1  # reports lie beside the clips of every study
                reports += 1
            else:
                yield found.source, clip


def _handle(found: Found, bundle: Bundle, runtime: Runtime, settings: Settings) -> MeasuredClip:
    if found.problem is None:
        return measure_clip(found.source, bundle, runtime, settings)
    record = ClipRecord.failed(found.source.name, found.problem, bundle.name, runtime.device)
    return MeasuredClip(record, (), {}, None)


def _printable(record: ClipRecord) -> ClipRecord:
    who = record.identity
    if who is not None:
        texts = {name: printable(text) for name, text in vars(who).items() if text is not None}
        who = replace(who, **texts)
    return replace(record, file=printable(record.file), identity=who)


def _pseudonymised(record: ClipRecord, key: bytes | None) -> ClipRecord:
    if key is None or record.identity is None or record.identity.patient_id is None:
        return record
    digest = hmac.new(key, record.identity.patient_id.encode(), "sha256").hexdigest()[:16]
    return replace(record, identity=replace(record.identity, patient_id=digest))


def _clear(folder: Path) -> None:
    """Take away the overlays of a former run, and nothing else."""
    with writing(folder):
        for path in folder.iterdir():
            if _OVERLAY_NAME.fullmatch(path.name):
                path.unlink()


def _draw(source: Source, clip: MeasuredClip, folder: Path) -> int:
    """Draw what was outlined; return how many pictures failed. Raises OutputError.

    Names come from the content: file names may name patients.
    """
    missing = 0
    for number in clip.findings:
        target = folder / overlay_name(clip.record.sha256 or "", number)
        try:
            picture = _picture(source, clip, number)
            with writing(target), replacing(target) as temporary:
                save_overlay(picture, temporary)
        except OutputError:
            raise
        except Exception:  # noqa: BLE001 - a picture costs neither the row nor the batch
            missing += 1
    return missing


def _picture(source: Source, clip: MeasuredClip, number: int) -> Image.Image:
    if clip.sector is None:
        raise ValueError("nothing was decoded")
    row = next(row for row in clip.frames if row.frame == number)
    with Clip.open(source) as opened:
        luma = opened.frame(number).luma
    finding = clip.findings[number]
    shown = clip.sector if clip.in_region else neighbourhood(clip.sector, finding)
    return draw_overlay(luma, shown, row, finding)


def overlay_name(sha256: str, frame: int) -> str:
    """Return the name of an overlay: the first 12 digits of the file's sha256, and the frame."""
    return f"{sha256[:12]}-frame{frame:04d}.png"


def write_run(run: Run, out: Path, bundle: Bundle, runtime: Runtime, settings: Settings) -> None:
    """Write the tables and `run.json` of design section 7.

    One that cannot be written does not keep the others from it; raises the first OutputError.
    """
    rows = [record.row() for record in run.records]
    summary = run_summary(run, bundle, runtime, settings)
    files: dict[str, Callable[[Path], None]] = {
        "measurements.csv": lambda path: write_csv(path, CLIP_COLUMNS, rows),
        "measurements.parquet": lambda path: write_parquet(path, CLIP_COLUMNS, rows),
        "frames.parquet": lambda path: write_parquet(path, FRAME_COLUMNS, run.frame_rows),
        "run.json": lambda path: write_json(path, summary),
    }
    failures = []
    for name, write in files.items():
        try:
            with writing(out / name):
                write(out / name)
        except OutputError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def run_summary(run: Run, bundle: Bundle, runtime: Runtime, settings: Settings) -> dict[str, Any]:
    """Return the content of `run.json`: versions, bundle, settings, counts, how it ended."""
    best = [record.best for record in run.records]
    return {
        "versions": dict(_versions()),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "settings": {
            "threshold_mm": settings.threshold_mm,
            "spacing_mm": settings.user.spacing_mm if settings.user else None,
            "allow_ruler": settings.allow_ruler,
            "device": runtime.device,
            "frames": "all" if settings.all_frames else "best",
            "pseudonymised": settings.pseudonym_key is not None,
        },
        "counts": {
            "files": len(best),
            "skipped": run.skipped,
            "archives": run.archives,
            "empty_sources": run.empty_sources,
            "overlays_missing": run.overlays_missing,
            "status": dict(sorted(Counter(str(row.status) for row in best).items())),
            "reason": dict(sorted(Counter(str(row.reason) for row in best if row.reason).items())),
            "call": dict(sorted(Counter(str(row.call) for row in best if row.call).items())),
        },
        "complete": run.complete,
        "seconds": round(run.seconds, 3),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in VERSIONED:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
