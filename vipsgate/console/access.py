"""Access settings: source protection, separators, hotlink protection, formats; and a URL tester."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from ..api.images import SEPARATORS
from ..buckets import Bucket
from ..catalog import documents
from ..catalog.versions import digest
from ..delivery.order import see
from ..errors import InvalidArgument, InvalidObjectName, NoSuchKey, OssError, shown
from ..gate.access import Grant, Seen
from ..gate.rights import Right
from ..gate.target import resolve
from . import buckets, calls, diff, holes, pages
from .visit import Visit

FIELDS = frozenset(  # keys of the document
    ("protection", "separators", "referer", "auto_format", "avif_in_background")
)
MAX_RULES = 10  # OSS guide, Source image protection
MAX_URL = 8192  # characters of a URL
MAX_LOOKED_AT = 50  # watermark objects; one for each style, of which there are at most 50


async def page(visit: Visit) -> web.StreamResponse:
    """Show the settings, and the result of the tester for a URL."""
    buckets.check_there(visit)
    bucket = document(visit)
    return await _page(visit, bucket, _fingerprint(bucket))


async def save(visit: Visit) -> web.StreamResponse:
    """Write the values of the form, unless somebody else has changed them since it was loaded."""
    buckets.check_there(visit)
    visit.check(Right.RULE)
    stored, was = document(visit), visit.text("was")
    try:
        changed = _filled(visit, stored)
    except ValueError as error:  # pydantic's error names key and value
        return await _page(visit, stored, was, 400, error=words(error))

    edit = partial(_filled, visit)
    try:
        await visit.change("PutAccess", edit, calls.expecting(_fingerprint, was, edit))
    except calls.ConflictError as conflict:
        theirs = conflict.present
        return await _page(visit, changed, _fingerprint(theirs), 409, theirs=_written(theirs))
    except OssError as error:
        return await _page(visit, changed, was, error.status, error=error.message)
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/access", saved="1"))


async def _page(
    visit: Visit, bucket: Bucket, was: str, status: int = 200, error: str = "", theirs: str = ""
) -> web.StreamResponse:
    rules = [rule.model_dump() for rule in bucket.protection.rules]
    rules += [{"prefix": "", "suffix": "", "case_insensitive": False}] * (MAX_RULES - len(rules))
    url, referer = visit.text("url").strip()[:MAX_URL], visit.text("referer").strip()[:MAX_URL]
    tested = await _tested(visit, url, referer) if url and not error else None
    return pages.render(
        visit,
        "access.html",
        status,
        bucket=bucket,
        rules=rules,
        separators=SEPARATORS,
        holes=await _holes(visit, bucket),
        was=was,
        error=error,
        compared=diff.compare(theirs, _written(bucket)) if theirs else None,
        saved=visit.text("saved"),
        url=url,
        referer=referer,
        tested=tested,
    )


async def _holes(visit: Visit, bucket: Bucket) -> list[holes.Hole]:
    """Return the gaps in the settings, including those of the watermark objects of styles."""
    limits, grant = visit.services.settings.limits, Grant(bucket, visit.caller)
    keys = {key for keys in holes.watermarks(bucket, limits).values() for key in keys}
    objects: dict[str, Seen | None] = {}
    for key in sorted(keys)[:MAX_LOOKED_AT]:
        try:
            objects[key] = see(grant, key, await visit.services.store.stat(visit.bucket, key))
        except (NoSuchKey, InvalidObjectName):
            objects[key] = None
        except OssError:  # the store is not available
            break
    return holes.of(bucket, limits, objects)


async def _tested(visit: Visit, url: str, referer: str) -> dict[str, Any]:
    """Return what a request for a URL would get: from this URL, and from each kind of caller."""
    try:
        line = _line(visit, url)
    except OssError as error:
        return {"access": None, "refused": {"message": error.message, "code": error.code}}
    return await visit.console.explain(
        visit.services, line, {"Referer": referer} if referer else {}
    )


def _line(visit: Visit, url: str) -> str:
    """Return a URL of the public port as path and query, with the bucket in the path.

    Raises:
        OssError: The URL does not name an object.
    """
    services = visit.services
    try:
        parts = urlsplit(url)
    except ValueError:  # of an address in brackets
        raise InvalidArgument(f"The value: {shown(url)!r} is no URL.") from None
    raw = parts.path or "/"
    if parts.query:
        raw += f"?{parts.query}"
    raw = quote(raw, safe="/?:@!$&'()*+,;=%-._~|")  # encoded as by a browser
    if not parts.netloc and not raw.startswith("/"):
        raw = f"/{visit.bucket}/{raw}"
    endpoint = services.settings.server.endpoint
    target = resolve(raw, parts.netloc, services.registry.domains, endpoint)
    query = raw.partition("?")[2]
    return f"/{target.bucket}/{quote(target.key)}" + (f"?{query}" if query else "")


def document(visit: Visit) -> Bucket:
    """Return the bucket's document, or the default one."""
    registry = visit.services.registry
    return registry.get(visit.bucket) or registry.plain


def _filled(visit: Visit, document: Bucket) -> Bucket:
    """Return the document with the values of the form.

    Raises:
        ValueError: A value is not valid.
    """
    prefixes, suffixes = visit.texts("prefix"), visit.texts("suffix")
    folded = set(visit.texts("case_insensitive"))
    rules = [
        {"prefix": prefix, "suffix": suffix, "case_insensitive": str(number) in folded}
        for number, (prefix, suffix) in enumerate(zip(prefixes, suffixes, strict=True))
        if prefix or suffix
    ]
    protection = {
        "enabled": visit.text("enabled") == "1",
        "extensions": _list(visit.text("extensions").replace(",", "\n")),
        "rules": rules,
    }
    referer = {name: visit.text(name) == "1" for name in ("allow_empty", "truncate_path")}
    referer["truncate_query"] = visit.text("truncate_query") == "1" or referer["truncate_path"]
    lists = {name: _list(visit.text(name)) for name in ("whitelist", "blacklist")}
    return Bucket.model_validate(
        {
            **dict(document),
            "protection": protection,
            "separators": [one for one in SEPARATORS if one in visit.texts("separator")],
            "referer": {**referer, **lists},
            "auto_format": visit.text("auto_format").split(),
            "avif_in_background": visit.text("avif_in_background") == "1",
        }
    )


def _list(text: str) -> list[str]:
    return [line for line in (line.strip() for line in text.splitlines()) if line]


def _written(bucket: Bucket) -> str:
    """Return the settings of the page as JSON, to be shown."""
    return documents.write(Bucket(**{key: getattr(bucket, key) for key in FIELDS})).decode()


def _fingerprint(bucket: Bucket) -> str:
    """Return a digest of the page's settings, whatever line endings the form has sent."""
    return digest(_written(bucket).encode())


def words(error: ValueError) -> str:
    """Return what is wrong with a form, one line for each key."""
    errors = getattr(error, "errors", None)
    return "\n".join(map(documents.line, errors())) if errors else str(error)
