"""ListObjectVersions: the answer of OSS for a bucket that was never versioned (GetBucketVersions).

Every object is listed once, as its latest version, ``null``. A page begins after the key marker.
The version marker does not matter, because no key has a second version after ``null``.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..errors import InvalidArgument
from ..gate.parameters import ONLY_VERSION
from . import listing, xml
from .call import Call


async def list_versions(call: Call) -> web.StreamResponse:
    """ListObjectVersions.

    Raises:
        InvalidArgument: A parameter is not valid, or there is a version marker without key marker.
    """
    url = call.encodes_keys()
    prefix, delimiter = listing.text(call, "prefix"), listing.text(call, "delimiter")
    limit = call.number("max-keys", listing.USUAL_KEYS, 1, listing.MAX_KEYS)
    marker = listing.text(call, "key-marker")
    version = call.chosen("version-id-marker", ("", ONLY_VERSION))
    if version and not marker:
        raise InvalidArgument("The parameter: version-id-marker is given without key-marker.")
    page = await call.services.store.list(
        call.target.bucket, prefix=prefix, delimiter=delimiter, after=marker, limit=limit
    )
    rows: dict[str, str | int] = {
        "Name": call.target.bucket,
        "Prefix": xml.encoded(prefix, url),
        "KeyMarker": xml.encoded(marker, url),
        "VersionIdMarker": version,
        "MaxKeys": limit,
        "Delimiter": xml.encoded(delimiter, url),
        "IsTruncated": str(bool(page.next)).lower(),
    }
    if url:
        rows["EncodingType"] = "url"
    if page.next:
        rows["NextKeyMarker"] = xml.encoded(page.next, url)
        rows["NextVersionIdMarker"] = "" if page.next in page.prefixes else ONLY_VERSION
    root = xml.add(Element("ListVersionsResult"), **rows)
    for key, item in page.objects:
        entry = xml.add(
            SubElement(root, "Version"),
            Key=xml.encoded(key, url),
            VersionId=ONLY_VERSION,
            IsLatest="true",
        )
        listing.describe(entry, item, owner=True)
    listing.add_prefixes(root, page.prefixes, url=url)
    return call.respond(body=xml.write(root))
