"""The worklist as the page shows it."""

import math
from dataclasses import dataclass

from app.review.clips import ORDER
from app.review.desk import Desk, Item, is_open
from app.review.models import (
    ChoiceOut,
    FiltersOut,
    IdOut,
    IdsOut,
    ItemOut,
    ProgressOut,
    WorklistOut,
)
from app.review.sessions import Session
from app.review.settings import RefusedError
from app.review.store import Review, State

NEEDS = {group.name: group.heading for group in ORDER}


@dataclass(frozen=True)
class Query:
    """What the worklist is narrowed to. Dates are ISO, both included; texts compare whole."""

    need: str | None = None
    status: str | None = None
    call: str | None = None
    reviewer: str | None = None
    patient: str | None = None
    date_from: str | None = None
    date_to: str | None = None
    state: str = "all"
    page: int = 1
    size: int = 50

    @property
    def tells_machine(self) -> bool:
        """Whether the answer would say what the machine found, or what others did, or when."""
        return any(
            (
                self.need,
                self.status,
                self.call,
                self.reviewer,
                self.patient,
                self.date_from,
                self.date_to,
            )
        )


def worklist(desk: Desk, me: Session, query: Query) -> WorklistOut:
    """Return a page of what a person works through. Raises RefusedError (422)."""
    desk.refresh()
    newest, items = desk.store.newest(), desk.items(me)
    done = sum(not is_open(newest.get(item.slot)) for item in items)
    found = _found(desk, items, newest, query)
    pages = max(1, math.ceil(len(found) / query.size))
    page = min(query.page, pages)
    shown = found[(page - 1) * query.size : page * query.size]
    return WorklistOut(
        progress=ProgressOut(total=len(items), done=done, open=len(items) - done),
        total=len(found),
        page=page,
        pages=pages,
        items=[_item(desk, item, newest.get(item.slot)) for item in shown],
        filters=_filters(desk, newest),
    )


def worklist_ids(desk: Desk, me: Session, query: Query) -> IdsOut:
    """Return the ids of all pages in their order. Raises RefusedError (422)."""
    desk.refresh()
    newest = desk.store.newest()
    found = _found(desk, desk.items(me), newest, query)
    return IdsOut(items=[IdOut(id=i.id, state=_state(newest.get(i.slot))) for i in found])


def _found(desk: Desk, items: list[Item], newest: dict[str, Review], query: Query) -> list[Item]:
    if desk.settings.blind and query.tells_machine:
        raise RefusedError(422, "A blind study has no filters but what is read and what is not.")
    return [item for item in items if _fits(desk, item, newest.get(item.slot), query)]


def _state(review: Review | None) -> State:
    return "open" if review is None else review.state


def _filters(desk: Desk, newest: dict[str, Review]) -> FiltersOut:
    if desk.settings.blind:
        return FiltersOut(reviewers=[], calls=[], statuses=[], needs=[])
    there = {entry.group.name for entry in desk.clips.order}
    return FiltersOut(
        reviewers=sorted({r.reviewer for r in newest.values() if r.kind == "review"}),
        calls=desk.clips.calls,
        statuses=desk.clips.statuses,
        needs=[ChoiceOut(key=name, words=words) for name, words in NEEDS.items() if name in there],
    )


def _fits(desk: Desk, item: Item, review: Review | None, query: Query) -> bool:
    row, open_ = item.entry.row, is_open(review)
    if query.state not in ("all", "done" if not open_ else "open"):
        return False
    if not query.tells_machine:
        return True
    date = str(row["acquired_at"] or "")[:10]
    identity = desk.settings.show_identity
    return (
        (not query.need or item.entry.group.name == query.need)
        and (not query.status or row["status"] == query.status)
        and (not query.call or row["call"] == query.call)
        and (not query.reviewer or (review is not None and review.reviewer == query.reviewer))
        and (not query.patient or _is_patient(item, query.patient, identity=identity))
        and (not query.date_from or (bool(date) and date >= query.date_from))
        and (not query.date_to or (bool(date) and date <= query.date_to))
    )


def _is_patient(item: Item, wanted: str, *, identity: bool) -> bool:
    """Tell whether the patient is meant, by the number alone or as people are called here."""
    name = item.entry.patient_name(identity=identity)
    if name is None:
        return False
    return wanted.strip().casefold() in (name.casefold(), name.removeprefix("Patient "))


def _item(desk: Desk, item: Item, review: Review | None) -> ItemOut:
    entry, row, identity = item.entry, item.entry.row, desk.settings.show_identity
    best, blind = entry.best, item.case
    saved = None if review is None or review.state == "open" else review
    return ItemOut(
        id=item.id,
        name=blind.name if blind else entry.name(identity=identity),
        acquired_at=None if blind else _text(row["acquired_at"]),
        patient=None if blind else entry.patient_name(identity=identity),
        status=None if blind else str(best.status),
        call=None if blind else _text(best.call),
        reason=None if blind else _text(best.reason),
        words=None if blind else entry.words,
        thickness_mm=None if blind else best.thickness_mm,
        lower_mm=None if blind else best.lower_mm,
        upper_mm=None if blind else best.upper_mm,
        threshold_mm=desk.tables.threshold_mm,
        quality=None if blind else best.quality,
        frames=int(row["frames"]) if row["frames"] is not None else None,
        need=None if blind else entry.group.name,
        need_words=None if blind else entry.group.heading,
        state=_state(review),
        review_mm=saved.after_mm if saved else None,
        review_call=saved.after_call if saved else None,
        reviewer=saved.reviewer if saved else None,
        reviewed_at=saved.at if saved else None,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
