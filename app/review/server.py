"""The server: guard, routes and errors put together."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from app.review import access, pages, routes
from app.review.desk import Desk
from app.review.guard import LOG, TOO_LARGE, Guard
from app.review.settings import LOOPBACK_NAMES, RefusedError, Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the server of a run; `app.state.desk` is what it works on. Raises ReviewError."""
    desk = Desk(settings)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPI(
        title="endometer review",
        version=desk.version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.desk = desk
    app.include_router(routes.router)
    app.include_router(access.router)
    app.include_router(pages.router)
    app.add_api_route(
        "/api/openapi.json",
        lambda: JSONResponse(app.openapi()),
        dependencies=[Depends(access.admin)],
        include_in_schema=False,
    )
    app.mount("/static", _Static(directory=pages.STATIC, check_dir=False))
    for kind, handler in (
        (RefusedError, _refused),
        (RequestValidationError, _invalid),
        (HTTPException, _http),
        (SQLAlchemyError, _unsaved),
    ):
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]
    app.add_middleware(Guard, hosts=list(_hosts(settings)), hsts=settings.certificate is not None)
    return app


def _hosts(settings: Settings) -> Iterator[str]:
    """Yield the names by which browsers may call this server."""
    if not settings.accounts:
        yield from LOOPBACK_NAMES
        return
    yield from settings.names
    yield settings.host
    yield socket.gethostname()


class _Static(StaticFiles):
    """Files of the page. They hold nothing of anybody; browsers ask whether they changed."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _answer(
    request: Request, status: int, words: str, headers: dict[str, str], more: dict[str, object]
) -> Response:
    path = request.url.path
    if request.method == "GET" and not path.startswith(("/api/", "/frames/", "/thumbnails/")):
        return pages.refusal_page(request, status, words)
    return JSONResponse({"error": words, **more}, status, headers)


async def _refused(request: Request, error: RefusedError) -> Response:
    return _answer(request, error.status, error.message, error.headers, error.more)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Say which field is wrong, never what it held."""
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"])[:100]
    words = f"{place}: {found['msg']}"[:300]
    if found["type"] in ("value_error", "json_invalid"):
        words = f"{place}: this is no valid JSON or value."
    return _answer(request, 422, words, {}, {})


async def _unsaved(request: Request, error: SQLAlchemyError) -> Response:
    """A full disk, a database that does not answer: whoever saved must know that nothing was."""
    LOG.error("%s of the database", type(error).__name__)
    words = (
        "The database of reviews does not answer or cannot be written: nothing was saved. Try "
        "again, or tell the administrator."
    )
    return _answer(request, 503, words, {}, {})


async def _http(request: Request, error: HTTPException) -> Response:
    known = {
        404: "There is nothing at this address.",
        405: "This cannot be done here.",
        413: TOO_LARGE,
    }
    words = known.get(error.status_code, "The request cannot be understood.")
    return _answer(request, error.status_code, words, dict(error.headers or {}), {})
