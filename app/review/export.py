"""What people saved, as tables and files: for statistics, for training, for the archive.

In the joined table what a person said wins, and what the machine said stands beside it. Every
export is made anew from the audit table, so that it never disagrees with it.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.review.clips import Clips
from app.review.files import Files
from app.review.models import REASONS
from app.review.rows import Row, RunTables
from app.review.settings import RefusedError
from app.review.store import READING, REVIEW, Review, Store
from inference.records import CLIP_COLUMNS, Status, Value
from inference.tables import make_folder, write_csv, write_json, write_parquet, writing

Columns = dict[str, type]
AUDIT: Columns = {
    "clip": str,
    "number": int,
    "kind": str,
    "reviewer": str,
    "at": str,
    "action": str,
    "replicate": int,
    "file": str,
    "sha256": str,
    "sop_uid_hash": str,
    "frame": int,
    "before_mm": float,
    "after_mm": float,
    "before_call": str,
    "after_call": str,
    "threshold_mm": float,
    "reason": str,
    "note": str,
    "over": bool,
    "row_mm": float,
    "column_mm": float,
    "calipers": str,
    "layers": str,
    "contours": str,
    "fluid": str,
    "software": str,
    "bundle": str,
    "bundle_sha256": str,
}
# Columns of the machine that a review replaces; they stay under another name.
REPLACED = (
    "status",
    "reason",
    "message",
    "frame",
    "thickness_mm",
    "lower_mm",
    "upper_mm",
    "call",
    "fluid",
    "row_mm",
    "column_mm",
    "caliper_row_1",
    "caliper_column_1",
    "caliper_row_2",
    "caliper_column_2",
)
REVIEWED: Columns = (
    CLIP_COLUMNS
    | {
        "review": str,
        "reviewer": str,
        "reviewed_at": str,
        "review_reason": str,
        "review_note": str,
        "reviews": int,
    }
    | {f"machine_{name}": CLIP_COLUMNS[name] for name in REPLACED}
)
READINGS: Columns = {
    "case": str,
    "reader": str,
    "replicate": int,
    "thickness_mm": float,
    "patient": str,
    "action": str,
    "reason": str,
    "at": str,
}
# Digits of a case's name: the beginning of the file's hash, as on report.html, by which
# `endometer agree` finds the clip in measurements.csv.
CASE_DIGITS = 16
DICOM = "dicom"


@dataclass(frozen=True)
class Exported:
    """How much was written, and what could not be, in words without identity."""

    reviews: int
    corrections: int
    readings: int
    reports: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What is exported: a run, its reviews, where its clips lie."""

    folder: Path
    tables: RunTables
    store: Store
    archive: Path | None = None


def export(source: Source, out: Path, formats: Collection[str], *, dicom: bool) -> Exported:
    """Write everything into `out`; while a blind study is under way, the readings alone.

    `formats` are csv and parquet; `dicom` adds reports. Raises OutputError if the folder cannot be
    written.
    """
    make_folder(out)
    clips = Clips(source.tables, source.store.secret)
    every = list(source.store.all())
    study = source.store.study()
    if study is not None and study.opened_at is None:
        # Who reads these sees other readers' work: that is the statistician's part.
        readings = _write_readings(out, formats, clips, every)
        note = "The blind study is under way: readings alone were written."
        return Exported(0, 0, readings, 0, (note,))
    newest = {r.clip: r for r in every if r.kind == REVIEW}
    counts = {clip: sum(r.clip == clip for r in every if r.kind == REVIEW) for clip in newest}
    counted = {clip: r for clip, r in newest.items() if r.action != "withdraw"}
    audit = partial(_audit_row, clips)
    _write(out, "reviews", formats, AUDIT, lambda: map(audit, counted.values()))
    _write(out, "reviews-audit", formats, AUDIT, lambda: map(audit, every))
    joined = _joined(source.tables, clips, counted, counts)
    _write(out, "measurements-reviewed", formats, REVIEWED, lambda: iter(joined))
    readings = _write_readings(out, formats, clips, every)
    files, notes = Files(source.folder, source.archive), list[str]()
    corrections = list(_corrections(clips, counted, files))
    with writing(out / "corrections.json"):
        write_json(out / "corrections.json", {"items": corrections})
    reports = 0
    if dicom:
        from app.review.export_dicom import write_reports

        reviews = [(clips.by_id[r.clip], r) for r in counted.values() if r.clip in clips.by_id]
        reports = write_reports(source.tables, out / DICOM, reviews, files, notes)
    return Exported(len(counted), len(corrections), readings, reports, tuple(dict.fromkeys(notes)))


