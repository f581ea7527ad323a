"""The frame of the console: its routes, and the checks that apply to all of them.

A page needs a session; a change also needs the session's token and the console's own Origin.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from ..errors import OssError
from . import (
    access,
    assets,
    buckets,
    checkup,
    editor,
    fields,
    histogram,
    language,
    login,
    object_page,
    objects,
    overview,
    pages,
    parts,
    styles,
    versions,
)
from .attempts import Attempts
from .history import HISTORY, History, follow
from .pages import HEADERS, ROOT
from .visit import TOKEN_FIELD, Console, LoginRequiredError, Visit, reading

CONSOLE = web.AppKey("console", Console)
KEPT_SECONDS = 31_536_000  # files with hashed names never change
Handler = Callable[[Visit], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """One route.

    Attributes:
        method: HTTP method.
        path: Path after ``/console``.
        work: The handler.
        open: Whether no session is needed.
        streams: Whether the handler itself reads the body and checks the token.
    """

    method: str
    path: str
    work: Handler
    open: bool = False
    streams: bool = False


async def _home(visit: Visit) -> web.StreamResponse:
    raise web.HTTPSeeOther(f"{ROOT}/buckets")


async def _language(visit: Visit) -> web.StreamResponse:
    """Set the cookie of the language, and redirect to the page."""
    response = web.Response(status=303, headers={"Location": pages.aim(visit.text("back"))})
    if (chosen := visit.text("to")) in language.NAMES:
        response.set_cookie(
            language.COOKIE,
            chosen,
            max_age=KEPT_SECONDS,
            path=ROOT,
            samesite="Lax",
            secure=visit.encrypted,
        )
    return response


async def _asset(visit: Visit) -> web.StreamResponse:
    """Send a script or a style sheet."""
    asset = assets.all_assets().get(visit.request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    headers = {**HEADERS, "Cache-Control": f"public, max-age={KEPT_SECONDS}, immutable"}
    return web.Response(body=asset.data, content_type=asset.mime, charset="utf-8", headers=headers)


ROUTES = (
    Page("GET", "/", _home),
    Page("GET", "/language", _language, open=True),
    Page("GET", "/static/{name}", _asset, open=True),
    Page("GET", "/login", login.page, open=True),
    Page("POST", "/login", login.enter, open=True),
    Page("POST", "/logout", login.leave),
    Page("GET", "/overview", overview.page),
    Page("POST", "/overview", checkup.post),
    Page("GET", "/buckets", buckets.page),
    Page("POST", "/buckets", buckets.create),
    Page("POST", "/b/{bucket}/acl", buckets.put_acl),
    Page("GET", "/b/{bucket}/delete", buckets.ask_delete),
    Page("POST", "/b/{bucket}/delete", buckets.delete),
    Page("GET", "/b/{bucket}/objects", objects.page),
    Page("POST", "/b/{bucket}/upload", objects.upload, streams=True),
    Page("PUT", "/b/{bucket}/object", objects.put, streams=True),
    Page("POST", "/b/{bucket}/parts", parts.begin),
    Page("PUT", "/b/{bucket}/part", parts.put, streams=True),
    Page("POST", "/b/{bucket}/parts-complete", parts.complete),
    Page("POST", "/b/{bucket}/parts-abort", parts.abort),
    Page("POST", "/b/{bucket}/remove", objects.remove),
    Page("GET", "/b/{bucket}/picture", objects.picture),
    Page("GET", "/b/{bucket}/histogram", histogram.picture),
    Page("GET", "/b/{bucket}/object", object_page.page),
    Page("POST", "/b/{bucket}/object-acl", object_page.put_acl),
    Page("GET", "/b/{bucket}/styles", styles.page),
    Page("GET", "/b/{bucket}/style", editor.page),
    Page("POST", "/b/{bucket}/style", editor.save),
    Page("POST", "/b/{bucket}/style-delete", styles.delete),
    Page("GET", "/b/{bucket}/access", access.page),
    Page("POST", "/b/{bucket}/access", access.save),
    Page("GET", "/b/{bucket}/settings", fields.page),
    Page("POST", "/b/{bucket}/settings", fields.save),
    Page("GET", "/b/{bucket}/versions", versions.page),
    Page("GET", "/b/{bucket}/version", versions.show),
    Page("POST", "/b/{bucket}/version-restore", versions.restore),
    Page("POST", "/b/{bucket}/document", versions.import_),
    Page("GET", "/b/{bucket}/document", versions.export),
    Page("POST", "/check", editor.check),
    Page("GET", "/actions", editor.actions),
)


def mount(app: web.Application, console: Console) -> None:
    """Add the routes below ``/console/`` to an application."""
    app[CONSOLE], app[login.ATTEMPTS] = console, Attempts()
    app[HISTORY], app[checkup.CHECKUP] = History(), checkup.Checkup()
    app.cleanup_ctx.append(checkup.keep())
    app.cleanup_ctx.append(follow(console.services))
    app.router.add_get(ROOT, _to_root)
    for row in ROUTES:
        app.router.add_route(row.method, f"{ROOT}{row.path}", _handler(row))


async def _to_root(request: web.Request) -> web.StreamResponse:
    raise web.HTTPSeeOther(f"{ROOT}/")


def _handler(row: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        visit = Visit.of(request.app[CONSOLE], request)
        try:
            return await _serve(row, visit)
        except LoginRequiredError:
            return _to_login(visit)
        except OssError as error:
            return refuse(visit, error)
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        except ConnectionError:
            raise
        except Exception:
            log.exception("the console cannot answer %s", row.path)
            failed = OssError("The server has a fault; its log has more.")
            return refuse(visit, failed)

    return handle


async def _serve(row: Page, visit: Visit) -> web.StreamResponse:
    if not row.open and visit.session is None:
        raise LoginRequiredError
    if row.method not in ("GET", "HEAD"):
        visit.check_origin()
        if not row.streams:
            visit.form = cast("dict[str, str]", await _form(visit))
            if not row.open:
                visit.check_token(visit.text(TOKEN_FIELD))
    return await row.work(visit)


async def _form(visit: Visit) -> object:
    """Return the values of a form.

    Raises:
        InvalidArgument: The body is malformed.
    """
    with reading():
        return await visit.request.post()


def _to_login(visit: Visit) -> web.StreamResponse:
    """Redirect to the login page, which leads back; a script gets an error."""
    if visit.request.method != "GET" or visit.request.headers.get("X-Requested-With"):
        return pages.render(visit, "error.html", 401, code="", message_key="login.needed", error="")
    back = visit.request.path_qs
    return web.Response(status=303, headers={"Location": pages.link("login", back=back), **HEADERS})


def refuse(visit: Visit, error: OssError) -> web.StreamResponse:
    """Return a page with an error, or JSON for a script."""
    if visit.request.headers.get("X-Requested-With"):
        return pages.failure(error)
    return pages.render(
        visit, "error.html", error.status, code=error.code, message_key="", error=error.message
    )
