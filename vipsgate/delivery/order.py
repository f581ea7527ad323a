"""An order: objects that are there and allowed, what is done to them; and its content."""

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

ENCODING = "content-encoding"


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink of OSS's by which an object is reached: its key, and what is known of it."""

    key: str
    object: Object


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted, now known to be there and allowed.

    Attributes:
        target: The source, or a symlink to it, and what is done to it as the caller has said it.
        literal: The key as it came; another one where it also said what is to be done.
        grant: The caller's.
        process: The same with styles replaced; ``None`` for the object as it is.
        keys: The names of the source and of what is laid on it, behind all symlinks.
        objects: What is known of them, in this order.
        picture: Whether the source's bytes are a picture's, where the gate wants to know.
        links: The symlinks that lead to them, in this order; ``None`` where none does.
        offered: The formats among which the client's Accept has chosen; empty where it has no say.
        stand_in: Whether the picture may be a WebP in place of an AVIF that is made later.
        modified: When the newest of the objects and symlinks came to be, in seconds since the
            epoch.
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
        """What is known of the source."""
        return self.objects[0]

    @property
    def properties(self) -> Properties:
        """What an answer says of the source: through a symlink, what is said of that.

        So has the OSS guide it (GetObject): length, tag and checksum are the target's, all else is
        the symlink's. One of which no type is said has that of its target, and a coding that the
        bytes have is always said.
        """
        theirs = self.source.properties
        if (link := self.links[0]) is None:
            return theirs
        own = link.object.properties
        coding = {name: theirs.headers[name] for name in (ENCODING,) if name in theirs.headers}
        content_type = own.content_type or theirs.content_type
        return replace(own, content_type=content_type, headers={**coding, **own.headers})

    def names(self) -> tuple[str, ...]:
        """The keys of all objects that the answer depends on, and of symlinks to them."""
        return (*self.keys, *(link.key for link in self.links if link))

    def styles(self) -> tuple[str, ...]:
        """The styles that the caller has named."""
        return style.all_named(self.target.process)

    def took_signature(self) -> bool:
        """Might an anonymous caller have been refused one of the objects?"""
        return self.grant.is_signed and any(map(self.grant.took_signature, self.seen()))

    def seen(self) -> tuple[access.Seen, ...]:
        """The objects as the gate sees them."""
        source = see(
            self.grant, self.keys[0], self.objects[0], picture=self.picture, link=self.links[0]
        )
        if len(self.keys) == 1:
            return (source,)
        others = zip(self.keys[1:], self.objects[1:], self.links[1:], strict=True)
        return (source, *(see(self.grant, key, item, link=link) for key, item, link in others))

    def check(self) -> None:
        """Refuse objects that the caller may not have, or of which no picture can be made.

        Raises:
            AccessDenied: See :func:`access.check_objects`.
            BadRequest: The source is encoded.
            WatermarkError: What is laid on it is.
        """
        access.check_objects(self.grant, self.target, self.seen())
        if self.process:
            _check_encoding(self.source, BadRequest)
            for item in self.objects[1:]:
                _check_encoding(item, WatermarkError)


class ReplacedError(Exception):
    """An object is another one than when it was looked at: look again."""


class Derivative(NamedTuple):
    """A picture, and what it took; whoever has one closes it.

    Attributes:
        entry: The picture.
        tier: Where it came from: a word of ``cache.tiers``, or :data:`.derivatives.BYPASS`.
        queue: Seconds that the work waited for a renderer; 0 for who has not had it done.
        render: Seconds that it took, likewise.
        choice: The quality that was searched for, likewise; ``None`` where none was.
    """

    entry: Entry
    tier: str
    queue: float = 0.0
    render: float = 0.0
    choice: Choice | None = None

    def dup(self) -> Derivative:
        """The same for somebody else."""
        return self._replace(entry=self.entry.dup())

    def close(self) -> None:
        """Give it back."""
        self.entry.close()


class Content(NamedTuple):
    """The bytes that answer an order; whoever has fetched them closes them.

    Attributes:
        order: What they answer.
        body: The bytes, or the descriptor of a file that begins with them, or what reads a part.
        size: How many.
        derivative: The picture whose bytes they are; ``None`` for the object as it is.
        cache_key: Where it is kept; ``None`` where it is not.
        opened: The object whose bytes they are, where it has been opened for them.
    """

    order: Order
    body: bytes | int | responses.Reader
    size: int
    derivative: Derivative | None = None
    cache_key: CacheKey | None = None
    opened: Opened | None = None

    @property
    def notes(self) -> Notes:
        """What of the order was not followed to the letter; nothing of an object as it is."""
        process = self.order.process
        if self.derivative is None or process is None:
            return ()
        return joined(process.notes, self.derivative.entry.notes)

    def close(self) -> None:
        """Give them back."""
        if held := self.derivative or self.opened:
            held.close()


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
    """An object as the gate sees it, and a symlink to it; its type where the gate looks at that."""
    properties, kind = item.properties, ""
    if grant.bucket.protection.enabled:
        kind = properties.content_type or responses.mime_of(key)
    way = see(grant, link.key, link.object) if link else None
    return access.Seen(key, properties.acl, kind, item.aliases, picture, way)
