"""Many clips into one folder: measure, draw, write the tables. One file's fault stays its own."""

import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from data.discover import Found, Skipped, discover
from imaging.clip import Clip, ClipError
from inference.clip import MeasuredClip, Settings, measure_clip
from inference.overlay import draw_overlay, save_overlay
from inference.records import (
    CLIP_COLUMNS,
    FRAME_COLUMNS,
    ClipRecord,
    Measurement,
    Status,
    Value,
    frame_row,
)
from inference.tables import write_csv, write_json, write_parquet
from models.bundle import Bundle
from models.runtime import Runtime

VERSIONED = ("endometer", "pydicom", "SimpleITK", "scikit-image", "numpy", "scipy", "openvino")


@dataclass
class Run:
    """What a run has gathered: `records` sorted by file when it is done, `skipped` files."""

    records: list[ClipRecord] = field(default_factory=list)
    frame_rows: list[dict[str, Value]] = field(default_factory=list)
    skipped: int = 0
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

    With `out`, tables, `run.json` and overlays are written there. `on_clip` is called after every
    clip. Raises OSError if `out` cannot be written.
    """
    settings = settings or Settings()
    if out is not None:
        (out / "overlays").mkdir(parents=True, exist_ok=True)
    run = Run()
    started = time.monotonic()
    for found in discover(sources, leave_out=out):
        if isinstance(found, Skipped):
            run.skipped += 1
            continue
        clip = _handle(found, bundle, runtime, settings)
        if clip.no_image and not found.named:
            run.skipped += 1  # reports lie beside the clips of every study
            continue
        record = _pseudonymised(clip.record, settings.pseudonym_key)
        run.records.append(record)
        run.frame_rows += [frame_row(record, row) for row in clip.frames]
        if out is not None:
            _draw(found.path, clip, out / "overlays")
        if on_clip:
            on_clip(record)
    run.records.sort(key=lambda record: record.file)
    run.frame_rows.sort(key=lambda row: (row["file"], row["frame"]))
    run.seconds = time.monotonic() - started
    if out is not None:
        write_run(run, out, bundle, runtime, settings)
    return run


def _handle(found: Found, bundle: Bundle, runtime: Runtime, settings: Settings) -> MeasuredClip:
    if found.problem is None:
        return measure_clip(found.path, bundle, runtime, settings)
    record = ClipRecord(
        file=found.path.as_posix(),
        sha256=None,
        identity=None,
        frames=None,
        best=Measurement(None, Status.FAILED, message=found.problem),
        frames_measured=None,
        frames_median_mm=None,
        frames_iqr_mm=None,
        bundle=bundle.name,
        device=runtime.device,
    )
    return MeasuredClip(record, (), {}, None)


def _pseudonymised(record: ClipRecord, key: bytes | None) -> ClipRecord:
    if key is None or record.identity is None or record.identity.patient_id is None:
        return record
    digest = hmac.new(key, record.identity.patient_id.encode(), "sha256").hexdigest()[:16]
    return replace(record, identity=replace(record.identity, patient_id=digest))


def _draw(path: Path, clip: MeasuredClip, folder: Path) -> None:
    """Draw what was outlined. Names come from the content: file names may name patients."""
    digest = clip.record.sha256
    if not clip.findings or clip.sector is None or digest is None:
        return
    rows = {row.frame: row for row in clip.frames}
    try:
        with Clip.open(path) as source:
            for number, finding in clip.findings.items():
                luma = source.frame(number).luma
                picture = draw_overlay(luma, clip.sector, rows[number], finding)
                save_overlay(picture, folder / overlay_name(digest, number))
    except ClipError:
        return  # the file went away after it was measured: the row stands, the picture is lost


def overlay_name(sha256: str, frame: int) -> str:
    """Return the name of an overlay: the first 12 digits of the file's sha256, and the frame."""
    return f"{sha256[:12]}-frame{frame:04d}.png"


def write_run(run: Run, out: Path, bundle: Bundle, runtime: Runtime, settings: Settings) -> None:
    """Write the tables and `run.json` of design section 7."""
    rows = [record.row() for record in run.records]
    write_csv(out / "measurements.csv", CLIP_COLUMNS, rows)
    write_parquet(out / "measurements.parquet", CLIP_COLUMNS, rows)
    write_parquet(out / "frames.parquet", FRAME_COLUMNS, run.frame_rows)
    write_json(out / "run.json", run_summary(run, bundle, runtime, settings))


def run_summary(run: Run, bundle: Bundle, runtime: Runtime, settings: Settings) -> dict[str, Any]:
    """Return the content of `run.json`: versions, bundle, settings, counts, seconds."""
    best = [record.best for record in run.records]
    return {
        "versions": dict(_versions()),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "settings": {
            "threshold_mm": settings.threshold_mm,
            "spacing_mm": settings.user.spacing_mm if settings.user else None,
            "device": runtime.device,
            "frames": "all" if settings.all_frames else "best",
            "pseudonymised": settings.pseudonym_key is not None,
        },
        "counts": {
            "files": len(best),
            "skipped": run.skipped,
            "status": dict(sorted(Counter(str(row.status) for row in best).items())),
            "reason": dict(sorted(Counter(str(row.reason) for row in best if row.reason).items())),
            "call": dict(sorted(Counter(str(row.call) for row in best if row.call).items())),
        },
        "seconds": round(run.seconds, 3),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in VERSIONED:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