def _write(
    out: Path,
    name: str,
    formats: Collection[str],
    columns: Columns,
    rows: Callable[[], Iterator[Row]],
) -> None:
    for kind in formats:
        path = out / f"{name}.{kind}"
        with writing(path):
            if kind == "csv":
                write_csv(path, columns, rows())
            else:
                write_parquet(path, columns, rows())


def _audit_row(clips: Clips, review: Review) -> Row:
    entry = clips.by_id.get(review.clip)
    values: dict[str, Value] = {}
    for name in AUDIT:
        if name == "file":
            values[name] = entry.file if entry else None
            continue
        value = getattr(review, name)
        values[name] = json.dumps(value) if isinstance(value, list) else value
    return values


def _joined(
    tables: RunTables, clips: Clips, counted: dict[str, Review], counts: dict[str, int]
) -> list[Row]:
    """Return every row of `measurements`; copies of an image share its review."""
    rows = []
    for row in tables.rows:
        entry = clips.by_file.get(str(row["duplicate_of"] or row["file"]))
        review = counted.get(entry.id) if entry else None
        joined: Row = dict(row) | {f"machine_{name}": row[name] for name in REPLACED}
        joined |= {
            "review": review.state if review else None,
            "reviewer": review.reviewer if review else None,
            "reviewed_at": review.at if review else None,
            "review_reason": review.reason if review else None,
            "review_note": review.note if review else None,
            "reviews": counts.get(entry.id, 0) if entry else 0,
        }
        if review is not None and review.action in ("correct", "reject"):
            joined |= _replaced(review)
        elif review is not None:
            joined["call"] = review.after_call or row["call"]
        rows.append(joined)
    return rows


def _replaced(review: Review) -> Row:
    """Return what a correction or a rejection puts in place of the machine's columns.

    A person states no interval; a rejected clip has no number at all.
    """
    found: Row = dict.fromkeys(REPLACED)
    found["frame"] = review.frame
    if review.action == "reject":
        why = REASONS.get(review.reason or "", "")
        return found | {
            "status": str(Status.NOT_MEASURABLE),
            "message": f"Rejected by a reviewer: {why}.",
        }
    ends = review.calipers or (review.layers[0] if review.layers else None)
    if ends:
        (found["caliper_row_1"], found["caliper_column_1"]) = ends[0]
        (found["caliper_row_2"], found["caliper_column_2"]) = ends[1]
    return found | {
        "status": str(Status.MEASURED),
        "thickness_mm": review.after_mm,
        "call": review.after_call,
        "fluid": bool(review.fluid or review.layers),
        "row_mm": review.row_mm,
        "column_mm": review.column_mm,
    }


def _write_readings(out: Path, formats: Collection[str], clips: Clips, every: list[Review]) -> int:
    """Write the newest reading of every reader, case and replicate; nothing without a study."""
    newest = {r.slot: r for r in every if r.kind == READING}
    rows = [
        _reading(clips, review)
        for review in sorted(newest.values(), key=lambda r: (r.sha256 or "", r.reviewer, r.slot))
        if review.action != "withdraw"
    ]
    if newest:
        # `endometer agree --readings` reads the CSV, whatever else was asked for.
        kinds = dict.fromkeys(["csv", *formats])
        _write(out, "readings", kinds, READINGS, lambda: iter(rows))
    return len(rows)


def _reading(clips: Clips, review: Review) -> Row:
    entry = clips.by_id.get(review.clip)
    patient = entry.patient if entry else None
    return {
        "case": (review.sha256 or review.clip)[:CASE_DIGITS],
        "reader": review.reviewer,
        "replicate": review.replicate,
        "thickness_mm": review.after_mm,
        "patient": None if patient is None else f"patient {patient}",
        "action": review.action,
        "reason": review.reason,
        "at": review.at,
    }


def _corrections(
    clips: Clips, counted: dict[str, Review], files: Files
) -> Iterator[dict[str, Any]]:
    """Yield corrected outlines for `endometer dataset import --format review`."""
    for review in counted.values():
        entry = clips.by_id.get(review.clip)
        if entry is None or not review.contours or review.action != "correct":
            continue
        try:
            file = files.find(entry).name
        except RefusedError:
            file = entry.file  # the import says what is wrong with it
        scaled = review.row_mm is not None and review.column_mm is not None
        yield {
            "file": file,
            "sha256": review.sha256,
            "frame": review.frame,
            "contours": review.contours,
            "fluid": review.fluid or [],
            "reviewer": review.reviewer,
            "at": review.at,
            "patient": entry.row["patient_id"] or None,
            "spacing": [review.row_mm, review.column_mm] if scaled else None,
        }
