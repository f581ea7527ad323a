"""Source image protection: which objects anonymous callers see through styles only."""

from __future__ import annotations

from ..buckets import Protection, ProtectionRule

PICTURES = frozenset("jpg jpeg png webp bmp gif tiff tif heic heif avif".split())  # what * means


def covers(protection: Protection, key: str) -> bool:
    """Is the object protected, by its extension or by one of the rules?

    An extension is what follows the last dot, in any case; ``*`` is that of every picture
    (OSS guide, Source image protection).
    """
    if not protection.enabled:
        return False
    _, dot, extension = key.rpartition(".")
    named = {item.lower().removeprefix(".") for item in protection.extensions}
    if "*" in named:
        named |= PICTURES
    by_extension = bool(dot) and extension.lower() in named
    return by_extension or any(_matches(rule, key) for rule in protection.rules)


def _matches(rule: ProtectionRule, key: str) -> bool:
    prefix, suffix = rule.prefix, rule.suffix
    if rule.case_insensitive:
        prefix, suffix, key = prefix.lower(), suffix.lower(), key.lower()
    return key.startswith(prefix) and key.endswith(suffix)
