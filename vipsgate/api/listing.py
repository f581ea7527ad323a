"""ListObjects and ListObjectsV2: a bucket's objects, page by page (OSS guide, GetBucket).

A page begins after a key or a common prefix, which is the marker of the first call, or is encoded
in the opaque token of the second. No state is kept between pages.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..gate.target import KEY_BYTES
from ..store.base import Object
from . import xml
from .call import Call, invalid

MAX_KEYS, USUAL_KEYS = 1000, 100  # objects and prefixes in one answer; OSS guide, GetBucket


async def list_objects(call: Call) -> web.StreamResponse:
    """ListObjects."""
    return await _list(call, second=False)


async def list_objects_v2(call: Call) -> web.StreamResponse:
    """ListObjectsV2."""
    call.chosen("list-type", ("2",))
    return await _list(call, second=True)


async def _list(call: Call, *, second: bool) -> web.StreamResponse:
    """A page, in the words of the first version of the call or of the second."""
    url = call.encodes_keys()
    prefix, delimiter = text(call, "prefix"), text(call, "delimiter")
    most = call.number("max-keys", USUAL_KEYS, 1, MAX_KEYS)
    start = text(call, "start-after" if second else "marker")
    token = call.parameter("continuation-token") if second else ""
    owner = not second or call.chosen("fetch-owner", ("", "false", "true")) == "true"

    after = _read(token) or start
    page = await call.services.store.list(
        call.target.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=most
    )
    rows: dict[str, str | int] = {
        "Name": call.target.bucket,
        "Prefix": xml.encoded(prefix, url),
        "StartAfter" if second else "Marker": xml.encoded(start, url),
        "MaxKeys": most,
        "Delimiter": xml.encoded(delimiter, url),
        "IsTruncated": str(bool(page.next)).lower(),
    }
    if url:
        rows["EncodingType"] = "url"
    if second:
        rows["KeyCount"] = len(page.objects) + len(page.prefixes)
        rows |= {"ContinuationToken": token} if token else {}
        rows |= {"NextContinuationToken": _write(page.next)} if page.next else {}
    elif page.next:
        rows["NextMarker"] = xml.encoded(page.next, url)
    root = xml.add(Element("ListBucketResult"), **rows)
    for key, item in page.objects:
        entry = xml.add(SubElement(root, "Contents"), Key=xml.encoded(key, url))
        describe(entry, item, owner=owner)
    add_prefixes(root, page.prefixes, url=url)
    return call.respond(body=xml.write(root))


def describe(entry: Element, item: Object, *, owner: bool) -> None:
    """Append what a listing tells of an object to its entry."""
    xml.add(
        entry,
        LastModified=xml.iso(item.modified),
        ETag=item.etag,
        Type=item.properties.kind,
        Size=0 if item.properties.target else item.size,  # of a symlink none
        StorageClass="Standard",
    )
    if owner:
        xml.owner(entry)


def add_prefixes(root: Element, prefixes: Sequence[str], *, url: bool) -> None:
    """Append common prefixes, percent-encoded for ``url``."""
    for shared in prefixes:
        xml.add(SubElement(root, "CommonPrefixes"), Prefix=xml.encoded(shared, url))


def text(call: Call, name: str) -> str:
    """Return a parameter that keys are compared with, and that is at most as long as a key."""
    value = call.parameter(name)
    if len(value.encode()) > KEY_BYTES:
        raise invalid(name, value, f"at most {KEY_BYTES} bytes of UTF-8")
    return value


def _write(marker: str) -> str:
    """A token without signs that a client might percent-decode, or forget to encode."""
    return base64.urlsafe_b64encode(marker.encode()).rstrip(b"=").decode()


def _read(token: str) -> str:
    padded = token + "=" * (-len(token) % 4)
    try:
        marker = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):  # not Base64, not ASCII, not UTF-8
        marker = ""
    if _write(marker) != token:
        raise invalid("continuation-token", token, "one that an answer has given")
    return marker
