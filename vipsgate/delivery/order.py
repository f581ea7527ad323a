"""An order: objects that are there and allowed, what is done to them; and its content."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..cache.entry import CacheKey, Entry
from ..errors import BadRequest, OssError, WatermarkError
from ..gate import access, codings
from ..gate.target import Target
from ..image.notes import Notes, joined
from ..image.process import Process
from ..store.base import Object
from ..web import responses


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted, now known to be there and allowed.

    Attributes:
        target: The source, and what is done to it as the caller has said it.
        literal: The key as it came; another one where it also said what is to be done.
        grant: The caller's.
        process: The same with styles replaced; ``None`` for the object as it is.
        keys: The names of the source and of what is laid on it.
        objects: What is known of them, in this order.
        picture: Whether the source's bytes are a picture's, where the gate wants to know.
    """

    target: Target
    literal: str
    grant: access.Grant
    process: Process | None
    keys: tuple[str, ...]
    objects: tuple[Object, ...]
    picture: bool = False

    @property
    def source(self) -> Object:
        """What is known of the source."""
        return self.objects[0]

    @property
    def modified(self) -> float:
        """When the newest of the objects came to be, in seconds since the epoch."""
        return max(item.modified for item in self.objects)

    def took_signature(self) -> bool:
        """Might an anonymous caller have been refused one of the objects?"""
        return any(map(self.grant.took_signature, self.seen()))

    def seen(self) -> tuple[access.Seen, ...]:
        """The objects as the gate sees them."""
        source = see(self.grant, self.keys[0], self.objects[0], picture=self.picture)
        if len(self.keys) == 1:
            return (source,)
        others = zip(self.keys[1:], self.objects[1:], strict=True)
        return (source, *(see(self.grant, key, item) for key, item in others))

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


@dataclass(frozen=True, slots=True)
class Derivative:
    """A picture, and what it took; whoever has one closes it.

    Attributes:
        entry: The picture.
        tier: Where it came from: a word of ``cache.tiers``, or :data:`.derivatives.BYPASS`.
        queue: Seconds that the work waited for a renderer; 0 for who has not had it done.
        render: Seconds that it took, likewise.
    """

    entry: Entry
    tier: str
    queue: float = 0.0
    render: float = 0.0

    def dup(self) -> Derivative:
        """The same for somebody else."""
        return replace(self, entry=self.entry.dup())

    def close(self) -> None:
        """Give it back."""
        self.entry.close()


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes that answer an order, open until the one who fetched them is done.

    Attributes:
        order: What they answer.
        body: The bytes, or the descriptor of a file that begins with them, or what reads a part.
        size: How many.
        derivative: The picture whose bytes they are; ``None`` for the object as it is.
        cache_key: Where it is kept; ``None`` where it is not.
    """

    order: Order
    body: bytes | int | responses.Reader
    size: int
    derivative: Derivative | None = None
    cache_key: CacheKey | None = None

    @property
    def notes(self) -> Notes:
        """What of the order was not followed to the letter; nothing of an object as it is."""
        process = self.order.process
        if self.derivative is None or process is None:
            return ()
        return joined(process.notes, self.derivative.entry.notes)


def _check_encoding(item: Object, error: type[OssError]) -> None:
    if named := codings.applied(item.properties.headers.get("content-encoding", "")):
        raise error(
            f"The object is stored with Content-Encoding: {', '.join(named)}, "
            "so its bytes are not those of a picture."
        )


def see(grant: access.Grant, key: str, item: Object, *, picture: bool = False) -> access.Seen:
    """An object as the gate sees it; its type where the gate looks at that."""
    properties, kind = item.properties, ""
    if grant.bucket.protection.enabled:
        kind = properties.content_type or responses.mime_of(key)
    return access.Seen(key, properties.acl, kind, item.aliases, picture)
