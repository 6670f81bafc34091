"""Reviews as DICOM reports of the person who made them, one for every clip."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from app.review.clips import Entry
from app.review.files import Files
from app.review.here import run_settings
from app.review.models import REASONS
from app.review.rows import RunTables
from app.review.settings import RefusedError
from app.review.store import Review
from imaging.calibration import Calibration, decide_calibration
from imaging.clip import Clip, ClipError
from inference.dicom.maker import NAME, Maker
from inference.dicom.origin import NoResultError, read_origin
from inference.dicom.reviewed import Verdict, reviewed_report
from inference.records import Call, Measurement, Status
from inference.tables import make_folder, replacing, writing


def write_reports(
    tables: RunTables,
    out: Path,
    reviews: Iterable[tuple[Entry, Review]],
    files: Files,
    notes: list[str],
) -> int:
    """Write a report for every review; return how many.

    `notes` gets in words why others could not be made. Raises OutputError.
    """
    make_folder(out)
    settings, bundle = run_settings(tables), tables.summary["bundle"]
    written = 0
    for entry, review in reviews:
        at = datetime.fromisoformat(review.at)
        maker = Maker(
            metadata.version(NAME),
            str(bundle.get("name", "")),
            str(bundle["sha256"]),
            0.0,  # a person states no interval
            at.replace(tzinfo=None),
        )
        try:
            with Clip.open(files.find(entry)) as clip:
                origin = read_origin(clip.header, clip.frames, maker.run_at)
                shape = (clip.rows, clip.columns)
                scale = decide_calibration(clip.header, shape, None, user=settings.user)
            made = reviewed_report(origin, _verdict(entry, review, at, scale), maker)
        except NoResultError as error:
            notes.append(str(error))
            continue
        except RefusedError as error:
            notes.append(error.message)
            continue
        except ClipError as error:
            notes.append(f"A clip cannot be read: {error}")
            continue
        path = out / f"{entry.id}-reviewed-sr.dcm"
        with writing(path), replacing(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)
        written += 1
    return written


def _verdict(entry: Entry, review: Review, at: datetime, scale: Any) -> Verdict:
    best = entry.best
    row = Measurement(review.frame, Status.NOT_MEASURABLE, threshold_mm=review.threshold_mm)
    if review.action == "accept":
        row = replace(best, threshold_mm=review.threshold_mm)
    elif review.after_mm is not None:
        source = best.calibration or (str(scale.source) if isinstance(scale, Calibration) else None)
        row = replace(
            row,
            status=Status.MEASURED,
            thickness_mm=review.after_mm,
            fluid=bool(review.fluid or review.layers),
            row_mm=review.row_mm,
            column_mm=review.column_mm,
            calibration=source,
        )
    if review.after_mm is not None:
        call = Call(review.after_call) if review.after_call else None
        row = replace(row, thickness_mm=review.after_mm, call=call)
    lines = review.layers or ([review.calipers] if review.calipers else [])
    why = REASONS.get(review.reason or "") if review.action == "reject" else None
    return Verdict(
        row=row,
        lines=tuple(np.asarray(line, float) for line in lines),
        outline=tuple(np.asarray(contour, float) for contour in review.contours or []),
        reviewer=review.reviewer,
        at=at,
        confirmed=review.action == "accept",
        rejected=review.reason if review.action == "reject" else None,
        comment=". ".join(text for text in (why, review.note) if text) or None,
    )
