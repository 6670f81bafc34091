"""Who may do what: sessions from cookies, roles, and logging in and out."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from app.review.accounts import Role
from app.review.guard import LOG
from app.review.models import (
    DoneOut,
    ErrorOut,
    LoginIn,
    MeOut,
    PasswordIn,
    UserIn,
    UserOut,
    UsersOut,
)
from app.review.sessions import Session
from app.review.settings import RefusedError, ReviewError

if TYPE_CHECKING:
    from app.review.desk import Desk

CSRF_HEADER = "x-csrf-token"
router = APIRouter()


def _desk(request: Request) -> "Desk":
    desk: Desk = request.app.state.desk
    return desk


def cookie_name(request: Request) -> str:
    """Return the session's cookie; two servers on one machine need two, ports do not tell cookies
    apart. The prefix makes browsers refuse one that was not set by TLS for all of this host."""
    settings = _desk(request).settings
    return "__Host-endometer" if settings.secure else f"endometer_{settings.port}"


def set_cookie(request: Request, response: Response, secret: str, *, name: str = "") -> None:
    """Give the browser a secret that no script and no other site sees."""
    response.set_cookie(
        name or cookie_name(request),
        secret,
        httponly=True,
        samesite="strict",
        secure=_desk(request).settings.secure,
        path="/",
    )


def before_login(request: Request) -> str:
    """Return the cookie that ties a login to the page that asked for it."""
    return f"{cookie_name(request)}-before"


def session_of(request: Request) -> Session | None:
    """Return the session of a request, None if there is none, or its account has changed since."""
    desk = _desk(request)
    secret = request.cookies.get(cookie_name(request))
    session = desk.sessions.find(secret)
    if session is None or not desk.settings.accounts:
        return session
    account = desk.accounts.get(session.name)
    if account is None or not account.active or account.changed != session.changed:
        desk.sessions.end(secret)
        return None
    return session


def reader(request: Request) -> Session:
    """Return who is asking, anybody with a session. Raises RefusedError (401)."""
    session = session_of(request)
    if session is None:
        raise RefusedError(401, "Your session has ended. Log in again.")
    return session


def _csrf(request: Request, cookie: str) -> None:
    desk = _desk(request)
    sent = request.headers.get(CSRF_HEADER)
    if not desk.sessions.csrf_is_good(request.cookies.get(cookie), sent):
        raise RefusedError(403, "This request does not come from a page of this server. Reload.")


def saver(request: Request) -> Session:
    """Return who asks for a change, from a page of this server. Raises RefusedError (401, 403)."""
    session = reader(request)
    _csrf(request, cookie_name(request))
    return session


def admin(request: Request) -> Session:
    """Return the admin who is asking. Raises RefusedError (401, 403)."""
    session = reader(request)
    if session.role is not Role.ADMIN:
        raise RefusedError(403, "Only admins may do this.")
    return session


def changing_admin(request: Request) -> Session:
    """As `admin`, for a change."""
    session = admin(request)
    _csrf(request, cookie_name(request))
    return session


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorOut} for status in (400, 403, 413, 421, 503, *statuses)}


@router.post("/api/login", responses=_errors(401, 404, 422, 429))
def login(request: Request, response: Response, given: LoginIn) -> MeOut:
    """Log in."""
    desk = _desk(request)
    if not desk.settings.accounts:
        raise RefusedError(404, "There are no accounts here: open the address of the terminal.")
    _csrf(request, before_login(request))
    address = request.client.host if request.client else ""
    desk.brake.check(given.name, address)
    account = desk.accounts.check(given.name, given.password)
    if account is None:
        desk.brake.failed(given.name, address)
        LOG.warning("a login failed")
        raise RefusedError(401, "Name or password is wrong.")
    desk.brake.succeeded(given.name)
    desk.sessions.end(request.cookies.get(cookie_name(request)))
    secret = desk.sessions.begin(account.name, account.role, account.changed)
    set_cookie(request, response, secret)
    response.delete_cookie(before_login(request), path="/", secure=desk.settings.secure)
    return MeOut(
        name=account.name,
        role=account.role.value,
        blind=desk.settings.blind,
        show_identity=desk.settings.show_identity,
    )


@router.post("/api/logout", responses=_errors(401))
def logout(request: Request, response: Response, _: Annotated[Session, Depends(saver)]) -> DoneOut:
    """Log out."""
    desk = _desk(request)
    desk.sessions.end(request.cookies.get(cookie_name(request)))
    response.delete_cookie(cookie_name(request), path="/", secure=desk.settings.secure)
    response.headers["Clear-Site-Data"] = '"cache"'
    return DoneOut()


UserName = Annotated[str, Path(min_length=1, max_length=80)]


@router.get("/api/users", responses=_errors(401))
def users(request: Request, _: Annotated[Session, Depends(admin)]) -> UsersOut:
    """Return all accounts."""
    return UsersOut(
        users=[UserOut(name=a.name, role=a.role.value) for a in _desk(request).accounts.all()]
    )


@router.post("/api/users", status_code=201, responses=_errors(401, 422))
def add_user(
    request: Request, given: UserIn, _: Annotated[Session, Depends(changing_admin)]
) -> UserOut:
    """Add a person."""
    try:
        _desk(request).accounts.add(given.name, given.password, Role(given.role))
    except ReviewError as error:
        raise RefusedError(422, str(error)) from None
    return UserOut(name=given.name, role=given.role)


@router.post("/api/users/{name}/password", responses=_errors(401, 404, 422))
def set_password(
    request: Request,
    name: UserName,
    given: PasswordIn,
    _: Annotated[Session, Depends(changing_admin)],
) -> DoneOut:
    """Give a person another password."""
    desk = _desk(request)
    if desk.accounts.get(name) is None:
        raise RefusedError(404, "There is no such account.")
    try:
        desk.accounts.set_password(name, given.password)
    except ReviewError as error:
        raise RefusedError(422, str(error)) from None
    return DoneOut()


@router.delete("/api/users/{name}", responses=_errors(401, 404, 422))
def remove_user(
    request: Request, name: UserName, _: Annotated[Session, Depends(changing_admin)]
) -> DoneOut:
    """Close an account."""
    desk = _desk(request)
    if desk.accounts.get(name) is None:
        raise RefusedError(404, "There is no such account.")
    try:
        desk.accounts.remove(name)
    except ReviewError as error:
        raise RefusedError(422, str(error)) from None
    return DoneOut()
