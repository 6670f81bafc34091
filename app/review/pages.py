"""The pages: shells made here, filled by their scripts."""

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.review.access import before_login, cookie_name, session_of, set_cookie
from app.review.accounts import Role
from app.review.desk import Desk
from app.review.sessions import Session
from app.review.settings import RefusedError

HERE = FilePath(__file__).parent
STATIC = HERE / "static"
USED = (
    "This address was opened before, or is too old: each works once, within ten minutes. Press "
    "Enter in the terminal for a new one."
)
router = APIRouter(include_in_schema=False)
_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, name: str, code: int = 200, **values: Any) -> HTMLResponse:
    """Return a page. Every value is text for people: markup in it is escaped."""
    desk: Desk = request.app.state.desk
    session = session_of(request)
    secret = request.cookies.get(cookie_name(request))
    settings = desk.settings
    csrf = desk.sessions.csrf(secret) if session and secret else ""
    text = _TEMPLATES.get_template(name).render(
        {
            "csrf": csrf,
            "me": _me(session, desk),
            "blind": settings.blind,
            "show_identity": settings.show_identity,
            "accounts": settings.accounts,
            "version": desk.version,
            "next": "",
            **values,
        }
    )
    return HTMLResponse(text, code)


def _me(session: Session | None, desk: Desk) -> dict[str, Any] | None:
    if session is None:
        return None
    return {
        "name": session.name,
        "role": session.role.value,
        "blind": desk.settings.blind,
        "show_identity": desk.settings.show_identity,
    }


def refusal_page(request: Request, status: int, words: str) -> HTMLResponse:
    """Return the page of a person who opened what is not there, or not for them."""
    headings = {403: "Not allowed", 404: "Not found", 429: "Too many tries"}
    heading = headings.get(status, "This did not work")
    return page(request, "refused.html", status, status=status, heading=heading, words=words)


def _door(request: Request, path: str) -> RedirectResponse:
    desk: Desk = request.app.state.desk
    where = "/login" if desk.settings.accounts else "/expired"
    return RedirectResponse(f"{where}?next={path}", 303)


@router.get("/")
def entry(request: Request, token: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """Exchange a one-time token for a session, and go to the worklist."""
    desk: Desk = request.app.state.desk
    if token is None or desk.settings.accounts:
        return RedirectResponse("/worklist", 303)
    if not desk.sessions.take_token(token):
        if session_of(request) is not None:
            return RedirectResponse("/worklist", 303)  # the browser came back to its own address
        return refusal_page(request, 403, USED)
    desk.sessions.end(request.cookies.get(cookie_name(request)))
    response = RedirectResponse("/worklist", 303)
    set_cookie(request, response, desk.sessions.begin(desk.own_name, Role.REVIEWER))
    return response


@router.get("/worklist")
def worklist(request: Request) -> Response:
    """Show the worklist."""
    if session_of(request) is None:
        return _door(request, "/worklist")
    return page(request, "worklist.html")


@router.get("/clip/{key}")
def clip(request: Request, key: str) -> Response:
    """Show a clip."""
    desk: Desk = request.app.state.desk
    known = len(key) == 16 and all(c in "0123456789abcdef" for c in key)
    session = session_of(request)
    if session is None:
        return _door(request, f"/clip/{key}" if known else "/worklist")
    if not known:
        raise RefusedError(404, "There is no such clip in this run.")
    item = desk.item(session, key)
    return page(request, "clip.html", clip_id=item.id)


Next = Annotated[str, Query(max_length=200)]


@router.get("/login")
def login(request: Request, next: Next = "") -> Response:
    """Ask for name and password."""
    desk: Desk = request.app.state.desk
    if not desk.settings.accounts:
        return RedirectResponse("/expired", 303)
    if session_of(request) is not None:
        return RedirectResponse(_own_path(next) or "/worklist", 303)
    secret = desk.sessions.new_secret()  # never one that the browser brought along
    csrf = desk.sessions.csrf(secret)
    response = page(request, "login.html", csrf=csrf, next=_own_path(next))
    set_cookie(request, response, secret, name=before_login(request))
    return response


@router.get("/expired")
def expired(request: Request, next: Next = "") -> Response:
    """Say that the session has ended, and how to go on."""
    return page(request, "expired.html", next=_own_path(next))


def _own_path(path: str) -> str:
    """Return a path of this server, empty for anything else: nobody is sent to another site."""
    plain = path.startswith("/") and not path.startswith("//")
    return path if plain and path.isascii() and "\\" not in path and path.isprintable() else ""
