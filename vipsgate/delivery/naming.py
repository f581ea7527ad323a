"""Splits keys such as ``a.jpg!thumb`` and ``a.jpg@100w`` into an object's key and a process."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NoSuchKey, OssError
from ..gate import access, legacy, mirror, style
from ..gate.target import Target, check_key
from ..store.base import Store


@dataclass(frozen=True, slots=True)
class Name:
    """The object and the process that a request names.

    Attributes:
        target: Bucket, key, and the process text as requested.
        literal: The key as requested, which differs from the target's if it was split.
        legacy: Whether the old API's ``OBJECT@100w.jpg`` is accepted.
    """

    target: Target
    literal: str
    legacy: bool

    def process(self, grant: access.Grant) -> str:
        """Return the process text with the bucket's styles expanded; empty for none.

        Raises:
            OssError: There is no such style, or the text of the old API is not valid.
        """
        text = self.target.process
        if self.legacy and text.startswith(legacy.MARK):
            return legacy.translate(text.removeprefix(legacy.MARK))
        return style.expanded(text, grant.bucket.styles)


async def split(
    target: Target, grant: access.Grant, store: Store, *, old: bool, may_fetch: bool
) -> Target:
    """Split the key of a target into an object's key and a process, if it has both.

    An object with the whole key takes precedence. If none of the possible objects exists, the first
    one is chosen that a mirror rule matches and whose process is valid.

    Args:
        target: The target with the key as requested.
        grant: The grant of the caller, with the bucket.
        store: The store of the objects.
        old: Whether ``OBJECT@100w.jpg`` is accepted.
        may_fetch: Whether missing objects may be fetched from the mirror.

    Returns:
        The target after the split, or as it is if its key is not split.
    """
    separators = (*grant.bucket.separators, *([style.CLASSIC] if old else ()))
    ways = (legacy.split(target) if old else None, style.split(target, separators))
    readings = [way for way in ways if way is not None]
    if not readings:
        return target
    if not store.object_acls(target.bucket) and not any(
        _may_look(way, target, grant, old=old) for way in (target, *readings)
    ):
        return target  # which will be refused; the store is not asked
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
    """Return whether the caller may read a target, as far as its key and process tell."""
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
