"""Bucket documents: read, checked and written, in the configuration and in the store.

Those of the store are ``.vipsgate/buckets/NAME.json``, in the shape of ``[buckets.NAME]``. They are
looked at again every few seconds, so that all instances and nodes on one store follow each other.
One that is broken changes nothing: the last good one stays in force and the fault is told; where
there has been none, the bucket is closed to anonymous callers. Nor does one that is gone while its
bucket is there: without it the bucket could be open to all. It goes with its bucket. What each
change has written is in :mod:`.versions`.
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
POLL_INTERVAL = 2.0  # seconds between two looks; an edit is to be seen within 5
MAX_BYTES = 1 << 20  # of a document: 50 styles of 16 KB fit
PAGE = 1000  # documents looked at in one go
MAX_TRIES = 20  # to change a document that others change, too
CLOSED = Bucket(acl="private")
NOBODY = Author()
MISSING = (
    "its document is gone, and the bucket is not: the last one stays in force. "
    "Write it again, or restart to do without it"
)

log = logging.getLogger(__name__)


class DocumentError(ValueError):
    """The text names key and value, one in a line."""


def read(data: bytes, limits: Limits) -> Bucket:
    """A bucket's document from JSON.

    Raises:
        DocumentError: It is not JSON, a key is not known, or a value is out of range.
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
    """The document as JSON, for :func:`read` and for people; what is as usual is left out."""
    values = document.model_dump(mode="json", exclude_defaults=True)
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def check_styles(document: Bucket, limits: Limits) -> None:
    """Refuse styles that no picture could be asked with.

    Raises:
        DocumentError: The content of one is no process text.
    """
    for name, style in document.styles.items():
        try:
            process.parse(legacy.renewed(style.content), limits)
        except OssError as error:
            raise DocumentError(f"styles.{name} = {style.content!r}: {error.message}") from None


def line(error: Any) -> str:
    """One of pydantic's errors as ``key = value: what is wrong``."""
    name = ".".join(map(str, error["loc"]))
    if "cdn_signing" in name and not name.endswith((".type", ".valid_seconds")):
        return f"{name}: {error['msg']}"  # a key may stand there
    value = "" if error["type"] in ("missing", "extra_forbidden") else f" = {error['input']!r}"
    return f"{name}{value}: {error['msg']}"


class Documents:
    """The documents of a store, as they were when it was last looked at.

    Args:
        store: Where they are.
        limits: What styles may ask for.
        there: Says whether there would be such a bucket without a document; by default the store.

    Attributes:
        known: The documents in force, by bucket.
        faults: What is wrong with a document, by bucket.
        version: Another one as soon as one is another.
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
        self._missing: set[str] = set()  # whose document is gone, and the bucket is not
        self._etags: dict[str, str] = {}  # as they were read
        self._seen: dict[str, str] = {}  # as listed since; in some stores those are others
        self.announce: Callable[[str], Awaitable[None]] = _nobody
        self._changing = asyncio.Lock()  # a look that began before a change must not undo it

    def adopt(self, limits: Limits) -> None:
        """Hold styles to other limits; broken documents are read again."""
        self._limits = limits
        for name in self.faults:
            self._seen[name] = ""

    async def look(self) -> None:
        """Read what is new or has changed.

        Raises:
            OssError: The store is away; all stays as it was.
        """
        async with self._changing:
            etags = await self._found()
            await self._vanished(self._etags.keys() - etags.keys())
            for name, etag in etags.items():
                if self._seen.get(name, self._etags.get(name)) != etag:
                    await self._take(name)
                self._seen[name] = etag
            # behind the documents, so that no bucket is known before what closes it
            await self._store.look()

    async def learn(self, name: str) -> None:
        """Read a document that another process has just changed, or taken away.

        Raises:
            OssError: The store is away.
        """
        async with self._changing:
            await self._take(name)
            await self._store.look()

    async def follow(self, changed: Callable[[], None]) -> None:
        """Look again and again, for ever.

        Args:
            changed: Told after every look.
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
            except Exception:  # a fault of ours; those who end here follow nobody any more
                log.exception("the bucket documents cannot be read")
            changed()

    async def change(
        self,
        name: str,
        edit: Callable[[Bucket | None], Bucket],
        author: Author = NOBODY,
        *,
        mend: bool = False,
    ) -> Bucket:
        """Write a document anew; nobody else's change is lost.

        Args:
            name: The bucket.
            edit: From the document as it is, ``None`` for none, to what it shall be. What it finds
                wrong with the present one, it raises: nobody else writes in between.
            author: Who changes it.
            mend: Whether a broken one is replaced, too; ``edit`` is given the last good one.

        Raises:
            ServiceUnavailable: Others change it all the time, or it is broken.
            OssError: What ``edit`` raises, or the store.
        """
        async with self._changing:
            for _ in range(MAX_TRIES):
                present = await self._take(name)
                if name in self.faults and name not in self._missing and not mend:
                    raise ServiceUnavailable(
                        f"The bucket's document is broken and has to be mended first: "
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

    async def replace(self, name: str, result: Bucket, author: Author = NOBODY) -> None:
        """Write a document in place of whatever is there, be it broken."""
        async with self._changing:
            await self._write(name, result, None, await self._take(name), author)
        await self.announce(name)

    async def remove(self, name: str) -> None:
        """Take a document away, and its versions before it."""
        async with self._changing:
            await versions.remove(self._store, name)
            await self._store.delete(INTERNAL, _key(name))
            self._forget(name)
        await self.announce(name)

    async def versions(self, name: str) -> Sequence[versions.Version]:
        """What the document was and is, the newest first; as the store has it now."""
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
        """Bucket -> ETag of every document that there is."""
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
        """See what became of buckets whose documents are not there any more.

        Raises:
            OssError: The store is away; all stays as it was.
        """
        if names - self._missing:
            await self._store.buckets()  # some stores learn only so which are gone
        gone = {name for name in names if not self._there(name)}
        for name in gone:
            self._forget(name)
        for name in names - gone - self._missing:
            self._miss(name)

    def _miss(self, name: str) -> None:
        """Its document is gone, and the bucket is not."""
        self._missing.add(name)
        self._seen[name] = ""  # should it come back as it was, it is taken again
        self.faults[name] = MISSING
        log.error("bucket %s: %s", name, MISSING)

    async def _take(self, name: str) -> bytes | None:
        """Read one document; a broken one is told of and changes nothing.

        Returns:
            Its bytes as they are; ``None`` for none, and for one that cannot be kept.
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
        """There is a document, and nobody can go by it."""
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


async def _nobody(name: str) -> None:
    pass


def _key(name: str) -> str:
    return f"{FOLDER}{name}{ENDING}"
