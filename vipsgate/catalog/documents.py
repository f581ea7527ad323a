"""Reads, checks and writes the documents of buckets in the store.

They are ``.vipsgate/buckets/NAME.json``, with the keys of ``[buckets.NAME]``. All instances and
nodes on one store poll them every few seconds, so that each applies the changes of the others.

A broken document is reported, and the last good one stays in force; if there was none, the bucket
is closed to anonymous callers. The same holds if a document disappears while its bucket exists,
because without it the bucket could be open to everybody. A document is deleted with its bucket.
:mod:`.versions` keeps the former documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from typing import Any

import orjson
from pydantic import ValidationError

from ..buckets import BUCKET, INTERNAL, Bucket
from ..errors import AccessDenied, NoSuchKey, OssError, PreconditionFailed, ServiceUnavailable
from ..gate import legacy
from ..image import process
from ..image.config import Limits
from ..store.base import PLAIN, Store
from . import versions
from .versions import Author

FOLDER, ENDING = "buckets/", ".json"
POLL_INTERVAL = 2.0  # seconds between two polls; a change must be seen within 5
MAX_BYTES = 1 << 20  # bytes of a document; 50 styles of 16 KB fit
PAGE = 1000  # documents that are listed in one call
MAX_TRIES = 20  # tries to change a document that others change at the same time
CLOSED = Bucket(acl="private")
UNKNOWN = Author()
MISSING = (
    "its document was deleted, and the bucket still exists: the last document stays in force. "
    "Write it again, or restart to use the bucket without one"
)

log = logging.getLogger(__name__)


class DocumentError(ValueError):
    """A document is not valid; the text names key and value, one fault a line."""


def read(data: bytes, limits: Limits) -> Bucket:
    """Return a bucket's document from JSON.

    Raises:
        DocumentError: The text is not JSON, a key is unknown, or a value is out of range.
    """
    try:
        document = Bucket.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"is not JSON: {error}") from None
    except ValidationError as error:
        raise DocumentError("\n".join(map(line, error.errors()))) from None
    check_styles(document, limits)
    return document


def write(document: Bucket) -> bytes:
    """Return a document as indented JSON for :func:`read`, without keys that have their default."""
    values = document.model_dump(mode="json", exclude_defaults=True)
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def check_styles(document: Bucket, limits: Limits) -> None:
    """Refuse styles whose content is not valid.

    Raises:
        DocumentError: The content of a style is not a process text within the limits.
    """
    for name, style in document.styles.items():
        try:
            process.parse(legacy.renewed(style.content), limits)
        except OssError as error:
            raise DocumentError(f"styles.{name} = {style.content!r}: {error.message}") from None


def line(error: Any) -> str:
    """Return one of pydantic's errors as ``key = value: what is wrong``."""
    name = ".".join(map(str, error["loc"]))
    if "cdn_signing" in name and not name.endswith((".type", ".valid_seconds")):
        return f"{name}: {error['msg']}"  # the value may be a secret
    value = "" if error["type"] in ("missing", "extra_forbidden") else f" = {error['input']!r}"
    return f"{name}{value}: {error['msg']}"


