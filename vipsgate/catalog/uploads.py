"""Multipart uploads, kept in the store until they are completed or aborted.

``.vipsgate/uploads/BUCKET/ID/about.json`` describes an upload; its parts are files in the same
folder, ``00001`` to ``10000``. Completing an upload copies them into one draft, which becomes the
object in one step. The upload is deleted after that, so that a client that got no answer may repeat
the call. If the server ends in between, the upload is recognised by its object's ETag, see
:func:`sweep`.

Uploads are listed in the order of their keys, but stored in that of their ids. So each page reads
them all and keeps the first ones. An index by key would make a page read fewer, and would need a
write for each upload and a repair after each sudden end. Uploads are few and rarely listed: reading
one takes 0.2 ms on a disk (a page of 100 of 1,000 uploads: 0.27 s on two busy cores), other
requests are served after every 32, and a lifecycle rule aborts those that are not completed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import orjson

from ..buckets import INTERNAL
from ..errors import EntityTooSmall, InvalidPart, InvalidPartOrder, NoSuchKey, NoSuchUpload, shown
from ..store.base import PLAIN, Draft, Object, Properties, Store
from ..store.local.listing import common

FOLDER, ABOUT = "uploads/", "about.json"
IDENTITY = re.compile(r"[0-9A-F]{32}")
MAX_PARTS = 10000  # OSS guide, Multipart upload
LEAST_BYTES = 102400  # least bytes of a part other than the last; OSS guide, Multipart upload
PAGE = 1000  # entries that are listed in one call
READS = 32  # uploads that are read at the same time, because object stores take a while for each
ORPHAN = 3600.0  # seconds after which parts without an upload are deleted


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that has begun.

    Attributes:
        bucket: Bucket of the object.
        key: Key of the object.
        identity: ``uploadId``, 32 hexadecimal digits.
        properties: Properties that the object will have.
        begun: When it began, in seconds since the epoch.
        made: ETag of the object while it is being completed; empty before.
        ended: Whether it has ended and is being deleted.
    """

    bucket: str
    key: str
    identity: str
    properties: Properties
    begun: float
    made: str = ""
    ended: bool = False

    def path(self, name: str) -> str:
        """Return the key, in the internal bucket, of a file of this upload."""
        return f"{FOLDER}{self.bucket}/{self.identity}/{name}"

    def part(self, number: int) -> str:
        """Return the key, in the internal bucket, of a part."""
        return self.path(f"{number:05d}")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has been uploaded.

    Attributes:
        number: 1 to 10,000.
        object: Its object in the internal bucket.
    """

    number: int
    object: Object


@dataclass(frozen=True, slots=True)
class UploadPage:
    """A page of a listing of uploads, sorted by the bytes of their keys and then by id.

    Attributes:
        rows: Key, id, and beginning in seconds since the epoch; the id of a common prefix is empty.
        more: Whether there are others after these.
    """

    rows: Sequence[tuple[str, str, float]]
    more: bool


async def begin(store: Store, bucket: str, key: str, properties: Properties, now: float) -> Upload:
    """Begin an upload, and return it."""
    upload = Upload(bucket, key, secrets.token_hex(16).upper(), properties, now)
    await _note(store, upload)
    return upload


async def find(store: Store, bucket: str, key: str, identity: str) -> Upload:
    """Return the upload to an object with this id.

    Raises:
        NoSuchUpload: There is none.
    """
    if IDENTITY.fullmatch(identity):
        upload = await _read(store, bucket, identity)
        if upload and upload.key == key and not upload.ended:
            return upload
    raise NoSuchUpload(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may "
        "have been aborted or completed.",
        extra={"UploadId": shown(identity)},
    )


async def keep(store: Store, upload: Upload, number: int, draft: Draft) -> Object:
    """Store a draft in :data:`INTERNAL` as a part of an upload; it replaces an earlier one.

    Raises:
        NoSuchUpload: The upload has ended in the meantime.
    """
    part = await draft.keep(upload.part(number), PLAIN)
    try:
        await find(store, upload.bucket, upload.key, upload.identity)
    except NoSuchUpload:
        await store.delete(INTERNAL, upload.part(number))
        raise
    return part


async def parts(store: Store, upload: Upload, *, after: int = 0, limit: int) -> Sequence[Part]:
    """Return the uploaded parts with numbers above ``after``, sorted by number."""
    page = await store.list(
        INTERNAL, prefix=upload.path(""), after=upload.part(after), limit=limit + 1
    )
    names = ((key.rpartition("/")[2], item) for key, item in page.objects)
    return [Part(int(name), item) for name, item in names if name.isdigit()][:limit]


async def complete(
    store: Store,
    upload: Upload,
    wanted: Sequence[tuple[int, str]],
    draft: Draft,
    make: Callable[[str], Awaitable[Object]],
) -> Object:
    """Join parts into an object, and return it.

    Args:
        store: The store.
        upload: The upload.
        wanted: Number and ETag of each part, in order.
        draft: Draft of the object, into which the parts are copied.
        make: Stores the draft as the object; called with the object's ETag.

    Raises:
        InvalidPartOrder: The numbers do not ascend.
        InvalidPart: A part was not uploaded, or has another ETag.
        EntityTooSmall: A part other than the last has less than 100 KB.
    """
    numbers = [number for number, _ in wanted]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise InvalidPartOrder("The list of parts was not in ascending order by part number.")
    parts = [await _part(store, upload, number, etag) for number, etag in wanted]
    for part in parts[:-1]:
        if part.object.size < LEAST_BYTES:
            raise EntityTooSmall(
                f"Your proposed upload is smaller than the minimum allowed size: part "
                f"{part.number} has {part.object.size} bytes, and only the last may have fewer "
                f"than {LEAST_BYTES}.",
                extra={"PartNumber": str(part.number)},
            )
    fingerprints = hashlib.md5(usedforsecurity=False)
    for part in parts:
        with closing(await store.open(INTERNAL, upload.part(part.number))) as opened:
            if opened.object != part.object:
                raise _missing(part.number, "was replaced in the meantime")
            await opened.copy(draft)
        # OSS hashes the hexadecimal digits; S3 hashes the bytes that they stand for
        fingerprints.update(part.object.etag.strip('"').upper().encode())
    etag = f'"{fingerprints.hexdigest().upper()}-{len(wanted)}"'
    await _note(store, replace(upload, made=etag))
    result = await make(etag)
    await abort(store, upload)
    return result


async def _part(store: Store, upload: Upload, number: int, etag: str) -> Part:
    """Return a part that a client names.

    Raises:
        InvalidPart: The part was not uploaded, or has another ETag.
    """
    try:
        info = await store.stat(INTERNAL, upload.part(number))
    except NoSuchKey:
        raise _missing(number, "has not been uploaded") from None
    if etag.strip('"').upper() != info.etag.strip('"').upper():
        raise _missing(number, f"has the ETag {info.etag}, not {shown(etag)}")
    return Part(number, info)


async def abort(store: Store, upload: Upload) -> None:
    """Delete an upload and its parts; :func:`sweep` does the rest if the server ends meanwhile."""
    # first mark it as ended, so that keep() deletes a part that still arrives
    await _note(store, replace(upload, ended=True))
    await _clear(store, upload.bucket, upload.identity)


async def under_way(store: Store, bucket: str) -> AsyncIterator[Upload]:
    """Yield all uploads to a bucket that have begun and not ended."""
    async for together in _batches(_identities(store, bucket), READS):
        for upload in await asyncio.gather(*(_read(store, bucket, one) for one in together)):
            if upload and not upload.ended:
                yield upload


async def page(
    store: Store,
    bucket: str,
    *,
    prefix: str,
    delimiter: str,
    after: tuple[str, str],
    limit: int,
) -> UploadPage:
    """Return a page of the uploads in progress; the memory for it does not grow with their number.

    Args:
        store: The store.
        bucket: The bucket.
        prefix: Prefix of the keys of their objects.
        delimiter: Keys that contain it after the prefix are joined into one common prefix.
        after: Key and id, or a common prefix and "", after which the page begins; a key without an
            id stands for all uploads of that key.
        limit: Most uploads and common prefixes together, at least 1.
    """
    places: list[tuple[bytes, str]] = []  # key and id of the first ones so far, sorted
    begun: dict[tuple[bytes, str], float] = {}
    start = after[0].encode(), after[1]
    async for upload in under_way(store, bucket):
        if not upload.key.startswith(prefix):
            continue
        shared = common(upload.key, prefix, delimiter)
        place = (shared.encode(), "") if shared else (upload.key.encode(), upload.identity)
        if place in begun or not _behind(place, start):
            continue
        if len(places) > limit and place > places[-1]:
            continue
        insort(places, place)
        begun[place] = upload.begun
        if len(places) > limit + 1:
            del begun[places.pop()]
    rows = [(key.decode(), identity, begun[key, identity]) for key, identity in places[:limit]]
    return UploadPage(rows, more=len(places) > limit)


def _behind(place: tuple[bytes, str], start: tuple[bytes, str]) -> bool:
    """Return whether an upload comes after the markers; without an id, after all of that key."""
    if not start[0]:
        return True
    if place[0] == start[0]:
        return bool(start[1]) and place[1] > start[1]
    return place[0] > start[0]


async def sweep(store: Store, now: float) -> None:
    """Delete what a sudden end of the server has left behind.

    These are uploads that have ended or whose object exists, and parts without an upload.
    """
    async for bucket in _folders(store, FOLDER):
        async for identity in _identities(store, bucket):
            upload = await _read(store, bucket, identity)
            if upload is None:
                page = await store.list(
                    INTERNAL, prefix=f"{FOLDER}{bucket}/{identity}/", limit=PAGE
                )
                if all(item.modified < now - ORPHAN for _, item in page.objects):
                    await _clear(store, bucket, identity)
            elif upload.ended or (upload.made and await _is_made(store, upload)):
                await abort(store, upload)


async def _is_made(store: Store, upload: Upload) -> bool:
    try:
        return (await store.stat(upload.bucket, upload.key)).etag == upload.made
    except NoSuchKey:
        return False


async def _note(store: Store, upload: Upload) -> None:
    async with store.draft(INTERNAL) as draft:
        await draft.write(orjson.dumps(asdict(upload)))
        await draft.keep(upload.path(ABOUT), PLAIN)


async def _read(store: Store, bucket: str, identity: str) -> Upload | None:
    try:
        opened = await store.open(INTERNAL, f"{FOLDER}{bucket}/{identity}/{ABOUT}")
    except NoSuchKey:
        return None
    try:
        with closing(opened):
            about = orjson.loads(opened.read())
        return Upload(**{**about, "properties": Properties(**about["properties"])})
    except (ValueError, TypeError, KeyError):  # not written by vipsgate
        return None


async def _clear(store: Store, bucket: str, identity: str) -> None:
    """Delete the files of an upload, its description last."""
    prefix = f"{FOLDER}{bucket}/{identity}/"
    while (page := await store.list(INTERNAL, prefix=prefix, limit=PAGE)).objects:
        names = [key for key, _ in page.objects if key != prefix + ABOUT]
        for key in names or [prefix + ABOUT]:
            await store.delete(INTERNAL, key)


async def _identities(store: Store, bucket: str) -> AsyncIterator[str]:
    async for identity in _folders(store, f"{FOLDER}{bucket}/"):
        if IDENTITY.fullmatch(identity):
            yield identity


async def _batches(names: AsyncIterator[str], size: int) -> AsyncIterator[list[str]]:
    """Yield the names in lists of ``size``; the last one may be shorter."""
    together: list[str] = []
    async for name in names:
        together.append(name)
        if len(together) == size:
            yield together
            together = []
    if together:
        yield together


async def _folders(store: Store, folder: str) -> AsyncIterator[str]:
    """Yield the names of the folders directly below a folder."""
    after = ""
    while True:
        page = await store.list(INTERNAL, prefix=folder, delimiter="/", after=after, limit=PAGE)
        for prefix in page.prefixes:
            yield prefix.removeprefix(folder).removesuffix("/")
        if not (after := page.next):
            return


def _missing(number: int, what: str) -> InvalidPart:
    return InvalidPart(
        "One or more of the specified parts could not be found or the specified entity tag might "
        f"not have matched the part's entity tag: part {number} {what}.",
        extra={"PartNumber": str(number)},
    )
