"""The protocol of a store: objects by bucket and key, read as descriptors, written whole."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from ..errors import ServiceUnavailable


@dataclass(frozen=True, slots=True)
class Properties:
    """What is kept with an object besides its bytes, as its writer has said it.

    Attributes:
        content_type: Empty where the object's name tells it.
        acl: ``private``, ``public-read`` or ``public-read-write``; empty for that of the bucket.
        headers: Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Expires;
            names in lower case.
        meta: The ``x-oss-meta-`` headers, without that prefix, in lower case.
        kind: ``x-oss-object-type``: ``Normal``, ``Multipart``, ``Appendable``, ``Symlink``.
        tags: Keys and values, up to 10.
        target: The key that a symlink of OSS's leads to, in the same bucket; empty for any other
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
MD5 = re.compile(r'"[0-9A-F]{32}"')  # as a tag


@dataclass(frozen=True, slots=True)
class Object:
    """What is known of an object without reading it.

    Attributes:
        size: Bytes.
        etag: Strong entity tag, quoted; another one as soon as the bytes may be others.
        modified: Seconds since the epoch.
        properties: What its writer has said of it.
        crc: CRC-64/XZ of the bytes, ``x-oss-hash-crc64ecma``; ``None`` where it is not known.
        aliases: Other keys of the same object, where the one asked for is a symlink of the disk.
        md5: MD5 of the bytes, in hexadecimal digits; empty where it is not known.
        mark: What its fingerprint has but for aliases, where it has been the same for so long that
            no change can have been missed; ``None`` where that is not so, or not known.
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
    """The MD5 that a tag is, in hexadecimal digits; empty for one of parts (``...-2``), and others.

    Args:
        etag: That a draft was kept with, quoted.
        crc: That was kept with it; without one nobody here has seen the bytes, and a store's own
            tag need not be what it looks like.
    """
    return etag[1:-1] if crc is not None and MD5.fullmatch(etag) else ""


@dataclass(frozen=True, slots=True)
class Opened:
    """An object with a descriptor of its bytes, which whoever opened it closes.

    Attributes:
        object: What is known of it.
        descriptor: Of its file.
        times: When the file was last written, and when what is known of it last changed, in
            nanoseconds since the epoch; ``None`` for a copy of our own, which nobody writes to.
    """

    object: Object
    descriptor: int
    times: tuple[int, int] | None = field(default=None, kw_only=True)

    def read(self) -> bytes:
        """All bytes, for a small object.

        Raises:
            ServiceUnavailable: The disk cannot give them now.
        """
        try:
            return os.pread(self.descriptor, self.object.size, 0)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ServiceUnavailable(f"The object cannot be read now: {reason}.") from None

    def changed(self) -> bool:
        """Has somebody written to the file since it was opened?

        Asked behind a read, it tells whether what was read is the object. A file that has lost its
        last name is what it was: another one has taken its place.
        """
        if self.times is None:
            return False
        facts = os.fstat(self.descriptor)
        if (facts.st_mtime_ns, facts.st_size) != (self.times[0], self.object.size):
            return True
        return facts.st_ctime_ns != self.times[1] and facts.st_nlink > 0

    def dup(self) -> Opened:
        """The same for somebody else, who closes it."""
        return Opened(self.object, os.dup(self.descriptor), times=self.times)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in the order of the keys' bytes in UTF-8.

    Attributes:
        objects: Keys and what is known of them.
        prefixes: Common prefixes, each up to and with the delimiter.
        next: The key or prefix behind which the listing goes on; empty at its end.
    """

    objects: Sequence[tuple[str, Object]]
    prefixes: Sequence[str]
    next: str


