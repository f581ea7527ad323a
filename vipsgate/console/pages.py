"""Renders pages from templates, with headers that isolate them from other sites."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import OssError
from ..gate.rights import Right
from . import assets, language
from .visit import TOKEN_FIELD, Visit

ROOT = "/console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TABS = {  # tab of a bucket -> the right to see it
    "objects": Right.VIEW,
    "styles": Right.VIEW,
    "access": Right.VIEW,
    "settings": Right.RULE,
    "versions": Right.RULE,
}
UNITS = ("B", "KB", "MB", "GB", "TB")


@cache
def environment() -> Environment:
    """Return the environment of the templates; values are always escaped."""
    result = Environment(
        loader=PackageLoader("vipsgate.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result.globals |= {
        "asset": lambda name: f"{ROOT}/static/{assets.hashed(name)}",
        "link": link,
        "languages": language.NAMES,
        "token_field": TOKEN_FIELD,
        "Right": Right,
        "tabs": TABS,
    }
    result.filters |= {"size": size, "moment": moment}
    return result


def render(visit: Visit, template: str, status: int = 200, **values: Any) -> web.Response:
    """Return a page for a visitor."""
    text = (
        environment()
        .get_template(template)
        .render(
            visit=visit,
            t=language.translator(visit.language),
            token=visit.session.token() if visit.session else "",
            **values,
        )
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)


def failure(error: OssError) -> web.Response:
    """Return an error for a script: its code and message as JSON."""
    report = {"code": error.code, "message": error.message}
    return web.json_response(report, status=error.status, headers=HEADERS)


def link(path: str, **query: str) -> str:
    """Return a URL of the console: a path, and a query of the parameters that are not empty."""
    sent = {name: value for name, value in query.items() if value}
    return f"{ROOT}/{quote(path)}" + (f"?{urlencode(sent)}" if sent else "")


def aim(back: str) -> str:
    """Return the path to redirect to: ``back`` if it is a page of the console, else its home."""
    ours = back.startswith(f"{ROOT}/") and back.isascii() and back.isprintable()
    return back if ours and "\\" not in back else f"{ROOT}/"


def size(count: float) -> str:
    """Return a number of bytes in words: ``21.8 KB``."""
    for unit in UNITS:
        if count < 1000 or unit == UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def moment(seconds: float) -> str:
    """Return a time in UTC; a dash if it is not known."""
    if not seconds:
        return "–"
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S")
