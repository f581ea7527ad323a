"""The styles of a bucket: the list, each with a picture of the bucket, and their deletion."""

from __future__ import annotations

from urllib.parse import unquote
from xml.etree.ElementTree import Element

from aiohttp import web

from ..api import xml
from ..api.styles import MAX_STYLES, NAME
from ..gate.protection import PICTURES
from ..gate.target import Target
from . import buckets, calls, objects, pages
from .visit import Visit

SAMPLES = 12  # pictures of a contact sheet
LOOKED_AT = 200  # objects among which they are searched


async def page(visit: Visit) -> web.StreamResponse:
    """Show the list."""
    buckets.check_there(visit)
    answer = await visit.call("GET", Target(visit.bucket, "", (("style", ""),)))
    root = calls.document(answer, "StyleList")
    rows = [
        {name: item.findtext(name, "") for name in ("Name", "Content", "LastModifyTime")}
        for item in root.iterfind("Style")
    ]
    keys = await samples(visit, 1)
    return pages.render(
        visit,
        "styles.html",
        rows=rows,
        sample=keys[0] if keys else "",
        most=MAX_STYLES,
        saved=visit.text("saved"),
    )


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete a style, after a confirmation."""
    buckets.check_there(visit)
    name = visit.text("name")
    if visit.text("sure") != "1":
        return pages.render(visit, "style_delete.html", name=name)
    await visit.call("DELETE", Target(visit.bucket, "", (("style", ""), (NAME, name))))
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/styles"))


async def samples(visit: Visit, count: int = SAMPLES) -> list[str]:
    """Return the keys of the first pictures of the bucket.

    Listing takes time for each object, so many are listed only if few of the first are pictures.
    """
    keys: list[str] = []
    for most in (2 * count, LOOKED_AT):
        query = (("max-keys", str(most)), ("encoding-type", "url"))
        answer = await visit.call("GET", Target(visit.bucket, "", query))
        root = calls.document(answer, "ListBucketResult")
        listed = [unquote(item.findtext("Key", "")) for item in root.iterfind("Contents")]
        shown = PICTURES - objects.UNSEEN
        keys = [key for key in listed if key.rpartition(".")[2].lower() in shown][:count]
        if len(keys) == count or root.findtext("IsTruncated") != "true":
            break
    return keys


def document(content: str) -> bytes:
    """Return the ``<Style>`` of PutStyle."""
    return xml.write(xml.add(Element("Style"), Content=content))
