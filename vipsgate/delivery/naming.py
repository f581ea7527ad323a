"""The object that a key means which also may say what to do: ``a.jpg!thumb``, ``a.jpg@100w``."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NoSuchKey, OssError
from ..gate import access, legacy, mirror, style
from ..gate.target import Target, check_key
from ..store.base import Store


@dataclass(frozen=True, slots=True)
class Name:
    """Which object a request means, and what is to be done with it.

    Attributes:
        target: Bucket, key, and the process text as the caller has said it.
        literal: The key as it came; another one where it also said what is to be done.
        legacy: Whether the older service's ``OBJECT@100w.jpg`` is understood.
    """

    target: Target
    literal: str
    legacy: bool

    def process(self, grant: access.Grant) -> str:
        """The process text with the bucket's styles in place of their names; empty for none.

        Raises:
            OssError: There is no such style, or no such text of the older service.
        """
        text = self.target.process
        if self.legacy and text.startswith(legacy.MARK):
            return legacy.translate(text.removeprefix(legacy.MARK))
        return style.expanded(text, grant.bucket.styles)


async def split(
    target: Target, grant: access.Grant, store: Store, *, old: bool, may_fetch: bool
) -> Target:
    """A key that also says what is to be done, read so; unless an object has that very name.

    Where there is neither, and a missing object may be fetched, it is the one whose name says
    something that can be done.

    Args:
        target: With the key as it came.
        grant: Of the bucket.
        store: Where there are objects, or not.
        old: Whether ``OBJECT@100w.jpg`` is understood.
        may_fetch: Whether a missing object may be fetched.
    """
    separators = (*grant.bucket.separators, *([style.CLASSIC] if old else ()))
    ways = (legacy.split(target) if old else None, style.split(target, separators))
    readings = [way for way in ways if way is not None]
    if not readings:
        return target
    if not store.object_acls(target.bucket) and not any(
        _may_look(way, target, grant, old=old) for way in (target, *readings)
    ):
        return target  # which will be refused, without a call to the store
    if await _is_there(target, store):
        return target
    for way in readings:
        if await _is_there(way, store):
            return way
    if may_fetch:
        for way in readings:
            if mirror.match(grant.bucket.mirror, way.key) and _can_be_done(way, grant, old=old):
                return way
    return target


def _may_look(way: Target, literal: Target, grant: access.Grant, *, old: bool) -> bool:
    """Might this caller have what is meant, as far as its name tells?"""
    try:
        access.check_source(grant, way, access.Seen(way.key))
    except OssError:
        return False
    return way is literal or _can_be_done(way, grant, old=old)


def _can_be_done(target: Target, grant: access.Grant, *, old: bool) -> bool:
    try:
        check_key(target.key)
        return bool(Name(target, target.key, old).process(grant))
    except OssError:
        return False


async def _is_there(target: Target, store: Store) -> bool:
    try:
        check_key(target.key)
        await store.stat(target.bucket, target.key)
    except NoSuchKey:
        return False
    return True