class Draft(Protocol):
    """Bytes that are about to become an object; what is not kept leaves no trace.

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
            ServiceUnavailable: The file ends before.
        """

    async def keep(
        self,
        key: str,
        properties: Properties,
        *,
        etag: str = "",
        expected: str | None = None,
    ) -> Object:
        """Make the bytes the object of this name, durably and in one step.

        Args:
            key: The object's name.
            properties: What is kept with it.
            etag: Its tag, quoted; empty for the MD5 of the bytes. A store that has tags of its
                own may give it one of them instead.
            expected: The tag that the present object must have; empty: there must be none.

        Raises:
            NoSuchBucket: It is gone.
            InvalidObjectName: The store cannot have an object of this name.
            PreconditionFailed: The present object is not the expected one.
            MetadataTooLarge: The properties are larger than the store keeps them.
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
    """What can be had of remote objects besides a descriptor of a copy."""

    async def begin(self, bucket: str, key: str) -> Opened:
        """The object, opened for reading as soon as its bytes begin to come.

        Returns:
            An :class:`.arrival.Arriving`, or where all bytes are there already a copy.

        Raises:
            NoSuchKey: There is none of this name.
        """

    async def read(self, bucket: str, key: str, info: Object, span: range) -> AsyncIterator[bytes]:
        """A part of the object, as it comes.

        Args:
            bucket: Where it is.
            key: Its name.
            info: What is known of it.
            span: Which bytes.

        Raises:
            NoSuchKey: There is none of this name.
            PreconditionFailed: It is another one by now.
        """


class Store(Protocol):
    """Objects by bucket and key.

    Keys come from :mod:`vipsgate.gate.target`, decoded and checked; a store still has to see to it
    that none leads out of its bucket. The bucket :data:`vipsgate.buckets.INTERNAL` is our own and
    always there.
    """

    @property
    def away(self) -> str:
        """Why nothing can be had of it now, for the operator; empty where it can."""

    def stale_ok(self, bucket: str) -> bool:
        """May an answer from before do, because nobody can be asked for a new one?

        That is, the store is away, has not been for long, and does not itself tell what it knew.
        """

    async def look(self) -> None:
        """Find out, now and then, which buckets others have made or taken away.

        Raises:
            OssError: The store is away.
        """

    def has(self, bucket: str) -> bool:
        """Is there such a bucket, or was there at the last look?

        Raises:
            ServiceUnavailable: Nobody can tell, for the store is away.
        """

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """The names of all buckets but our own, in order, and when each was made."""

    async def create(self, bucket: str) -> None:
        """Make a bucket; one that is there stays as it is."""

    async def remove(self, bucket: str) -> None:
        """Take away an empty bucket.

        Raises:
            NoSuchBucket: There is none of this name.
            BucketNotEmpty: There are objects in it.
        """

    async def sweep(self) -> None:
        """Take away what processes that died while they were writing have left behind."""

    def object_acls(self, bucket: str) -> bool:
        """May objects of this bucket have ACLs of their own?

        If not, the bucket's decides before any look, which may be expensive: what is looked at may
        have to be made first.
        """

    async def stat(self, bucket: str, key: str) -> Object:
        """What is known of the object.

        Raises:
            NoSuchKey: There is none of this name.
        """

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """Something that stays equal as long as the object stays the same, at once.

        That covers its bytes, its properties and whether it is there; ``None`` where nobody can
        tell so quickly.

        Args:
            bucket: Where it is.
            key: Its name.
            aliases: Cover its aliases, too, where there can be any.
        """

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> bytes | None:
        """The bytes of an object that still has a fingerprint, at once.

        ``None`` where it has another one, and where they are not to be had so quickly.

        Args:
            bucket: Where it is.
            key: Its name.
            fingerprint: That it has to have, from :meth:`fingerprint`.
            most: Bytes of an object that is read.
            aliases: Whether the fingerprint covers its aliases.
        """

    async def open(self, bucket: str, key: str) -> Opened:
        """The object, opened for reading.

        Raises:
            NoSuchKey: There is none of this name.
        """

    def ranged(self, bucket: str) -> RangeReader | None:
        """How to have less than all of an object, where all would have to be fetched first."""

    def draft(self, bucket: str) -> Draft:
        """Begin an object of this bucket; ``async with`` it, which raises NoSuchBucket."""

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Keep other properties with an object, whose bytes and times stay.

        Raises:
            NoSuchKey: There is none of this name.
            MetadataTooLarge: They are larger than the store keeps them.
        """

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """Take an object away; one that is not there is none already.

        Args:
            bucket: Where it is.
            key: Its name.
            expected: The tag that it must have, where that counts.

        Raises:
            PreconditionFailed: It is there, with another tag.
        """

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """A page of the bucket's objects, in memory that does not grow with the bucket.

        An object that cannot be looked at now is not left out: the page is refused. Where looking
        at each would be asking for each, properties and checksum may be left out; never the tag.

        Args:
            bucket: Which one.
            prefix: What the keys begin with; one that no key can have, such as ``../``, has an
                empty page.
            delimiter: Keys that have it behind the prefix are one common prefix up to it.
            after: Only keys and common prefixes that come behind this text.
            limit: How many objects and prefixes together, at least 1.
        """
