"""The page of an object: preview, properties, URLs to copy, and who may read it by which rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web

from ..buckets import ACLS, Bucket
from ..errors import NoSuchKey, OssError
from ..gate.headers import ACL
from ..gate.protection import PICTURES
from ..gate.rights import Right
from ..gate.target import Target, check_key
from . import buckets, calls, objects, pages, snippet, urls
from .visit import Visit

FIRST = ("Format", "ImageWidth", "ImageHeight", "FrameCount", "FileSize")
PREVIEW = "image/resize,w_640,h_480"  # the process of the preview
VIDEO = "video/snapshot,t_0,f_jpg,w_640"
MAX_PROCESS = 4096  # characters of a process text in a form


@dataclass(frozen=True, slots=True)
class Link:
    """A URL or text to copy.

    Attributes:
        name: Key of its name in the catalogue.
        text: The text; empty if there is none.
        why: Why there is none; empty if there is one.
    """

    name: str
    text: str
    why: str = ""


async def page(visit: Visit) -> web.StreamResponse:
    """Show the page of an object; its preview has the parameter ``process``."""
    buckets.check_there(visit)
    visit.check(Right.READ)
    key, process = visit.text("key"), visit.text("process").strip()[:MAX_PROCESS]
    bucket = visit.services.registry.get(visit.bucket)
    assert bucket is not None
    check_key(key)
    if not key:
        raise NoSuchKey("The specified key does not exist.")
    item = await visit.services.store.stat(visit.bucket, key)
    kind = key.rpartition(".")[2].lower()
    facts = await _facts(visit, key) if kind in PICTURES else {}
    base = (
        objects.shown(PREVIEW, kind) if facts else VIDEO if kind in ("mp4", "mov", "webm") else ""
    )
    shown = process or base
    report = await visit.console.explain(visit.services, _line(visit.bucket, key, process), {})
    return pages.render(
        visit,
        "object.html",
        key=key,
        folder=key[: key.rfind("/") + 1],
        item=item,
        acl=item.properties.acl,
        acls=ACLS,
        facts=[(name, facts[name]) for name in FIRST if name in facts],
        exif=[(name, text) for name, text in facts.items() if name not in FIRST],
        base=base,
        shown=shown,
        process=process,
        styles=sorted(bucket.styles),
        links=await _links(visit, bucket, key, process, facts),
        expires=_expires(visit),
        access=report.get("access") or {},
        refused=report.get("refused"),
        result=(report.get("plan") or {}).get("result") if process else None,
    )


async def put_acl(visit: Visit) -> web.StreamResponse:
    """Set the object's own ACL."""
    key = visit.text("key")
    sent = {ACL: visit.text("acl")}
    await visit.call("PUT", Target(visit.bucket, key, (("acl", ""),)), sent)
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/object", key=key))


async def _facts(visit: Visit, key: str) -> dict[str, str]:
    """Return the answer of ``image/info``; empty if the object is not a picture."""
    try:
        data = await calls.report(
            visit.services, visit.caller, Target(visit.bucket, key), "image/info"
        )
        values: dict[str, Any] = json.loads(data)
    except (OssError, ValueError):
        return {}
    return {name: str(value.get("value", "")) for name, value in values.items()}


def _line(bucket: str, key: str, process: str) -> str:
    query = f"?x-oss-process={quote(process, safe='')}" if process else ""
    return f"/{bucket}/{quote(key)}{query}"


def place(visit: Visit, bucket: Bucket) -> urls.Place:
    """Return the bucket's public address: its own domain, below the endpoint, or by path."""
    scheme = "https" if visit.encrypted else "http"
    server = visit.services.settings.server
    if bucket.domains:
        return urls.Place(f"{scheme}://{bucket.domains[0]}", visit.bucket, in_path=False)
    if server.endpoint:
        return urls.Place(f"{scheme}://{visit.bucket}.{server.endpoint}", visit.bucket, False)
    address = visit.console.address
    for anywhere in ("//0.0.0.0:", "//[::]:"):  # all addresses: use the request's host
        if anywhere in address:
            host = visit.request.host.rpartition(":")[0] or visit.request.host
            address = address.replace(anywhere, f"//{host}:")
    return urls.Place(address, visit.bucket)


def _expires(visit: Visit) -> int:
    text = visit.text("expires")
    good = text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0
    return int(text) if good else urls.VALID_SECONDS


async def _links(
    visit: Visit, bucket: Bucket, key: str, process: str, facts: dict[str, str]
) -> list[Link]:
    """Return everything that can be copied, for the process of the preview."""
    where = place(visit, bucket)
    plain = where.plain(key, process)
    result = [Link("url.plain", plain)]
    named = process.removeprefix("style/") if process.startswith("style/") else ""
    if named in bucket.styles:
        result += [
            Link("url.styled", where.styled(key, sign, named)) for sign in bucket.separators[:1]
        ]
    result += [_signed(visit, where, key, process, 1), _signed(visit, where, key, process, 4)]
    name = key.rpartition("/")[2]
    if facts:
        result.append(Link("url.srcset", await snippet.markup(visit, where, key, process)))
        result.append(Link("url.markdown", urls.markdown(plain, name)))
    result.append(Link("url.curl", urls.curl(plain, name)))
    return result


def _signed(
    visit: Visit, where: urls.Place, key: str, process: str, version: Literal[1, 4]
) -> Link:
    name = {1: "url.v1", 4: "url.v4"}[version]
    if visit.caller not in visit.services.configuration.keys.credentials:
        return Link(name, "", "url.no_key")
    keys, now = visit.services.configuration.keys, visit.services.clock()
    terms = urls.Terms(now, _expires(visit), version, keys.region, keys.v4_expires_max)
    try:
        return Link(name, where.signed(visit.caller, key, process, terms))
    except ValueError as error:
        return Link(name, "", str(error))
