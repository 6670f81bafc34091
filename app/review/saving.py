"""A review is checked, measured and saved; a drawn outline is measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.review.clips import keyed
from app.review.desk import Desk, Item
from app.review.geometry import (
    Polygons,
    call_of,
    check_inside,
    drawn_thickness_mm,
    outline_thickness,
)
from app.review.models import MOST_POINTS, ReviewIn, SavedOut, SnapIn, SnapOut
from app.review.sessions import Session
from app.review.settings import RefusedError
from app.review.showing import calipers_of, review_view
from app.review.store import READING, REVIEW, Review, StaleError, now
from imaging.calibration import Calibration
from inference.records import Status

# How often a save that overrides others tries again when they go on saving.
TRIES = 20
# A line around an endometrium has one or two thousand pixels; work grows with its length.
LONGEST_PX = 50_000.0
# Calipers that lie as near to where they were placed were not moved.
SAME_PX = 0.01


def save(desk: Desk, me: Session, item: Item, given: ReviewIn) -> SavedOut:
    """Save a review; when this returns it is on the disk.

    Raises RefusedError: 403 if this person may not, 409 if somebody else saved meanwhile, 422 if
    what was drawn or said cannot be a review.
    """
    if not desk.can_save(me):
        raise RefusedError(403, "Your role may look, not save. Ask an admin for the role reviewer.")
    values = _checked(desk, item, given)
    for _ in range(TRIES):
        history = desk.store.history(item.slot)
        if len(history) != given.version and not given.override:
            raise _stale(history[-1] if history else None, len(history))
        review = _review(desk, me, item, given, values, history)
        try:
            desk.store.append(review)
        except StaleError as error:
            if given.override:
                continue
            raise _stale(error.newest, error.newest.number if error.newest else 0) from None
        following = desk.next_open(me, item.number, desk.store.newest())
        return SavedOut(
            review=review_view(review),
            version=review.number,
            next=following.id if following else None,
        )
    raise RefusedError(409, "Others keep saving this clip. Look at it again.")


def _stale(newest: Review | None, version: int) -> RefusedError:
    who = f"{newest.reviewer} saved this clip meanwhile" if newest else "The clip has no review"
    return RefusedError(
        409,
        f"{who}. Look at what stands there now, then decide.",
        more={
            "review": review_view(newest).model_dump() if newest else None,
            "version": version,
        },
    )


def _review(
    desk: Desk,
    me: Session,
    item: Item,
    given: ReviewIn,
    values: dict[str, Any],
    history: list[Review],
) -> Review:
    row, blind = item.entry.row, item.case
    threshold_mm, bundle = desk.tables.threshold_mm, desk.tables.summary["bundle"]
    newest = history[-1] if history else None
    if newest is not None and newest.state != "open":
        before_mm, before_call = newest.after_mm, newest.after_call
    elif blind is not None:
        before_mm, before_call = None, None  # the machine's number stays out of a reader's sight
    else:
        before_mm, before_call = item.entry.best.thickness_mm, _text(row["call"])
    after_mm = values.get("after_mm")
    uid = row["sop_instance_uid"]
    return Review(
        slot=item.slot,
        number=len(history) + 1,
        kind=READING if blind else REVIEW,
        clip=item.entry.id,
        sha256=_text(row["sha256"]),
        sop_uid_hash=keyed(desk.store.secret, f"uid {uid}", 32) if uid else None,
        reviewer=me.name,
        at=now(),
        action=given.action,
        threshold_mm=threshold_mm,
        software=desk.version,
        bundle=str(bundle.get("name", ""))[:200],
        bundle_sha256=str(bundle["sha256"])[:64],
        replicate=blind.replicate if blind else None,
        before_mm=before_mm,
        before_call=before_call,
        after_call=_text(call_of(after_mm, threshold_mm)),
        reason=given.reason if given.action == "reject" else None,
        note=_note(given.note),
        over=given.override and given.version != len(history),
        **values,
    )


def _note(text: str | None) -> str | None:
    """Return a note without what no database or table takes."""
    if text is None:
        return None
    clean = "".join(c for c in text if c in "\n\t" or (c.isprintable() and c != "\0")).strip()
    return clean.encode("utf-8", "replace").decode("utf-8") or None


def _checked(desk: Desk, item: Item, given: ReviewIn) -> dict[str, Any]:
    """Return what the review says of the picture. Raises RefusedError."""
    best, blind = item.entry.best, item.case
    if given.action == "accept":
        if blind is not None:
            raise RefusedError(422, "In a blind study there is nothing to accept: place calipers.")
        measured = best.status is Status.MEASURED
        return {
            "frame": best.frame,
            "calipers": calipers_of(best) if measured else None,
            "row_mm": best.row_mm,
            "column_mm": best.column_mm,
            "after_mm": best.thickness_mm if measured else None,
        }
    if given.action == "reject":
        if given.reason is None:
            raise RefusedError(422, "Say why: a rejected measurement needs a reason.")
        if given.reason == "other" and not _note(given.note):
            raise RefusedError(422, "Say in the note which other reason it is.")
        return {"frame": _frame(item, given.frame) if given.frame else desk.first_frame(item)}
    if given.action == "withdraw":
        return {"frame": None}
    return _correction(desk, item, given)


def _frame(item: Item, number: int | None) -> int:
    frames = item.entry.row["frames"]
    if number is None:
        raise RefusedError(422, "Say on which frame it was measured.")
    if frames is not None and number > int(frames):
        raise RefusedError(422, f"The clip has frames 1 to {frames}.")
    return number


def _correction(desk: Desk, item: Item, given: ReviewIn) -> dict[str, Any]:
    frame = _frame(item, given.frame)
    fluid = given.fluid or []
    points = _points(given)
    if points is None:
        raise RefusedError(422, "Place both calipers, or draw the outline.")
    ends = _ends(given)
    spacing, shape = _scale(desk, item, points if ends is None else ends)
    if shape is not None:
        check_inside(points, shape)
    calipers = given.calipers
    if given.layers is None and calipers is None:
        if shape is None:
            raise RefusedError(404, "The file of this clip cannot be read: place calipers instead.")
        found = outline_thickness(given.contours or [], fluid, shape, spacing)
        calipers, after_mm = [list(end) for end in found.calipers], found.thickness_mm
    else:
        after_mm = drawn_thickness_mm(spacing, calipers, given.layers, fluid)
        if given.layers is None:
            shown = _shown_mm(desk, item, given, spacing, shape)
            after_mm = after_mm if shown is None else shown
    return {
        "frame": frame,
        "calipers": calipers,
        "layers": given.layers,
        "contours": given.contours or None,
        "fluid": given.fluid or None,
        "row_mm": spacing[0],
        "column_mm": spacing[1],
        "after_mm": after_mm,
    }


def _shown_mm(
    desk: Desk,
    item: Item,
    given: ReviewIn,
    spacing: tuple[float, float],
    shape: tuple[int, int] | None,
) -> float | None:
    """Return the thickness that was shown with these calipers, if they were left where they were.

    Across fluid a profile along the midline gives another number than one line does, by a tenth
    of a millimetre: what somebody saw is what is saved.
    """
    ends = np.asarray(given.calipers, float)
    if given.contours and shape is not None:
        try:
            found = outline_thickness(given.contours, given.fluid or [], shape, spacing)
        except RefusedError:
            found = None
        if found is not None and np.abs(np.asarray(found.calipers) - ends).max() <= SAME_PX:
            return found.thickness_mm
    here = (
        None if item.case or given.frame is None else desk.measurer.known(item.entry, given.frame)
    )
    placed = calipers_of(here.row) if here is not None else None
    if here is not None and placed and np.abs(np.asarray(placed) - ends).max() <= SAME_PX:
        return here.row.thickness_mm
    return None


def _ends(given: ReviewIn) -> NDArray[np.float64] | None:
    if given.layers is not None:
        return np.concatenate([np.asarray(line, float) for line in given.layers])
    return None if given.calipers is None else np.asarray(given.calipers, float)


def _points(given: ReviewIn) -> NDArray[np.float64] | None:
    """Return all that was drawn, (n, 2); None if there is nothing to measure."""
    parts = [given.calipers] if given.calipers else []
    parts += [*(given.layers or []), *(given.contours or []), *(given.fluid or [])]
    if not (given.calipers or given.layers or given.contours):
        return None
    _check_size([*(given.contours or []), *(given.fluid or [])])
    return np.concatenate([np.asarray(part, float) for part in parts])


def _check_size(polygons: Polygons) -> None:
    if sum(len(polygon) for polygon in polygons) > MOST_POINTS:
        raise RefusedError(422, f"An outline has at most {MOST_POINTS:,} points.")
    around = 0.0
    for polygon in polygons:
        corners = np.asarray(polygon, float)
        around += float(np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum())
    if around > LONGEST_PX:
        raise RefusedError(422, "This is no outline: it runs back and forth without end.")


def _scale(
    desk: Desk, item: Item, points: NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[int, int] | None]:
    """Return mm per pixel (row, column) of what was drawn, and the frame's shape (rows, columns).

    A file that has gone since leaves the scale that the run measured with, and no shape.
    """
    row = item.entry.row
    try:
        look = desk.pictures.look(item.entry)
    except RefusedError:
        if row["row_mm"] is None or row["column_mm"] is None:
            raise
        return (float(row["row_mm"]), float(row["column_mm"])), None
    scale = look.scale(desk.measure_settings, points)
    if not isinstance(scale, Calibration):
        raise RefusedError(422, scale.message, more={"reason": str(scale.reason)})
    return scale.spacing_mm, look.shape


def snap(desk: Desk, item: Item, given: SnapIn) -> SnapOut:
    """Measure a drawn outline as measure does a network's. Raises RefusedError (404, 422)."""
    _frame(item, given.frame)
    _check_size([*given.contours, *(given.fluid or [])])
    points = np.concatenate([np.asarray(contour, float) for contour in given.contours])
    spacing, shape = _scale(desk, item, points)
    if shape is None:
        raise RefusedError(404, "The file of this clip cannot be read any more.")
    check_inside(points, shape)
    found = outline_thickness(given.contours, given.fluid or [], shape, spacing)
    return SnapOut(
        thickness_mm=found.thickness_mm,
        calipers=[list(end) for end in found.calipers],
        fluid=found.fluid,
        fluid_mm=found.fluid_mm,
        profile_mm=[round(float(mm), 4) for mm in found.profile_mm],
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
