"""Versions of bucket documents: what each change has written, who made it and when.

``.vipsgate/versions/BUCKET/00000001-DIGEST`` is a line of JSON, followed by the document's bytes. A
version is written before its document, so a sudden end of the server between the two loses neither:
it leaves a version that no later one began from, and that is shown as such. The alternative, one
file for each bucket, would write 50 documents with each change, and that file and the document
would have to change in one step, which no store offers.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace

import orjson

from ..buckets import INTERNAL
from ..errors import NoSuchKey, OssError, PreconditionFailed
from ..store.base import PLAIN, Object, Store

FOLDER = "versions/"
MAX_VERSIONS = 50  # versions of a bucket; the oldest ones are deleted
DIGITS = 8  # digits of a version's number in its name
NAME = re.compile(r"([0-9]{8})-([0-9a-f]{64})")
PAGE = 1000  # names that are listed in one call; there are few more than MAX_VERSIONS
AT_ONCE = 8  # versions that are read at the same time
OUTSIDE = "outside"  # Author.what of a document that was not written by vipsgate


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change to a document.

    Attributes:
        who: An access key id, or a command; empty for an anonymous caller.
        what: The call, ``PutStyle small``.
        when: Time of the change in seconds since the epoch.
    """

    who: str = ""
    what: str = ""
    when: float = 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """A present or former document of a bucket.

    Attributes:
        number: Ascending, from 1.
        author: Who wrote it.
        before: Digest of the document that it was to replace; empty for none.
        document: The bytes of the document.
        lasted: Whether it is in force, or a later one began from it. If not, it never came into
            force, or was undone in the store itself.
        current: Whether it is the present document.
    """

    number: int
    author: Author
    before: str
    document: bytes
    lasted: bool = True
    current: bool = False

    @property
    def digest(self) -> str:
        """The :func:`digest` of the document."""
        return digest(self.document)


def digest(document: bytes | None) -> str:
    """Return the SHA-256 of a document in hexadecimal digits; empty for none."""
    return "" if document is None else hashlib.sha256(document).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A version whose document is about to be written.

    Attributes:
        path: Its key in the internal bucket.
        etag: Its ETag.
        surplus: Keys of the oldest versions, which are too many with it.
    """

    path: str
    etag: str
    surplus: Sequence[str]


async def note(
    store: Store, bucket: str, present: bytes | None, document: bytes, author: Author
) -> Entry | None:
    """Write a version of a document that is about to replace the present one.

    If vipsgate has not written the present document, such as one edited in the store, a version of
    it is written first. The caller then writes the document, and calls :func:`settle` if that has
    succeeded, or else :func:`withdraw`.

    Returns:
        ``None`` if the document is equal to the present one.
    """
    names = await _names(store, bucket)
    now = digest(present)
    if present is not None and now not in {name.digest for name in names}:
        stranger = Author("", OUTSIDE, author.when)
        before = names[-1].digest if names else ""
        names.append((await _write(store, names, bucket, present, stranger, before))[0])
    if document == present:
        return None
    name, item = await _write(store, names, bucket, document, author, now)
    return Entry(name.path, item.etag, [old.path for old in [*names, name][:-MAX_VERSIONS]])


async def settle(store: Store, entry: Entry) -> None:
    """Delete the oldest versions. If that fails, the next change deletes them."""
    with suppress(OssError):
        for path in entry.surplus:
            await store.delete(INTERNAL, path)


async def withdraw(store: Store, entry: Entry) -> None:
    """Delete a version whose document was not written, because of another change."""
    with suppress(PreconditionFailed):
        await store.delete(INTERNAL, entry.path, expected=entry.etag)


async def listed(store: Store, bucket: str, present: bytes | None) -> Sequence[Version]:
    """Return all versions, the newest first.

    Args:
        store: The store.
        bucket: The bucket.
        present: The bytes of the present document; ``None`` if there is none.
    """
    names = (await _names(store, bucket))[-MAX_VERSIONS:]
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: _Name) -> Version | None:
        async with turns:
            return await _read(store, name)

    versions = [item for item in await asyncio.gather(*map(one, names)) if item]
    now = digest(present)
    current = max((item.number for item in versions if item.digest == now), default=0)
    begun = {now, *(item.before for item in versions)}
    return [
        replace(item, lasted=item.digest in begun, current=item.number == current)
        for item in reversed(versions)
    ]


async def remove(store: Store, bucket: str) -> None:
    """Delete all versions of a bucket that is deleted."""
    while names := await _names(store, bucket):
        for name in names:
            await store.delete(INTERNAL, name.path)


@dataclass(frozen=True, slots=True)
class _Name:
    """The name of a version in the internal bucket."""

    bucket: str
    number: int
    digest: str

    @property
    def path(self) -> str:
        return f"{FOLDER}{self.bucket}/{self.number:0{DIGITS}d}-{self.digest}"


async def _read(store: Store, name: _Name) -> Version | None:
    """Read a version; return ``None`` if it is gone, or was not written by vipsgate."""
    try:
        opened = await store.open(INTERNAL, name.path)
    except NoSuchKey:
        return None
    with closing(opened):
        head, _, document = opened.read().partition(b"\n")
    try:
        values = orjson.loads(head)
        return Version(name.number, Author(**values["author"]), values["before"], document)
    except (ValueError, TypeError, KeyError):
        return None


async def _write(
    store: Store,
    names: Sequence[_Name],
    bucket: str,
    document: bytes,
    author: Author,
    before: str,
) -> tuple[_Name, Object]:
    """Write a version after the existing ones, and return its name and object."""
    name = _Name(bucket, names[-1].number + 1 if names else 1, digest(document))
    head = orjson.dumps({"author": asdict(author), "before": before})
    async with store.draft(INTERNAL) as draft:
        await draft.write(head + b"\n" + document)
        while True:
            try:
                return name, await draft.keep(name.path, PLAIN, expected="")
            except PreconditionFailed:  # another node has just written it
                name = replace(name, number=name.number + 1)


async def _names(store: Store, bucket: str) -> list[_Name]:
    """Return the names of the existing versions, the oldest first."""
    prefix = f"{FOLDER}{bucket}/"
    page = await store.list(INTERNAL, prefix=prefix, limit=PAGE)
    words = (NAME.fullmatch(key.removeprefix(prefix)) for key, _ in page.objects)
    return [_Name(bucket, int(word[1]), word[2]) for word in words if word]
