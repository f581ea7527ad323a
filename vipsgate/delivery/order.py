"""Orders, which are requests whose objects were looked up and checked, and their content."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..cache.entry import CacheKey, Entry
from ..errors import BadRequest, OssError, WatermarkError
from ..gate import access, codings, style
from ..gate.target import Target
from ..image.notes import Notes, joined
from ..image.process import Process
from ..image.search import Choice
from ..store.base import Object, Opened, Properties
from ..web import responses

BYPASS = "bypass"  # the value of X-Vipsgate-Cache without a cache
ENCODING = "content-encoding"


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink of OSS's that leads to an object: its key, and the symlink itself."""

    key: str
    object: Object


@dataclass(frozen=True, slots=True)
class Order:
    """A request for objects that exist and that the caller may read.

    Attributes:
        target: Bucket and key of the source or of a symlink to it, and the process as requested.
        literal: The key as requested, which differs from the target's if it was split.
        grant: The grant of the caller.
        process: The process with styles expanded; ``None`` for an unprocessed object.
        keys: The keys of the source and of the watermarks, with symlinks followed.
        objects: These objects, in the same order.
        picture: Whether the source's bytes are those of a picture, if protection depends on that.
        links: The symlinks that lead to the objects, in the same order, or ``None``.
        offered: The formats of which the client's Accept selects one; empty if it selects none.
        stand_in: Whether the picture may be a WebP in place of an AVIF that is made later.
        modified: The latest time of modification of the objects and symlinks, in seconds since
            the epoch.
    """

    target: Target
    literal: str
    grant: access.Grant
    process: Process | None
    keys: tuple[str, ...]
    objects: tuple[Object, ...]
    picture: bool = False
    links: tuple[Link | None, ...] = (None,)
    offered: tuple[str, ...] = ()
    stand_in: bool = False
    modified: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        times = [item.modified for item in self.objects]
        times += [link.object.modified for link in self.links if link]
        object.__setattr__(self, "modified", max(times))

    @property
    def source(self) -> Object:
        """The source."""
        return self.objects[0]

    @property
    def properties(self) -> Properties:
        """The properties for the answer's headers: the source's, or those of a symlink to it.

        As in the OSS guide (GetObject), length, ETag and checksum are those of the symlink's
        target, and all else is the symlink's. A symlink without a Content-Type has its target's,
        and a Content-Encoding of the target is always included.
        """
        theirs = self.source.properties
        if (link := self.links[0]) is None:
            return theirs
        own = link.object.properties
        coding = {name: theirs.headers[name] for name in (ENCODING,) if name in theirs.headers}
        content_type = own.content_type or theirs.content_type
        return replace(own, content_type=content_type, headers={**coding, **own.headers})

    def names(self) -> tuple[str, ...]:
        """Return the keys of all objects that the answer depends on, and of symlinks to them."""
        return (*self.keys, *(link.key for link in self.links if link))

    def styles(self) -> tuple[str, ...]:
        """Return the names of the styles in the process as requested."""
        return style.all_named(self.target.process)

    def took_signature(self) -> bool:
        """Return whether the signature was needed, or may have been, to read the objects."""
        return self.grant.is_signed and any(map(self.grant.took_signature, self.seen()))

    def seen(self) -> tuple[access.Seen, ...]:
        """Return the objects as the gate checks them."""
        source = see(
            self.grant, self.keys[0], self.objects[0], picture=self.picture, link=self.links[0]
        )
        if len(self.keys) == 1:
            return (source,)
        others = zip(self.keys[1:], self.objects[1:], self.links[1:], strict=True)
        return (source, *(see(self.grant, key, item, link=link) for key, item, link in others))

    def check(self) -> None:
        """Refuse objects that the caller may not read, or that cannot be decoded.

        Raises:
            AccessDenied: See :func:`access.check_objects`.
            BadRequest: The source has a Content-Encoding, and is to be processed.
            WatermarkError: A watermark has one.
        """
        access.check_objects(self.grant, self.target, self.seen())
        if self.process:
            _check_encoding(self.source, BadRequest)
            for item in self.objects[1:]:
                _check_encoding(item, WatermarkError)


class Derivative(NamedTuple):
    """A picture, and the times that it took; to be closed.

    Attributes:
        entry: The picture.
        tier: Where it came from: a word of ``cache.tiers``, or :data:`BYPASS`.
        queue: Time for which the job waited for a renderer, in seconds; 0 if this request caused
            no job.
        render: Time that the renderer took, in seconds; 0 likewise.
        choice: The result of a search for a quality; ``None`` without, or if this request caused
            no job.
    """

    entry: Entry
    tier: str
    queue: float = 0.0
    render: float = 0.0
    choice: Choice | None = None

    def dup(self) -> Derivative:
        """Return a duplicate, to be closed on its own."""
        return self._replace(entry=self.entry.dup())

    def close(self) -> None:
        """Close the entry."""
        self.entry.close()


class Content(NamedTuple):
    """The content of an answer, to be closed.

    Attributes:
        order: The order.
        body: The bytes, the descriptor of a file that begins with them and is never written to,
            the unprocessed object, or a function that reads a part of a remote one.
        size: Size of the body, in bytes.
        derivative: The picture; ``None`` for an unprocessed object.
        cache_key: The name of the picture in the cache; ``None`` if it is not cached.
    """

    order: Order
    body: bytes | int | Opened | responses.Reader
    size: int
    derivative: Derivative | None = None
    cache_key: CacheKey | None = None

    @property
    def notes(self) -> Notes:
        """Notes on parameters that were changed or ignored; none for an unprocessed object."""
        process = self.order.process
        if self.derivative is None or process is None:
            return ()
        return joined(process.notes, self.derivative.entry.notes)

    def close(self) -> None:
        """Close the picture or the object."""
        if self.derivative:
            self.derivative.close()
        elif isinstance(self.body, Opened):
            self.body.close()


def _check_encoding(item: Object, error: type[OssError]) -> None:
    if named := codings.applied(item.properties.headers.get(ENCODING, "")):
        raise error(
            f"The object is stored with Content-Encoding: {', '.join(named)}, "
            "so its bytes are not those of a picture."
        )


def see(
    grant: access.Grant,
    key: str,
    item: Object,
    *,
    picture: bool = False,
    link: Link | None = None,
) -> access.Seen:
    """Return an object, and the symlink to it, as the gate checks them.

    The type is filled in only if the bucket has protection, which alone depends on it.
    """
    properties, kind = item.properties, ""
    if grant.bucket.protection.enabled:
        kind = properties.content_type or responses.mime_of(key)
    way = see(grant, link.key, link.object) if link else None
    return access.Seen(key, properties.acl, kind, item.aliases, picture, way)
