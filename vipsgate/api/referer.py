"""GetBucketReferer, PutBucketReferer: hotlink protection (OSS guide, PutBucketReferer)."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..buckets import RefererPolicy
from . import buckets, xml
from .call import Call


async def get(call: Call) -> web.StreamResponse:
    """GetBucketReferer; ``RefererList`` is never left out, because oss2 and ali-oss require it."""
    return call.respond(body=write(call.grant.bucket.referer))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketReferer: replace the whole policy."""
    policy = read(await call.document())
    await buckets.change(call, lambda document: buckets.changed(document, referer=policy))
    return call.respond()


def read(data: bytes) -> RefererPolicy:
    """Return the policy in a ``<RefererConfiguration>``.

    Raises:
        MalformedXML: It is another document, or a value is not valid.
    """
    root = xml.parse(data, "RefererConfiguration")
    if root.find("RefererList") is None:
        raise xml.malformed(f"{root.tag} has no RefererList")
    truncate_path = xml.truth(root, "TruncatePath", default=False)
    truncate_query = xml.truth(root, "AllowTruncateQueryString", default=True)
    return RefererPolicy(
        allow_empty=xml.truth(root, "AllowEmptyReferer"),
        truncate_query=truncate_query or truncate_path,
        truncate_path=truncate_path,
        whitelist=_entries(root, "RefererList"),
        blacklist=_entries(root, "RefererBlacklist"),
    )


def write(policy: RefererPolicy) -> bytes:
    """Return the ``<RefererConfiguration>`` of a policy, without an empty ``RefererBlacklist``."""
    root = xml.add(
        Element("RefererConfiguration"),
        AllowEmptyReferer=str(policy.allow_empty).lower(),
        AllowTruncateQueryString=str(policy.truncate_query).lower(),
        TruncatePath=str(policy.truncate_path).lower(),
    )
    _list(root, "RefererList", policy.whitelist)
    if policy.blacklist:
        _list(root, "RefererBlacklist", policy.blacklist)
    return xml.write(root)


def _entries(root: Element, name: str) -> tuple[str, ...]:
    """Return the entries of a list that are not empty: clients clear a list by an empty entry."""
    value = ((entry.text or "").strip() for entry in root.iterfind(f"{name}/Referer"))
    return tuple(entry for entry in value if entry)


def _list(root: Element, name: str, entries: tuple[str, ...]) -> None:
    parent = SubElement(root, name)
    for entry in entries:
        xml.add(parent, Referer=entry)
