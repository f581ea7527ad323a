"""Versions of bucket documents: what each change has written, who made it and when.

``.vipsgate/versions/BUCKET/00000001-DIGEST`` is a line of JSON and, below it, the document's bytes
as they are. A version is written before its document, so a sudden end between the two loses
neither: it leaves a version from which no later one began, and that is told. Kept in one file a
bucket, 50 documents would be written anew with each change, and that file and the document would
have to change in one step, which no store offers.
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
MAX_VERSIONS = 50  # of a bucket; the oldest go
DIGITS = 8  # of a version's number in its name
NAME = re.compile(r"([0-9]{8})-([0-9a-f]{64})")
PAGE = 1000  # names read in one go; there are few more than MAX_VERSIONS
AT_ONCE = 8  # versions read at a time
OUTSIDE = "outside"  # what is said of a document that nobody here has written


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a document.

    Attributes:
        who: An access key id, or a command; empty where nobody has signed.
        what: The call, ``PutStyle small``.
        when: Seconds since the epoch.
    """

    who: str = ""
    what: str = ""
    when: float = 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """A document that a bucket has, or had.

    Attributes:
        number: Rising, from 1.
        author: Who has written it.
        before: The digest of the document that it was to replace; empty for none.
        document: Its bytes.
        lasted: Whether it is in force or a later one began from it. Else it never came into force,
            or was undone in the store itself.
        current: Whether it is the document as it is now.
    """

    number: int
    author: Author
    before: str
    document: bytes
    lasted: bool = True
    current: bool = False

    @property
    def digest(self) -> str:
        """See :func:`digest`."""
        return digest(self.document)


def digest(document: bytes | None) -> str:
    """What tells a document from others; empty for none."""
    return "" if document is None else hashlib.sha256(document).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A version whose document is about to be written.

    Attributes:
        path: Where in the store it is.
        etag: Its tag there.
        surplus: Where those are that are too old beside it.
    """

    path: str
    etag: str
    surplus: Sequence[str]


async def note(
    store: Store, bucket: str, present: bytes | None, document: bytes, author: Author
) -> Entry | None:
    """Write down a document that is about to replace the present one; ``None`` for the same one.

    A present one that nobody here has written, as by hand in the store, is written down first.
    Then :func:`settle` or :func:`withdraw` follows, by what becomes of the document.
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
    """Let the oldest go, as the document is written; what stays behind goes with the next one."""
    with suppress(OssError):
        for path in entry.surplus:
            await store.delete(INTERNAL, path)


async def withdraw(store: Store, entry: Entry) -> None:
    """Take a version away whose document has not been written: somebody else was first."""
    with suppress(PreconditionFailed):
        await store.delete(INTERNAL, entry.path, expected=entry.etag)


async def listed(store: Store, bucket: str, present: bytes | None) -> Sequence[Version]:
    """All versions, the newest first.

    Args:
        store: Where they are.
        bucket: Of which bucket.
        present: The document as it is now; ``None`` for none.
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
    """Take all of them away, with their bucket."""
    while names := await _names(store, bucket):
        for name in names:
            await store.delete(INTERNAL, name.path)


@dataclass(frozen=True, slots=True)
class _Name:
    """What the name of a version says."""

    bucket: str
    number: int
    digest: str

    @property
    def path(self) -> str:
        return f"{FOLDER}{self.bucket}/{self.number:0{DIGITS}d}-{self.digest}"


async def _read(store: Store, name: _Name) -> Version | None:
    """One of them; ``None`` where it is gone, or the file is none of ours."""
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
    """Write one behind those that there are."""
    name = _Name(bucket, names[-1].number + 1 if names else 1, digest(document))
    head = orjson.dumps({"author": asdict(author), "before": before})
    async with store.draft(INTERNAL) as draft:
        await draft.write(head + b"\n" + document)
        while True:
            try:
                return name, await draft.keep(name.path, PLAIN, expected="")
            except PreconditionFailed:  # another node writes the same, in the same moment
                name = replace(name, number=name.number + 1)


async def _names(store: Store, bucket: str) -> list[_Name]:
    """Those that there are, in their order."""
    prefix = f"{FOLDER}{bucket}/"
    page = await store.list(INTERNAL, prefix=prefix, limit=PAGE)
    words = (NAME.fullmatch(key.removeprefix(prefix)) for key, _ in page.objects)
    return [_Name(bucket, int(word[1]), word[2]) for word in words if word]
