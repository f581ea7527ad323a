"""Finds gaps in a bucket's access settings; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..buckets import Bucket
from ..errors import OssError
from ..gate import legacy
from ..gate.access import Seen
from ..gate.rights import ACLS, Right
from ..image import plan, process
from ..image.config import Limits, Rendering
from ..image.frame import Header
from ..image.steps import Canvas, Scale, Turn

SAMPLE = Header("jpg", 1000, 750)  # a picture on which styles are tried
Objects = Mapping[str, Seen | None]  # watermark objects by key; None for a missing one


@dataclass(frozen=True, slots=True)
class Hole:
    """A gap in the settings.

    Attributes:
        key: Key of its text in the catalogue.
        name: Name of the style that it is about; empty for none.
        object: The key of a watermark object; empty for none.
    """

    key: str
    name: str = ""
    object: str = ""


def of(bucket: Bucket, limits: Limits, objects: Objects | None = None) -> list[Hole]:
    """Return the gaps in a bucket's settings.

    Args:
        bucket: The bucket's document.
        limits: Limits of styles.
        objects: The objects of :func:`watermarks`, as far as they are known.
    """
    return [
        *_protection(bucket, limits),
        *_watermarks(bucket, limits, objects or {}),
        *_referer(bucket),
        *_acl(bucket),
    ]


def watermarks(bucket: Bucket, limits: Limits) -> dict[str, tuple[str, ...]]:
    """Return the keys of the watermark objects of each style that has some."""
    keys = {name: _needs(style.content, limits) for name, style in sorted(bucket.styles.items())}
    return {name: needs for name, needs in keys.items() if needs}


def _needs(text: str, limits: Limits) -> tuple[str, ...]:
    try:
        return process.parse(legacy.renewed(text), limits).needs()
    except OssError:
        return ()


def _watermarks(bucket: Bucket, limits: Limits, objects: Objects) -> Iterator[Hole]:
    """Yield gaps of watermark objects, which styles read with the owner's right."""
    for name, keys in watermarks(bucket, limits).items():
        for key in keys:
            if key not in objects:
                continue
            item = objects[key]
            if item is None:
                yield Hole("hole.watermark_missing", name, key)
                continue
            public = Right.READ in ACLS[item.acl or bucket.acl]
            protected = item.is_protected(bucket.protection)
            if public and protected:
                yield Hole("hole.watermark_protected", name, key)
            elif public and bucket.protection.enabled:
                yield Hole("hole.watermark_public", name, key)


def _protection(bucket: Bucket, limits: Limits) -> Iterator[Hole]:
    protection = bucket.protection
    if not protection.enabled:
        return
    if not (protection.extensions or protection.rules):
        yield Hole("hole.covers_nothing")
        return
    if not bucket.styles:
        yield Hole("hole.no_style")
    for name, style in sorted(bucket.styles.items()):
        if _gives_all(style.content, limits):
            yield Hole("hole.gives_all", name)


def _gives_all(text: str, limits: Limits) -> bool:
    """Return whether a style returns the whole source, unreduced and with nothing hidden.

    It does if the optimised plan has no steps, or only steps that turn, enlarge or add an edge.
    """
    try:
        known = process.parse(legacy.renewed(text), limits)
        if known.answer or known.snapshot:
            return False
        steps = plan.make(SAMPLE, known.actions, limits, Rendering()).steps
    except OssError:
        return False
    return all(
        isinstance(step, Turn | Canvas) or (isinstance(step, Scale) and step.ratio <= 1)
        for step in steps
    )


def _referer(bucket: Bucket) -> Iterator[Hole]:
    policy = bucket.referer
    if policy.whitelist and policy.allow_empty:
        yield Hole("hole.empty_referer")
    if not policy.whitelist and not policy.allow_empty:
        yield Hole("hole.empty_whitelist")
    if policy.blacklist and not policy.whitelist:
        yield Hole("hole.blacklist_alone")


def _acl(bucket: Bucket) -> Iterator[Hole]:
    if bucket.acl == "public-read-write":
        yield Hole("hole.anybody_writes")
