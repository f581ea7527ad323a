"""Multipart uploads, which the page's script uses for large files."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..api import xml
from ..catalog.uploads import MAX_PARTS
from ..errors import InvalidArgument
from ..gate.target import Target, check_stored_key
from . import buckets, calls, pages
from .visit import TOKEN_HEADER, Visit

PART_BYTES = 8 << 20  # bytes of a part; files that are not larger are sent whole
MAX_LISTED = "20"  # unfinished uploads on a page


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that has begun and not ended.

    Attributes:
        key: Key of its object.
        identity: Its id.
        begun: When it began, ``2026-01-01 00:00``.
    """

    key: str
    identity: str
    begun: str


async def begin(visit: Visit) -> web.StreamResponse:
    """InitiateMultipartUpload; the answer has the upload's id."""
    key, kind = visit.text("key"), visit.text("type")
    check_stored_key(key)
    target = Target(visit.bucket, key, (("uploads", ""),))
    answer = await visit.call("POST", target, {"Content-Type": kind} if kind else None)
    root = calls.document(answer, "InitiateMultipartUploadResult")
    return web.json_response({"upload": root.findtext("UploadId", "")}, headers=pages.HEADERS)


async def put(visit: Visit) -> web.StreamResponse:
    """UploadPart: the body is the part; the answer has its ETag."""
    visit.check_token(visit.request.headers.get(TOKEN_HEADER, ""))
    query, sent = visit.request.query, visit.request.headers
    target = _target(visit, query.get("key", ""), query.get("upload", ""))
    number = ("partNumber", query.get("number", ""))
    target = Target(target.bucket, target.key, (*target.query, number))
    length = {"Content-Length": sent["Content-Length"]} if "Content-Length" in sent else None
    answer = await visit.call("PUT", target, length, None)
    return web.json_response({"etag": answer.headers["ETag"]}, headers=pages.HEADERS)


async def complete(visit: Visit) -> web.StreamResponse:
    """CompleteMultipartUpload; the form has the ETags of the parts in order."""
    key, tags = visit.text("key"), visit.texts("etag")
    if not 0 < len(tags) <= MAX_PARTS:
        raise InvalidArgument(f"An upload has 1 to {MAX_PARTS} parts; this one has {len(tags)}.")
    root = Element("CompleteMultipartUpload")
    for number, tag in enumerate(tags, 1):
        xml.add(SubElement(root, "Part"), PartNumber=number, ETag=tag)
    await visit.call("POST", _target(visit, key, visit.text("upload")), data=xml.write(root))
    return web.json_response({"key": key}, headers=pages.HEADERS)


async def abort(visit: Visit) -> web.StreamResponse:
    """AbortMultipartUpload, for the script, or for a form of the list."""
    await visit.call("DELETE", _target(visit, visit.text("key"), visit.text("upload")))
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/objects"))


async def unfinished(visit: Visit) -> list[Unfinished]:
    """Return the first unfinished uploads to the bucket."""
    query = (("uploads", ""), ("max-uploads", MAX_LISTED), ("encoding-type", "url"))
    answer = await visit.call("GET", Target(visit.bucket, "", query))
    root = calls.document(answer, "ListMultipartUploadsResult")
    return [
        Unfinished(
            unquote(item.findtext("Key", "")),
            item.findtext("UploadId", ""),
            item.findtext("Initiated", "")[:16].replace("T", " "),
        )
        for item in root.iterfind("Upload")
    ]


def _target(visit: Visit, key: str, identity: str) -> Target:
    buckets.check_there(visit)
    return Target(visit.bucket, key, (("uploadId", identity),))
