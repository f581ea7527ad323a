"""PutStyle, GetStyle, ListStyle, DeleteStyle: a bucket's process texts (OSS guide, PutStyle).

A text of the older service, ``100w.jpg``, is stored unchanged (OSS guide, old version, Styles).
A style without a time, such as one written into a document by hand, has a time in 1970.
"""

from __future__ import annotations

import contextlib
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from ..buckets import Bucket, Style, StyleName
from ..errors import AccessDenied, InvalidArgument, MissingArgument, NoSuchStyle, shown
from ..gate import conditional, legacy
from ..image import process
from . import buckets, xml
from .call import Call, invalid

NAME, CATEGORY = "styleName", "category"
CATEGORIES = ("image", "document", "video")
MAX_STYLES = 50  # styles of a bucket; OSS guide, Limits
CONTENT_BYTES = 16384  # bytes of a style's content in UTF-8; OSS has no limit, a document needs one


async def get(call: Call) -> web.StreamResponse:
    """GetStyle, or without a name ListStyle, which is sorted by the time of creation.

    Raises:
        NoSuchStyle: There is no style of this name.
    """
    styles, name = call.grant.bucket.styles, call.parameter(NAME)
    if name and name not in styles:
        raise _missing(name)
    root = Element("Style" if name else "StyleList")
    if name:
        _describe(root, name, styles[name])
    else:
        for one in sorted(styles, key=lambda one: styles[one].created):  # stable
            _describe(SubElement(root, "Style"), one, styles[one])
    return call.respond(body=xml.write(root))


async def put(call: Call) -> web.StreamResponse:
    """PutStyle: create a style, or replace its content.

    Raises:
        OssError: The content is not a valid process text; a request with it gets the same error.
        AccessDenied: The bucket has :data:`MAX_STYLES` styles.
    """
    name = _name(call)
    category = call.chosen(CATEGORY, ("", *CATEGORIES)) or CATEGORIES[0]
    content = xml.text(xml.parse(await call.document(), "Style"), "Content")
    if not content:
        raise InvalidArgument("Style content is invalid.")
    if len(content.encode()) > CONTENT_BYTES:
        raise InvalidArgument(f"Content has more than {CONTENT_BYTES} bytes of UTF-8.")
    process.parse(legacy.renewed(content), call.services.settings.limits)
    now = call.services.clock()

    def edit(document: Bucket) -> Bucket:
        old = document.styles.get(name)
        if old is None and len(document.styles) >= MAX_STYLES:
            raise AccessDenied(f"Your style count is exceeded {MAX_STYLES}.")
        created = old.created if old else now
        new = {"content": content, "category": category, "created": created, "modified": now}
        styles = {**document.styles, name: Style.model_validate(new)}
        return buckets.changed(document, styles=styles)

    await buckets.change(call, edit)
    return call.respond()


async def delete(call: Call) -> web.StreamResponse:
    """DeleteStyle; does nothing if there is no such style."""
    name = _name(call)

    def edit(document: Bucket) -> Bucket:
        if name not in document.styles:
            raise _missing(name)
        styles = {other: style for other, style in document.styles.items() if other != name}
        return buckets.changed(document, styles=styles)

    with contextlib.suppress(NoSuchStyle):
        await buckets.change(call, edit)
    return call.respond(204)


def _name(call: Call) -> str:
    name = call.parameter(NAME)
    if not name:
        raise MissingArgument(f"Missing Some Required Arguments: {NAME}.")
    try:
        TypeAdapter(StyleName).validate_python(name)
    except ValidationError:
        raise invalid(NAME, name, "1 to 64 of 0-9, A-Z, a-z, _, - and .") from None
    return name


def _describe(entry: Element, name: str, style: Style) -> None:
    xml.add(
        entry,
        Name=name,
        Content=style.content,
        Category=style.category,
        CreateTime=conditional.http_date(int(style.created)),
        LastModifyTime=conditional.http_date(int(style.modified or style.created)),
    )


def _missing(name: str) -> NoSuchStyle:
    return NoSuchStyle("No Such Image Style.", extra={"StyleName": shown(name)})
