"""The API: who may ask for what. The work is done elsewhere."""

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.review import listing, saving, showing
from app.review.access import reader, saver
from app.review.desk import SHELF, Desk, Item
from app.review.models import (
    ClipOut,
    ErrorOut,
    FrameOut,
    HealthOut,
    IdsOut,
    MeOut,
    ReviewIn,
    SavedOut,
    SnapIn,
    SnapOut,
    StaleOut,
    WorklistOut,
)
from app.review.pictures import overlay_thumbnail
from app.review.sessions import Session
from data.discover import OVERLAYS

__all__ = ["SHELF", "router"]

AHEAD = 3
_PICTURES = {"Cache-Control": "private, max-age=3600, immutable"}
_SMALL = {"Cache-Control": "private, max-age=60"}

Key = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The id of a clip.")]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="A frame, from 1.")]
Text = Annotated[str | None, Query(max_length=100)]
Date = Annotated[str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}$")]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorOut} for status in (400, 401, 403, 413, 421, 503, *statuses)}


router = APIRouter()


def desk_of(request: Request) -> Desk:
    """Return what the server works on."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(desk_of)]
Reader = Annotated[Session, Depends(reader)]
Saver = Annotated[Session, Depends(saver)]


@router.get("/health", responses=_errors())
def health() -> HealthOut:
    """Tell that the server answers."""
    return HealthOut()


@router.get("/api/me", responses=_errors())
def who(desk: TheDesk, me: Reader) -> MeOut:
    """Tell who is asking."""
    settings = desk.settings
    return MeOut(
        name=me.name,
        role=me.role.value,
        blind=settings.blind,
        show_identity=settings.show_identity,
    )


def _query(  # noqa: PLR0913, PLR0917 - one for each filter
    need: Text = None,
    status: Text = None,
    call: Text = None,
    reviewer: Text = None,
    patient: Text = None,
    date_from: Annotated[Date, Query(alias="from")] = None,
    date_to: Annotated[Date, Query(alias="to")] = None,
    state: Annotated[str, Query(pattern="^(open|done|all)?$")] = "all",
    page: Annotated[int, Query(ge=1, le=10_000_000)] = 1,
    size: Annotated[int, Query(ge=1, le=500)] = 50,
) -> listing.Query:
    return listing.Query(
        need, status, call, reviewer, patient, date_from, date_to, state or "all", page, size
    )


Narrowed = Annotated[listing.Query, Depends(_query)]


@router.get("/api/worklist", responses=_errors(422))
def worklist(desk: TheDesk, me: Reader, query: Narrowed) -> WorklistOut:
    """Return a page of the worklist."""
    return listing.worklist(desk, me, query)


@router.get("/api/worklist/ids", responses=_errors(422))
def worklist_ids(desk: TheDesk, me: Reader, query: Narrowed) -> IdsOut:
    """Return the whole worklist in its order, ids alone."""
    return listing.worklist_ids(desk, me, query)


@router.get("/api/clip/{key}", responses=_errors(404, 422))
def clip(desk: TheDesk, me: Reader, key: Key) -> ClipOut:
    """Return all that there is to show of a clip."""
    item = desk.item(me, key)
    shown = showing.clip_view(desk, me, item)
    desk.prefetcher.want([item, *desk.upcoming(me, item.number, AHEAD)])
    return shown


@router.get("/api/clip/{key}/frame/{number}", responses=_errors(404, 409, 422))
def frame(desk: TheDesk, me: Reader, key: Key, number: Number) -> FrameOut:
    """Measure a frame as the run did."""
    return showing.frame_view(desk, desk.item(me, key), number)


@router.post("/api/clip/{key}/snap", responses=_errors(404, 422))
def snap(desk: TheDesk, me: Saver, key: Key, given: SnapIn) -> SnapOut:
    """Measure a drawn outline."""
    return saving.snap(desk, desk.item(me, key), given)


@router.post(
    "/api/clip/{key}/reviews",
    status_code=201,
    responses=_errors(404, 422) | {409: {"model": StaleOut}},
)
def save(desk: TheDesk, me: Saver, key: Key, given: ReviewIn) -> SavedOut:
    """Save a review. Once this is answered, nothing that happens to this machine loses it."""
    return saving.save(desk, me, desk.item(me, key), given)


_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "The frame, lossless."},
    304: {"description": "The browser has it."},
}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}, "description": "The clip, small."},
    304: {"description": "The browser has it."},
}


@router.get(
    "/frames/{key}/{number}.png",
    response_class=Response,
    responses=_errors(404, 422) | _PNG,
)
def picture(
    request: Request,
    desk: TheDesk,
    me: Reader,
    key: Key,
    number: Number,
) -> Response:
    """Return a frame."""
    item = desk.item(me, key)
    headers = _PICTURES | {"ETag": desk.pictures.tag(item.id, number)}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    content = desk.pictures.frame(item.entry, number)
    return Response(content, media_type="image/png", headers=headers)


@router.get(
    "/thumbnails/{key}.jpg",
    response_class=Response,
    responses=_errors(404, 422) | _JPEG,
)
def thumbnail(request: Request, desk: TheDesk, me: Reader, key: Key) -> Response:
    """Return a small picture: what was outlined, or the frame as it is."""
    item = desk.item(me, key)
    headers = _SMALL | {"ETag": desk.pictures.tag(f"{item.id} {_overlay(desk, item)}", 0)}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(desk, item), media_type="image/jpeg", headers=headers)


def _overlay(desk: Desk, item: Item) -> str:
    """Return the name of what the run drew of a clip, empty if nothing, or if it must not show."""
    return "" if desk.settings.blind else str(item.entry.row["overlay"] or "")


def _thumbnail(desk: Desk, item: Item) -> bytes:
    entry, settings, overlay = item.entry, desk.settings, _overlay(desk, item)
    # Measured again, a clip may have another outline: then its overlay has another name.
    name = f"{entry.id}-{sha256(overlay.encode()).hexdigest()[:8] if overlay else 'plain'}"
    if (known := desk.shelf.get(name)) is not None:
        return known
    made = overlay_thumbnail(settings.folder / OVERLAYS / _plain(overlay)) if overlay else None
    if made is None:
        name = f"{entry.id}-plain"
        if (known := desk.shelf.get(name)) is not None and not settings.show_identity:
            return known
        made = desk.pictures.thumbnail(entry, desk.first_frame(item))
        if settings.show_identity:
            return made  # names may be burned in: nothing of it stays on a disk
    desk.shelf.put(name, made)
    return made


def _plain(name: str) -> str:
    """Return a name that leads to no other folder, whatever the table says."""
    return name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
