"""The protocol of a store: objects by bucket and key, read as descriptors, written whole."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

from .. import filetimes
from ..errors import ServiceUnavailable, SourceChanged
from ..filetimes import FileTimes


@dataclass(frozen=True, slots=True)
class Properties:
    """The metadata that is stored with an object, as its writer set it.

    Attributes:
        content_type: Empty if it follows from the object's name.
        acl: ``private``, ``public-read`` or ``public-read-write``; empty for that of the bucket.
        headers: Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Expires;
            names in lower case.
        meta: The ``x-oss-meta-`` headers, without that prefix, in lower case.
        kind: ``x-oss-object-type``: ``Normal``, ``Multipart``, ``Appendable``, ``Symlink``.
        tags: Keys and values, up to 10.
        target: The key that an OSS symlink points to, in the same bucket; empty for any other
            object. A store does not follow it.
    """

    content_type: str = ""
    acl: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    kind: str = "Normal"
    tags: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


PLAIN = Properties()
CHANGED = "The object was written to while it was read."
MD5 = re.compile(r'"[0-9A-F]{32}"')  # as an ETag


@dataclass(frozen=True, slots=True)
class Object:
    """The facts of an object that are known without reading its bytes.

    Attributes:
        size: Bytes.
        etag: Strong entity tag, quoted; it changes whenever the bytes may have changed.
        modified: Seconds since the epoch.
        properties: Its metadata.
        crc: CRC-64/XZ of the bytes, ``x-oss-hash-crc64ecma``; ``None`` if it is not known.
        aliases: Other keys of the same object, if the requested key is a symlink on the disk.
        md5: MD5 of the bytes, in hexadecimal digits; empty if it is not known.
        mark: Its fingerprint without aliases, if that has been the same for so long that no change
            can have been missed; otherwise ``None``.
    """

    size: int
    etag: str
    modified: float
    properties: Properties = PLAIN
    crc: int | None = None
    aliases: tuple[str, ...] = ()
    md5: str = ""
    mark: tuple[int, ...] | None = field(default=None, compare=False)


def md5_of(etag: str, crc: int | None) -> str:
    """Return the MD5 in a tag, in hexadecimal digits; empty if the tag is not an MD5.

    Args:
        etag: The tag that was stored with the object, quoted.
        crc: The checksum that was stored with it. ``None`` if the object was not written by
            vipsgate: a store's own tag need not be an MD5 even if it looks like one.
    """
    return etag[1:-1] if crc is not None and MD5.fullmatch(etag) else ""


@dataclass(frozen=True, slots=True)
class Opened:
    """An object with a descriptor of its bytes, which the caller closes.

    Attributes:
        object: The object.
        descriptor: The descriptor of its file.
        times: The times of the file; ``None`` for vipsgate's own copy, which is never written to
            again.
    """

    object: Object
    descriptor: int
    times: FileTimes | None = field(default=None, kw_only=True)

    def read(self, span: range | None = None) -> bytes:
        """Return a part of the bytes in one piece, or all of them; never those of another version.

        Args:
            span: The offsets of the part; ``None`` for all bytes.

        Raises:
            ServiceUnavailable: The disk cannot read them now.
            SourceChanged: The file was written to since it was opened.
        """
        span = range(self.object.size) if span is None else span
        try:
            data = os.pread(self.descriptor, len(span), span.start)
            while len(data) < len(span) and (
                more := os.pread(self.descriptor, len(span) - len(data), span.start + len(data))
            ):
                data += more
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ServiceUnavailable(f"The object cannot be read now: {reason}.") from None
        if len(data) < len(span) or self.changed():
            raise SourceChanged(CHANGED)
        return data

    async def copy(self, draft: Draft, span: range | None = None) -> None:
        """Append a part of the object to a draft, or all of it.

        Args:
            draft: The draft.
            span: The offsets of the part; ``None`` for the whole object.

        Raises:
            InsufficientStorage: The draft's store is full.
            ServiceUnavailable: The disk cannot read it now.
            SourceChanged: It was written to meanwhile; the draft is to be discarded.
        """
        span = range(self.object.size) if span is None else span
        await draft.copy(self.descriptor, span.start, len(span))
        if self.changed():
            raise SourceChanged(CHANGED)

    def changed(self) -> bool:
        """Return whether the file was written to since it was opened."""
        return filetimes.changed(self.descriptor, self.object.size, self.times)

    def dup(self) -> Opened:
        """Return a copy with a descriptor of its own, for the caller to close."""
        return replace(self, descriptor=os.dup(self.descriptor))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in the order of the keys' bytes in UTF-8.

    Attributes:
        objects: Keys and their objects.
        prefixes: Common prefixes, each up to and including the delimiter.
        next: The key or prefix after which the next page begins; empty on the last page.
    """

    objects: Sequence[tuple[str, Object]]
    prefixes: Sequence[str]
    next: str


