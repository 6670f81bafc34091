"""A clip, a frame and a review as the page shows them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.review.clips import Entry
from app.review.desk import Desk, Item
from app.review.models import (
    REASONS,
    ChoiceOut,
    ClipOut,
    FrameOut,
    MeasurementOut,
    PositionOut,
    ReviewOut,
    ScaleOut,
    StripOut,
    TrendOut,
)
from app.review.pictures import Look
from app.review.sessions import Session
from app.review.settings import RefusedError
from app.review.store import READING, Review
from imaging.calibration import Calibration, CalibrationSource
from inference.records import Call, Measurement, Status
from inference.words import CALLS, in_words

SCALES = {
    CalibrationSource.ULTRASOUND_REGION: "scale from the ultrasound region of the file",
    CalibrationSource.PIXEL_SPACING: "scale from the pixel spacing of the file, unverified",
    CalibrationSource.RULER: "scale from the depth ruler in the picture",
    CalibrationSource.USER: "scale given by the user",
}
# Outlines come with hundreds of points in thousandths of a pixel that nobody sees.
DECIMALS = 3
CHOICES = [ChoiceOut(key=key, words=words) for key, words in REASONS.items()]


def clip_view(desk: Desk, me: Session, item: Item) -> ClipOut:
    """Return all that the page shows of a clip."""
    entry, row, identity = item.entry, item.entry.row, desk.settings.show_identity
    blind = item.case
    look, problem = _look(desk, entry)
    scale = None if look is None else look.scale(desk.measure_settings)
    stated = _stated_scale(row) or (scale if isinstance(scale, Calibration) else None)
    history = desk.store.history(item.slot)
    shown = history if blind else desk.store.of_clip(entry.id)
    newest = history[-1] if history else None
    following, before = desk.at(me, item.number + 1), desk.at(me, item.number - 1)
    return ClipOut(
        id=item.id,
        name=blind.name if blind else entry.name(identity=identity),
        patient=None if blind else entry.patient_name(identity=identity),
        acquired_at=None if blind else _text(row["acquired_at"]),
        frames=look.frames if look else None,
        frame=desk.first_frame(item),
        rows=look.shape[0] if look else None,
        columns=look.shape[1] if look else None,
        row_mm=stated.row_mm if stated and look else None,
        column_mm=stated.column_mm if stated and look else None,
        calibration=str(stated.source) if stated and look else None,
        calibration_words=_scale_words(stated, scale, problem),
        scales=_scales(look),
        frame_ms=look.frame_ms if look else None,
        threshold_mm=desk.tables.threshold_mm,
        blind=blind is not None,
        can_save=desk.can_save(me),
        problem=problem,
        measurement=None if blind else _measurement(entry, identity=identity),
        box=list(look.box) if look else None,
        per_frame=[] if blind else [StripOut(**f) for f in desk.tables.frames_of(entry.file)],
        version=len(history),
        review=review_view(newest) if newest and newest.state != "open" else None,
        history=[review_view(review) for review in reversed(shown)],
        next=following.id if following else None,
        previous=before.id if before else None,
        position=PositionOut(index=item.number, of=desk.count(me)),
        trend=[] if blind else _trend(desk, entry),
        reasons=CHOICES,
    )


def _look(desk: Desk, entry: Entry) -> tuple[Look | None, str | None]:
    if entry.row["status"] == Status.FAILED:
        why = entry.message(identity=desk.settings.show_identity) or ""
        return None, f"The file could not be read when it was measured. {why}".strip()
    try:
        return desk.pictures.look(entry), None
    except RefusedError as error:
        return None, error.message


def _stated_scale(row: dict[str, Any]) -> Calibration | None:
    """Return the scale that the run measured with."""
    if row["row_mm"] is None or row["column_mm"] is None:
        return None
    source = CalibrationSource(row["calibration"])
    return Calibration(float(row["row_mm"]), float(row["column_mm"]), source)


def _scale_words(stated: Calibration | None, scale: Any, problem: str | None) -> str:
    if problem is not None:
        return problem
    if stated is not None:
        return SCALES[stated.source]
    return f"no safe scale: {scale.message}"


def _scales(look: Look | None) -> list[ScaleOut]:
    """Return the scales of the pictures of a frame where they are several."""
    if look is None or len({view.spacing_mm for view in look.views}) < 2:
        return []
    return [
        ScaleOut(
            box=[v.box.row_0, v.box.column_0, v.box.row_1, v.box.column_1],
            row_mm=v.spacing_mm[0],
            column_mm=v.spacing_mm[1],
        )
        for v in look.views
        if v.spacing_mm is not None
    ]


def call_words(call: Call | str | None, threshold_mm: float) -> str | None:
    """Return a call as people say it."""
    return None if call is None else CALLS[Call(call)].format(threshold_mm)


def calipers_of(row: Measurement) -> list[list[float]] | None:
    """Return the calipers of a row, None where it has none."""
    if row.caliper_row_1 is None or row.caliper_column_1 is None:
        return None
    return [
        [row.caliper_row_1, row.caliper_column_1],
        [float(row.caliper_row_2 or 0.0), float(row.caliper_column_2 or 0.0)],
    ]


def _values(row: Measurement, threshold_mm: float) -> dict[str, Any]:
    return {
        "status": str(row.status),
        "reason": _text(row.reason),
        "words": in_words(row),
        "thickness_mm": row.thickness_mm,
        "lower_mm": row.lower_mm,
        "upper_mm": row.upper_mm,
        "call": _text(row.call),
        "call_words": call_words(row.call, threshold_mm),
        "quality": row.quality,
        "fluid": row.fluid,
        "calipers": calipers_of(row),
    }


def _measurement(entry: Entry, *, identity: bool) -> MeasurementOut:
    best = entry.best
    return MeasurementOut(
        frame=best.frame,
        message=entry.message(identity=identity),
        sonographer_mm=best.sonographer_mm,
        **_values(best, best.threshold_mm or 0.0),
    )


def frame_view(desk: Desk, item: Item, number: int) -> FrameOut:
    """Measure a frame as the run did. Raises RefusedError; 403 in a blind study."""
    if item.case is not None:
        raise RefusedError(403, "In a blind study the machine stays silent until it is opened.")
    if item.entry.row["status"] == Status.FAILED:
        raise RefusedError(404, "The file of this clip could not be read when it was measured.")
    here = desk.measurer.measure(item.entry, number)
    row = here.row
    scaled = row.row_mm is not None and row.column_mm is not None
    return FrameOut(
        frame=number,
        message=row.message,
        contours=_polygons(here.contours),
        fluid_contours=_polygons(here.fluid),
        spacing=[float(row.row_mm or 0), float(row.column_mm or 0)] if scaled else None,
        **_values(row, desk.tables.threshold_mm),
    )


def _polygons(contours: tuple[NDArray[np.float64], ...]) -> list[list[list[float]]]:
    return [np.round(contour, DECIMALS).tolist() for contour in contours]


def review_view(review: Review) -> ReviewOut:
    """Return a line of the audit table as the page shows it."""
    return ReviewOut(
        number=review.number,
        reviewer=review.reviewer,
        at=review.at,
        action=review.action,
        state=review.state,
        frame=review.frame,
        thickness_mm=review.after_mm,
        call=review.after_call,
        call_words=call_words(review.after_call, review.threshold_mm),
        before_mm=review.before_mm,
        calipers=review.calipers,
        layers=review.layers,
        contours=review.contours,
        fluid=review.fluid,
        reason=review.reason,
        reason_words=REASONS.get(review.reason) if review.reason else None,
        note=review.note,
        reading=review.kind == READING,
    )


def _trend(desk: Desk, entry: Entry) -> list[TrendOut]:
    """Return what is known of the patient over time, a clip each: what a person said counts."""
    newest, found = desk.store.newest(), []
    for other in desk.clips.studies_of(entry):
        review, best = newest.get(other.id), other.best
        reviewed = review is not None and review.state != "open"
        mm = review.after_mm if review and reviewed else best.thickness_mm
        if mm is None:
            continue
        kept = not reviewed or (review is not None and review.action == "accept")
        found.append(
            TrendOut(
                id=other.id,
                acquired_at=str(other.row["acquired_at"]),
                thickness_mm=mm,
                lower_mm=best.lower_mm if kept else None,
                upper_mm=best.upper_mm if kept else None,
                reviewed=reviewed,
                call=_text(review.after_call if review and reviewed else best.call),
                here=other is entry,
            )
        )
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)
