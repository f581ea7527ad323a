"""Uploads in parts, kept in the store until they are completed or aborted.

``.vipsgate/uploads/BUCKET/ID/about.json`` says what is to become of the parts beside it, ``00001``
to ``10000``. Completing copies them into one draft, which becomes the object in one step; the
upload is taken away after that, so that a client who never heard the answer may ask again. One
that died in between is recognised by its object's tag, see :func:`sweep`.

Uploads are listed in the order of their keys, but lie in that of their ids. So a page reads them
all and holds the first of them. An index by key would read no more than a page, and cost a write
for each upload and a repair for each sudden end; uploads are few, and listed rarely: a look at one
takes 0.2 ms on a disk (a page of 100 of 1,000 under way: 0.27 s on two busy cores), others are
served between any 32 of them, and a lifecycle rule takes away those that nobody completes.
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
LEAST_BYTES = 102400  # of a part that is not the last; OSS guide, Multipart upload
PAGE = 1000  # entries read in one go
READS = 32  # uploads read at the same time: an object store takes a while for each
ORPHAN = 3600.0  # seconds after which parts without an upload are nobody's


@dataclass(frozen=True, slots=True)
class Upload:
    """One that has begun.

    Attributes:
        bucket: Of the object.
        key: Of the object.
        identity: ``uploadId``, 32 hexadecimal digits.
        properties: What will be kept with the object.
        begun: Seconds since the epoch.
        made: The tag of the object that is being made of it; empty before that.
        ended: It is being taken away, and is none any more.
    """

    bucket: str
    key: str
    identity: str
    properties: Properties
    begun: float
    made: str = ""
    ended: bool = False

    def path(self, name: str) -> str:
        """Where in the store something of it is."""
        return f"{FOLDER}{self.bucket}/{self.identity}/{name}"

    def part(self, number: int) -> str:
        """Where in the store one of its parts is."""
        return self.path(f"{number:05d}")


@dataclass(frozen=True, slots=True)
class Part:
    """One that has come.

    Attributes:
        number: 1 to 10,000.
        object: What the store knows of it.
    """

    number: int
    object: Object


@dataclass(frozen=True, slots=True)
class UploadPage:
    """A part of a listing of uploads, in the order of their keys' bytes and of their ids.

    Attributes:
        rows: Key, id, and when it was begun; of a common prefix the id is empty.
        more: Whether there are others behind these.
    """

    rows: Sequence[tuple[str, str, float]]
    more: bool


async def begin(store: Store, bucket: str, key: str, properties: Properties, now: float) -> Upload:
    """Begin an upload."""
    upload = Upload(bucket, key, secrets.token_hex(16).upper(), properties, now)
    await _note(store, upload)
    return upload


async def find(store: Store, bucket: str, key: str, identity: str) -> Upload:
    """The upload of this id, which is to this object.

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
    """Make a draft in :data:`INTERNAL` a part of the upload, in place of an earlier one.

    Raises:
        NoSuchUpload: It has ended meanwhile.
    """
    part = await draft.keep(upload.part(number), PLAIN)
    try:
        await find(store, upload.bucket, upload.key, upload.identity)
    except NoSuchUpload:
        await store.delete(INTERNAL, upload.part(number))
        raise
    return part


async def parts(store: Store, upload: Upload, *, after: int = 0, limit: int) -> Sequence[Part]:
    """The parts that have come, by number, from behind ``after``."""
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
    """Make the object of parts.

    Args:
        store: Where they are.
        upload: Which one.
        wanted: Number and tag of each part, in their order.
        draft: Of the object.
        make: Keeps the draft; called with the object's tag.

    Raises:
        InvalidPartOrder: The numbers do not ascend.
        InvalidPart: One has not come, or has another tag.
        EntityTooSmall: One that is not the last is below 100 KB.
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
                raise _missing(part.number, "has been sent anew meanwhile")
            await opened.copy(draft)
        # OSS hashes the digits; S3 hashes what they stand for
        fingerprints.update(part.object.etag.strip('"').upper().encode())
    etag = f'"{fingerprints.hexdigest().upper()}-{len(wanted)}"'
    await _note(store, replace(upload, made=etag))
    result = await make(etag)
    await abort(store, upload)
    return result


async def _part(store: Store, upload: Upload, number: int, etag: str) -> Part:
    """A part that a client names.

    Raises:
        InvalidPart: It has not come, or has another tag.
    """
    try:
        info = await store.stat(INTERNAL, upload.part(number))
    except NoSuchKey:
        raise _missing(number, "has not come") from None
    if etag.strip('"').upper() != info.etag.strip('"').upper():
        raise _missing(number, f"has the ETag {info.etag}, not {shown(etag)}")
    return Part(number, info)


async def abort(store: Store, upload: Upload) -> None:
    """Take the upload and its parts away; who dies on the way is seen to by :func:`sweep`."""
    # from now on it is none: a part that still comes takes itself away
    await _note(store, replace(upload, ended=True))
    await _clear(store, upload.bucket, upload.identity)


async def under_way(store: Store, bucket: str) -> AsyncIterator[Upload]:
    """All uploads to a bucket that have begun and not ended."""
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
    """Return a page of the uploads under way, in memory that does not grow with them.

    Args:
        store: Where they are.
        bucket: Which one.
        prefix: What the keys of their objects begin with.
        delimiter: Keys that have it behind the prefix are one common prefix up to it.
        after: Key and id, or a common prefix and "", behind which the page begins; a key without
            an id stands for all uploads of that key.
        limit: Uploads and common prefixes together, at least 1.
    """
    places: list[tuple[bytes, str]] = []  # of the first ones that are known so far, in order
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
    """Take away what a sudden end has left: uploads whose object is made, parts of none."""
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
    except (ValueError, TypeError, KeyError):  # not of our making
        return None


async def _clear(store: Store, bucket: str, identity: str) -> None:
    """Take all of it away, what is said of it last."""
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
    """The names, so many at a time."""
    together: list[str] = []
    async for name in names:
        together.append(name)
        if len(together) == size:
            yield together
            together = []
    if together:
        yield together


async def _folders(store: Store, folder: str) -> AsyncIterator[str]:
    """The names directly below a folder that have something below them."""
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
