"""What a bucket's settings leave open without saying so; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..buckets import Bucket
from ..errors import OssError
from ..gate import legacy
from ..image import plan, process
from ..image.config import Limits, Rendering
from ..image.frame import Header

SAMPLE = Header("jpg", 1000, 750)  # a picture that styles are tried on
# actions that leave what is seen as it is, but for its size
SAME = frozenset("auto-orient format interlace quality resize rotate".split())


@dataclass(frozen=True, slots=True)
class Hole:
    """One of them.

    Attributes:
        key: Of its text in the catalogue.
        name: What it is about: the name of a style; empty for none.
    """

    key: str
    name: str = ""


def of(bucket: Bucket, limits: Limits) -> list[Hole]:
    """Those of a bucket."""
    return [*_protection(bucket, limits), *_referer(bucket), *_acl(bucket)]


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
    """Does a style return the source as large as it is, with nothing done to what is seen?"""
    try:
        known = process.parse(legacy.renewed(text), limits)
        if known.answer or known.snapshot or any(one.name not in SAME for one in known.actions):
            return False
        result = plan.make(SAMPLE, known.actions, limits, Rendering()).result
    except OssError:
        return False
    return result.width * result.height >= SAMPLE.width * SAMPLE.height


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
