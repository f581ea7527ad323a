"""The objects of a bucket: listed by folder, searched by prefix, uploaded, deleted, thumbnails."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element, SubElement

from aiohttp import BodyPartReader, MultipartReader, web

from ..api import xml
from ..buckets import ACLS
from ..errors import AccessDenied, InvalidArgument, InvalidObjectName, OssError
from ..gate.headers import FORBID_OVERWRITE
from ..gate.protection import PICTURES
from ..gate.rights import Right
from ..gate.target import PROCESS, Target, check_stored_key
from . import buckets, calls, pages, parts
from .visit import TOKEN_FIELD, TOKEN_HEADER, Visit, reading

PAGE = 60  # objects and folders on a page
THUMBNAIL = "image/resize,m_fill,w_96,h_96"
UNSEEN = frozenset(("tif", "tiff", "heic", "heif"))  # formats that most browsers cannot show
SEEN = "/format,png"  # the format in which they are shown
MAX_FIELDS = 1000  # fields of a form with files
CHUNK = 1 << 16  # bytes of a file in a form that are read at a time


@dataclass(frozen=True, slots=True)
class Item:
    """An object in the list.

    Attributes:
        key: Its key.
        name: The part of the key after the folder.
        size: Bytes.
        modified: When it was last changed, ``2026-01-01 00:00``.
        picture: Whether it is a picture, by its extension.
        kind: The extension, in lower case.
        thumbnail: The process of its thumbnail.
    """

    key: str
    name: str
    size: int
    modified: str
    picture: bool
    kind: str
    thumbnail: str


async def page(visit: Visit) -> web.StreamResponse:
    """Show a page of the listing."""
    buckets.check_there(visit)
    folder, search, marker = visit.text("folder"), visit.text("search"), visit.text("marker")
    prefix = folder + search
    query = [("max-keys", str(PAGE)), ("encoding-type", "url"), ("delimiter", "/")]
    query += [(name, value) for name, value in (("prefix", prefix), ("marker", marker)) if value]
    answer = await visit.call("GET", Target(visit.bucket, "", tuple(query)))
    root = calls.document(answer, "ListBucketResult")
    items = [_item(entry, folder) for entry in root.iterfind("Contents")]
    folders = [unquote(entry.findtext("Prefix", "")) for entry in root.iterfind("CommonPrefixes")]
    return pages.render(
        visit,
        "objects.html",
        items=items,
        folders=[(one, one.removeprefix(folder)) for one in folders],
        folder=folder,
        search=search,
        marker=marker,
        crumbs=_crumbs(folder),
        next=unquote(root.findtext("NextMarker", "")),
        unfinished=await parts.unfinished(visit) if not prefix and not marker else [],
        part=parts.PART_BYTES,
        uploaded=visit.text("uploaded"),
        removed=visit.text("removed"),
        acls=ACLS,
        acl=(visit.services.registry.get(visit.bucket) or visit.services.registry.plain).acl,
    )


def _item(entry: Element, folder: str) -> Item:
    key = unquote(entry.findtext("Key", ""))
    _, dot, extension = key.rpartition(".")
    kind = extension.lower() if dot and "/" not in extension else ""
    modified = entry.findtext("LastModified", "")[:16].replace("T", " ")
    size = int(entry.findtext("Size", "0"))
    return Item(
        key,
        key.removeprefix(folder),
        size,
        modified,
        kind in PICTURES,
        kind,
        shown(THUMBNAIL, kind),
    )


def shown(process: str, kind: str) -> str:
    """Return the process, with a format that browsers show if that of the source is not."""
    return process + SEEN if kind in UNSEEN else process


def _crumbs(folder: str) -> list[tuple[str, str]]:
    """Return prefix and name of each parent folder."""
    parts = folder.split("/")[:-1]
    return [("/".join(parts[: at + 1]) + "/", name) for at, name in enumerate(parts)]


async def put(visit: Visit) -> web.StreamResponse:
    """Store one file, which is the body, by PutObject; the page's script sends it."""
    visit.check_token(visit.request.headers.get(TOKEN_HEADER, ""))
    key = visit.request.query.get("key", "")
    check_stored_key(key)
    kind = visit.request.headers.get("Content-Type", "")
    sent = {
        name: visit.request.headers[name]
        for name in ("Content-Length", "Transfer-Encoding")
        if name in visit.request.headers
    }
    if kind:
        sent["Content-Type"] = kind
    if visit.request.query.get("keep") == "1":
        sent[FORBID_OVERWRITE] = "true"
    await visit.call("PUT", Target(visit.bucket, key), sent, None)
    return web.json_response({"key": key}, headers=pages.HEADERS)


