"""Source image protection: which objects anonymous callers see through styles only."""

from __future__ import annotations

from ..buckets import Protection, ProtectionRule

PICTURES = frozenset("jpg jpeg png webp bmp gif tiff tif heic heif avif".split())  # what * means


def covers(protection: Protection, key: str, kind: str = "") -> bool:
    """Is the object protected, by its extension or by one of the rules?

    An extension is what follows the last dot, in any case; ``*`` is that of every picture, and
    what was stored as a picture under another name (OSS guide, Source image protection).

    Args:
        protection: The bucket's.
        key: The object's name.
        kind: The Content-Type that it was stored with, where that is known.
    """
    if not protection.enabled:
        return False
    _, dot, extension = key.rpartition(".")
    named = {item.lower().removeprefix(".") for item in protection.extensions}
    if "*" in named:
        named |= PICTURES
    by_extension = bool(dot) and extension.lower() in named
    by_kind = "*" in named and kind.lower().startswith("image/")
    return by_extension or by_kind or any(_matches(rule, key) for rule in protection.rules)


def _matches(rule: ProtectionRule, key: str) -> bool:
    prefix, suffix = rule.prefix, rule.suffix
    if rule.case_insensitive:
        prefix, suffix, key = prefix.lower(), suffix.lower(), key.lower()
    return key.startswith(prefix) and key.endswith(suffix)