class Draft(Protocol):
    """An object that is being written; unless it is kept, it is discarded without a trace.

    Attributes:
        size: Bytes so far.
        md5: Their MD5.
        crc: Their CRC-64/XZ.
    """

    @property
    def size(self) -> int: ...

    @property
    def md5(self) -> bytes: ...

    @property
    def crc(self) -> int: ...

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            InsufficientStorage: The store is full.
        """

    async def copy(self, descriptor: int, start: int, size: int) -> None:
        """Append a part of an opened file.

        Raises:
            InsufficientStorage: The store is full.
            ServiceUnavailable: The file ends before that.
        """

    async def keep(
        self,
        key: str,
        properties: Properties,
        *,
        etag: str = "",
        expected: str | None = None,
    ) -> Object:
        """Store the bytes as the object of this name, durably and atomically.

        Args:
            key: The object's name.
            properties: The metadata to store with it.
            etag: Its tag, quoted; empty for the MD5 of the bytes. A store that has tags of its
                own may use one of them instead.
            expected: The tag that the present object must have; empty if there must be none,
                ``None`` for no condition.

        Raises:
            NoSuchBucket: The bucket has been removed.
            InvalidObjectName: The store cannot have an object of this name.
            PreconditionFailed: The present object is not the expected one.
            MetadataTooLarge: The properties are larger than the store allows.
            Unimplemented: The store cannot keep such properties.
            InsufficientStorage: The store is full.
        """

    async def __aenter__(self) -> Draft: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class RangeReader(Protocol):
    """Reads objects in part, or while they are still being fetched."""

    async def begin(self, bucket: str, key: str) -> Opened:
        """Open an object for reading as soon as its first bytes arrive.

        Returns:
            An :class:`.arrival.Arriving`, or a complete copy if there is one.

        Raises:
            NoSuchKey: There is no such object.
        """

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """Return a part of an object, in pieces as they arrive.

        Args:
            bucket: Its bucket.
            key: Its name.
            info: The object, as :meth:`Store.stat` returned it.
            span: The offsets of the bytes to read.

        Raises:
            NoSuchKey: There is no such object.
            PreconditionFailed: The object was replaced.
        """


class Store(Protocol):
    """Objects by bucket and key.

    Keys come from :mod:`vipsgate.gate.target`, decoded and checked; a store must still ensure that
    none leads out of its bucket. The bucket :data:`vipsgate.buckets.INTERNAL` is vipsgate's own and
    always exists.
    """

    @property
    def away(self) -> str:
        """Why the store is unavailable now, for the operator; empty if it is available."""

    def stale_ok(self, bucket: str) -> bool:
        """Return whether cached answers may be served although they cannot be revalidated.

        That is so for a limited time after the store has become unavailable; never for a store
        that itself returns what it last knew of its objects.
        """

    async def look(self) -> None:
        """Find out, now and then, which buckets other processes have created or removed.

        Raises:
            OssError: The store is unavailable.
        """

    def has(self, bucket: str) -> bool:
        """Return whether a bucket exists, or did at the last :meth:`look`.

        Raises:
            ServiceUnavailable: The store is unavailable.
        """

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """Return the sorted names of all buckets but the internal one, and when each was created.

        Times are in seconds since the epoch; 0 if not known.
        """

    async def create(self, bucket: str) -> None:
        """Create a bucket, unless it exists."""

    async def remove(self, bucket: str) -> None:
        """Remove an empty bucket.

        Raises:
            NoSuchBucket: There is no such bucket.
            BucketNotEmpty: There are objects in it.
        """

    async def sweep(self) -> None:
        """Remove drafts that were left behind by processes that died."""

    def object_acls(self, bucket: str) -> bool:
        """Return whether objects of this bucket may have ACLs of their own.

        If not, access is decided by the bucket's ACL before :meth:`stat`, which may be expensive:
        a synthetic picture has to be painted for it.
        """

    async def stat(self, bucket: str, key: str) -> Object:
        """Return an object's size, tag, times and metadata.

        Raises:
            NoSuchKey: There is no such object.
        """

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """Return a value that stays equal as long as the object stays the same, without waiting.

        It covers the object's bytes, its properties and whether it exists: ``()`` if it does not.
        ``None`` if that cannot be told without waiting.

        Args:
            bucket: Its bucket.
            key: Its name.
            aliases: Whether to cover its aliases, too.
        """

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> bytes | None:
        """Return the bytes of an object that still has a fingerprint, without waiting.

        ``None`` if its fingerprint has changed, or if it cannot be read without waiting.

        Args:
            bucket: Its bucket.
            key: Its name.
            fingerprint: The expected fingerprint, from :meth:`fingerprint`.
            most: The largest size that is read, in bytes.
            aliases: Whether the fingerprint covers its aliases.
        """

    async def open(self, bucket: str, key: str) -> Opened:
        """Open an object for reading.

        Raises:
            NoSuchKey: There is no such object.
        """

    def ranged(self, bucket: str) -> RangeReader | None:
        """Return a reader of parts of objects, or ``None`` if :meth:`open` copies nothing first."""

    def draft(self, bucket: str) -> Draft:
        """Return a draft of an object; entering it (``async with``) may raise NoSuchBucket."""

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Replace an object's properties; its bytes and its modification time stay.

        Raises:
            NoSuchKey: There is no such object.
            MetadataTooLarge: The properties are larger than the store allows.
        """

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """Delete an object, if it exists.

        Args:
            bucket: Its bucket.
            key: Its name.
            expected: The tag that it must have; ``None`` for any.

        Raises:
            PreconditionFailed: It exists with another tag.
        """

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """Return a page of the bucket's objects, in memory that does not grow with the bucket.

        If an object cannot be looked at now, an error is raised; it is never left out. If a request
        for each object would be needed, properties and checksum may be missing, but never the tag.

        Args:
            bucket: The bucket.
            prefix: What the keys begin with; for a prefix that no key can have, such as ``../``,
                the page is empty.
            delimiter: Keys that contain it after the prefix are folded to a common prefix.
            after: Only keys and common prefixes after this text are listed.
            limit: The largest number of objects and prefixes together, at least 1.
        """
