"""Pages that list, create, set and delete buckets."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ..buckets import ACLS
from ..errors import NoSuchBucket, OssError
from ..gate.headers import BUCKET_ACL
from ..gate.rights import Right
from ..gate.target import Target
from . import calls, pages
from .visit import Visit

MAX_BUCKETS = "1000"  # buckets on a page; OSS guide, ListBuckets


@dataclass(frozen=True, slots=True)
class Row:
    """A bucket in the list.

    Attributes:
        name: The bucket's.
        created: Time of creation, as in ListBuckets.
        acl: Its ACL.
        styles: Number of its styles.
        declared: Whether the configuration declares it, so that it cannot be changed here.
        protected: Whether source protection is on.
        fault: What is wrong with its document; empty if it is valid.
    """

    name: str
    created: str
    acl: str
    styles: int
    declared: bool
    protected: bool
    fault: str


async def page(visit: Visit) -> web.StreamResponse:
    """List the buckets page by page; a prefix of their names may be given."""
    return await _page(visit)


async def _page(
    visit: Visit, status: int = 200, error: str = "", name: str = ""
) -> web.StreamResponse:
    prefix, marker = visit.text("prefix"), visit.text("marker")
    query = tuple(
        (word, value)
        for word, value in (("prefix", prefix), ("marker", marker), ("max-keys", MAX_BUCKETS))
        if value
    )
    answer = await visit.call("GET", Target("", "", query))
    root = calls.document(answer, "ListAllMyBucketsResult")
    rows = [
        _row(visit, item.findtext("Name", ""), item.findtext("CreationDate", ""))
        for item in root.iterfind("Buckets/Bucket")
    ]
    return pages.render(
        visit,
        "buckets.html",
        status,
        rows=rows,
        prefix=prefix,
        next=root.findtext("NextMarker", ""),
        acls=ACLS,
        error=error,
        name=name,
    )


def _row(visit: Visit, name: str, created: str) -> Row:
    registry = visit.services.registry
    document = registry.get(name) or registry.plain
    return Row(
        name,
        "" if created.startswith("1970") else created[:10],
        document.acl,
        len(document.styles),
        name in registry.declared,
        document.protection.enabled,
        registry.faults.get(name, ""),
    )


async def create(visit: Visit) -> web.StreamResponse:
    """Create a bucket."""
    name, acl = visit.text("name").strip(), visit.text("acl")
    try:
        if visit.services.registry.get(name) is not None:
            await visit.call("PUT", Target(name, ""))  # raises the API's error
            raise web.HTTPSeeOther(pages.link(f"b/{name}/objects"))
        await visit.call("PUT", Target(name, ""), {BUCKET_ACL: acl} if acl else None)
    except OssError as error:
        return await _page(visit, error.status, error.message, name)
    raise web.HTTPSeeOther(pages.link(f"b/{name}/objects"))


async def put_acl(visit: Visit) -> web.StreamResponse:
    """Set the ACL."""
    check_there(visit)
    await visit.call(
        "PUT", Target(visit.bucket, "", (("acl", ""),)), {BUCKET_ACL: visit.text("acl")}
    )
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/objects"))


async def ask_delete(visit: Visit) -> web.StreamResponse:
    """Ask for confirmation before a bucket is deleted."""
    check_there(visit)
    return pages.render(visit, "bucket_delete.html", error="")


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete an empty bucket if its name was typed once more."""
    check_there(visit)
    if visit.text("name").strip() != visit.bucket:
        return pages.render(visit, "bucket_delete.html", 400, error="bucket.delete.mismatch")
    await visit.call("DELETE", Target(visit.bucket, ""))
    raise web.HTTPSeeOther(pages.link("buckets"))


def check_there(visit: Visit) -> None:
    """Refuse a bucket that does not exist, or whose settings the visitor may not see.

    Raises:
        NoSuchBucket: There is no bucket of this name.
        AccessDenied: The role does not have the right.
    """
    visit.check(Right.VIEW)
    if visit.services.registry.get(visit.bucket) is None:
        raise NoSuchBucket("The specified bucket does not exist.")