class Documents:
    """The documents of a store, as of the last poll.

    Args:
        store: The store.
        limits: Limits of styles.
        there: Returns whether a bucket exists without a document; by default ``store.has``.

    Attributes:
        known: The documents in force, by bucket.
        faults: What is wrong with a document, by bucket.
        version: A number that changes whenever a document changes.
        announce: Called with a bucket whose document was changed here; returns when all other
            fronts have read it.
    """

    def __init__(
        self, store: Store, limits: Limits, there: Callable[[str], bool] | None = None
    ) -> None:
        self.known: dict[str, Bucket] = {}
        self.faults: dict[str, str] = {}
        self.version = 0
        self._store, self._limits, self._there = store, limits, there or store.has
        self._missing: set[str] = set()  # buckets without their document
        self._etags: dict[str, str] = {}  # ETags of the documents that were read
        self._seen: dict[str, str] = {}  # ETags in the last listing; some stores list other ones
        self.announce: Callable[[str], Awaitable[None]] = _announce_to_none
        self._changing = asyncio.Lock()  # a poll must not undo a later change

    def adopt(self, limits: Limits) -> None:
        """Set the limits of styles; broken documents are read again at the next poll."""
        self._limits = limits
        for name in self.faults:
            self._seen[name] = ""

    async def look(self) -> None:
        """Read the documents that are new or have changed.

        Raises:
            OssError: The store is not available; nothing has changed.
        """
        async with self._changing:
            etags = await self._found()
            await self._vanished(self._etags.keys() - etags.keys())
            for name, etag in etags.items():
                if self._seen.get(name, self._etags.get(name)) != etag:
                    await self._take(name)
                self._seen[name] = etag
            # after the documents, so that no bucket is known before the document that closes it
            await self._store.look()

    async def learn(self, name: str) -> None:
        """Read a document that another process has just changed or deleted.

        Raises:
            OssError: The store is not available.
        """
        async with self._changing:
            await self._take(name)
            await self._store.look()

    async def follow(self, changed: Callable[[], None]) -> None:
        """Poll the documents until this task is cancelled.

        Args:
            changed: Called after every poll.
        """
        away = False
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self.look()
                away = False
            except OssError as error:
                if not away:
                    log.error("the bucket documents cannot be read: %s", error)
                away = True
            except Exception:  # a fault here must not end the polls
                log.exception("the bucket documents cannot be read")
            changed()

    async def change(
        self,
        name: str,
        edit: Callable[[Bucket | None], Bucket],
        author: Author = UNKNOWN,
        *,
        mend: bool = False,
    ) -> Bucket:
        """Change a document without losing changes of others, and return the new one.

        Args:
            name: The bucket.
            edit: Returns the new document for the present one, which is ``None`` if there is none.
                It may be called several times, and raises to refuse the change.
            author: Who makes the change.
            mend: Whether a broken document may be replaced; ``edit`` gets the last good one.

        Raises:
            ServiceUnavailable: Others change the document all the time, or it is broken.
            OssError: ``edit`` raises it, or the store is not available.
        """
        async with self._changing:
            for _ in range(MAX_TRIES):
                present = await self._take(name)
                if name in self.faults and name not in self._missing and not mend:
                    raise ServiceUnavailable(
                        f"The bucket's document is broken and has to be repaired first: "
                        f"{self.faults[name]}"
                    )
                result = edit(self.known.get(name))
                with contextlib.suppress(PreconditionFailed):
                    expected = "" if name in self._missing else self._etags.get(name, "")
                    await self._write(name, result, expected, present, author)
                    break
            else:
                raise ServiceUnavailable("The bucket's document is being changed by others.")
        await self.announce(name)
        return result

    async def replace(self, name: str, result: Bucket, author: Author = UNKNOWN) -> None:
        """Write a document, whatever the present one is; it may be broken."""
        async with self._changing:
            await self._write(name, result, None, await self._take(name), author)
        await self.announce(name)

    async def remove(self, name: str) -> None:
        """Delete a document's versions, and then the document."""
        async with self._changing:
            await versions.remove(self._store, name)
            await self._store.delete(INTERNAL, _key(name))
            self._forget(name)
        await self.announce(name)

    async def versions(self, name: str) -> Sequence[versions.Version]:
        """Return the versions of a document, the newest first, after reading it again."""
        async with self._changing:
            present = await self._take(name)
        return await versions.listed(self._store, name, present)

    async def _write(
        self,
        name: str,
        result: Bucket,
        expected: str | None,
        present: bytes | None,
        author: Author,
    ) -> None:
        data = write(result)
        entry = await versions.note(self._store, name, present, data, author)
        try:
            async with self._store.draft(INTERNAL) as draft:
                await draft.write(data)
                stored = await draft.keep(_key(name), PLAIN, expected=expected)
        except PreconditionFailed:
            if entry:
                await versions.withdraw(self._store, entry)
            raise
        self.known[name], self._etags[name] = result, stored.etag
        self._seen.pop(name, None)
        self._missing.discard(name)
        self.faults.pop(name, None)
        self.version += 1
        if entry:
            await versions.settle(self._store, entry)

    async def _found(self) -> dict[str, str]:
        """Return the ETags of all documents in the store, by bucket."""
        etags: dict[str, str] = {}
        after = ""
        while True:
            page = await self._store.list(INTERNAL, prefix=FOLDER, after=after, limit=PAGE)
            for key, item in page.objects:
                name = key.removeprefix(FOLDER).removesuffix(ENDING)
                if key == _key(name) and BUCKET.fullmatch(name):
                    etags[name] = item.etag
            if not (after := page.next):
                return etags

    async def _vanished(self, names: AbstractSet[str]) -> None:
        """Forget the documents that were deleted with their buckets, and report the others.

        Raises:
            OssError: The store is not available; nothing has changed.
        """
        if names - self._missing:
            await self._store.buckets()  # some stores notice only here that buckets are gone
        gone = {name for name in names if not self._there(name)}
        for name in gone:
            self._forget(name)
        for name in names - gone - self._missing:
            self._miss(name)

    def _miss(self, name: str) -> None:
        """Note that a document is gone, and its bucket is not."""
        self._missing.add(name)
        self._seen[name] = ""  # if the same document comes back, it is read again
        self.faults[name] = MISSING
        log.error("bucket %s: %s", name, MISSING)

    async def _take(self, name: str) -> bytes | None:
        """Read one document; a broken one is reported and does not come into force.

        Returns:
            Its bytes; ``None`` if there is none, or it is too large or may not be read.
        """
        try:
            opened = await self._store.open(INTERNAL, _key(name))
        except NoSuchKey:
            if name in self._etags:
                await self._vanished({name})
            return None
        except AccessDenied as error:
            self._etags.setdefault(name, "")
            self._break(name, error.message)
            return None
        self.version += 1
        data = None
        with closing(opened):
            self._etags[name] = opened.object.etag
            self._seen.pop(name, None)
            try:
                if opened.object.size > MAX_BYTES:
                    raise DocumentError(f"has more than {MAX_BYTES} bytes")
                data = opened.read()
                self.known[name] = read(data, self._limits)
                self.faults.pop(name, None)
                self._missing.discard(name)
            except DocumentError as error:
                self._break(name, str(error))
        return data

    def _break(self, name: str, reason: str) -> None:
        """Note that a document is broken."""
        self.version += 1
        self.known.setdefault(name, CLOSED)
        self.faults[name] = reason
        self._missing.discard(name)
        log.error("the document of bucket %s is broken: %s", name, reason)

    def _forget(self, name: str) -> None:
        self.version += 1
        self.known.pop(name, None)
        self.faults.pop(name, None)
        self._etags.pop(name, None)
        self._seen.pop(name, None)
        self._missing.discard(name)


async def _announce_to_none(name: str) -> None:
    pass


def _key(name: str) -> str:
    return f"{FOLDER}{name}{ENDING}"