async def upload(visit: Visit) -> web.StreamResponse:
    """Store the files of a form one after the other; a browser without script sends it."""
    if not visit.request.content_type.startswith("multipart/"):
        raise InvalidArgument("The form cannot be read.")
    folder, checked, stored = "", False, 0
    with reading():
        form = await visit.request.multipart()
    while (part := await _next(form)) is not None:
        if not isinstance(part, BodyPartReader):
            raise InvalidArgument("The form cannot be read.")
        if part.name == TOKEN_FIELD:
            visit.check_token(await _field(part))
            checked = True
        elif part.name == "folder":
            folder = await _field(part)
        elif part.name == "file" and part.filename:
            if not checked:
                raise AccessDenied("The form is not of this session.")
            key = folder + part.filename.replace("\\", "/").rpartition("/")[2]
            check_stored_key(key)
            kind = part.headers.get("Content-Type", "")
            sent = {"Content-Type": kind} if kind else {}
            await visit.call("PUT", Target(visit.bucket, key), sent, _pieces(part))
            stored += 1
    aim = pages.link(f"b/{visit.bucket}/objects", folder=folder, uploaded=str(stored))
    raise web.HTTPSeeOther(aim)


async def _next(form: MultipartReader) -> MultipartReader | BodyPartReader | None:
    with reading():
        return await form.next()


async def _field(part: BodyPartReader) -> str:
    with reading():
        return (await part.read_chunk(MAX_FIELDS * 4)).decode()


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        with reading():
            data = await part.read_chunk(CHUNK)
        if not data:
            return
        yield data


async def remove(visit: Visit) -> web.StreamResponse:
    """Delete objects by DeleteMultipleObjects, after a confirmation."""
    buckets.check_there(visit)
    visit.check(Right.DELETE)
    keys, folder = visit.texts("key"), visit.text("folder")
    if not keys:
        raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/objects", folder=folder))
    if visit.text("sure") != "1":
        return pages.render(visit, "objects_delete.html", keys=keys, folder=folder)
    root = Element("Delete")
    xml.add(root, Quiet="true")
    for key in keys:
        if any(sign in key for sign in "\r\0") or not key.isprintable():
            with contextlib.suppress(InvalidObjectName):  # XML cannot contain such a name
                await visit.call("DELETE", Target(visit.bucket, key))
            continue
        xml.add(SubElement(root, "Object"), Key=key)
    if root.find("Object") is not None:
        await visit.call("POST", Target(visit.bucket, "", (("delete", ""),)), data=xml.write(root))
        visit.note("deleted", visit.bucket, *keys)
    aim = pages.link(f"b/{visit.bucket}/objects", folder=folder, removed=str(len(keys)))
    raise web.HTTPSeeOther(aim)


# -- pictures --------------------------------------------------------------------------------------


async def picture(visit: Visit) -> web.StreamResponse:
    """Send a picture of an object, rendered at the lowest priority; never the stored object.

    Raises:
        InvalidArgument: There is no process, or its result is not a picture.
    """
    key, process = visit.text("key"), visit.text("process")
    if not process.startswith(("image/", "style/", "video/")):
        raise InvalidArgument("The parameter: process expects image/..., video/... or style/NAME.")
    target = Target(visit.bucket, key, ((PROCESS, process),))
    given = visit.request.headers
    sent = {name: given[name] for name in ("Accept", "If-None-Match") if name in given}
    try:
        async with visit.services.renderers.lowest():
            return await visit.call("GET", target, sent)
    except OssError as error:
        return pages.failure(error)
