"""Login by a signature over a nonce, and logout."""

from __future__ import annotations

from aiohttp import web

from . import pages, session
from .attempts import Attempts
from .pages import ROOT
from .visit import Console, Visit

# the attempts of this process; each instance counts its own
ATTEMPTS = web.AppKey("attempts", Attempts)


async def page(visit: Visit) -> web.StreamResponse:
    """Show the login page."""
    return _page(visit)


async def enter(visit: Visit) -> web.StreamResponse:
    """Begin a session for a visitor who proves to have the secret of a key pair."""
    console, now, address = visit.console, visit.services.clock(), visit.request.remote or ""
    attempts = visit.request.app[ATTEMPTS]
    if wait := attempts.wait(address, now):
        response = _page(visit, 429, "login.wait", seconds=wait)
        response.headers["Retry-After"] = str(wait)
        return response
    given, key_id, proof = (visit.text(name) for name in ("nonce", "id", "proof"))
    known = console.credentials()
    if visit.text("secret") and not proof:
        if not visit.safe:
            return _page(visit, 403, "login.unsafe")
        proof = session.prove(visit.text("secret"), given)
    if not (session.is_fresh(given, known, now) and attempts.use(given, now)):
        return _page(visit, 403, "login.stale")
    credential = session.proven(key_id, proof, given, known)
    if credential is None:
        attempts.fail(address, now)
        visit.note("login", "refused")
        return _page(visit, 403, "login.wrong")
    visit.session = session.begin(credential, now)
    visit.note("login")
    response = web.Response(
        status=303, headers={"Location": pages.aim(visit.text("back")), **pages.HEADERS}
    )
    response.set_cookie(
        session.COOKIE,
        visit.session.cookie(),
        max_age=session.SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=visit.encrypted,
    )
    return response


async def leave(visit: Visit) -> web.StreamResponse:
    """End the session, also for copies of its cookie."""
    visit.note("logout")
    if visit.session:
        visit.console.ended.add(visit.session, visit.services.clock())
    response = web.Response(
        status=303, headers={"Location": f"{ROOT}/login", "Clear-Site-Data": '"cache"'}
    )
    response.headers.update(pages.HEADERS)
    response.del_cookie(session.COOKIE, path="/")
    return response


def _page(visit: Visit, status: int = 200, problem: str = "", **values: object) -> web.Response:
    console: Console = visit.console
    known = console.credentials()
    return pages.render(
        visit,
        "login.html",
        status,
        nonce=session.nonce(known, visit.services.clock()) if known else "",
        problem=problem,
        values=values,
        back=visit.text("back"),
        key_id=visit.text("id"),
    )
