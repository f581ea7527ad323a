"""Source image protection: decides which objects anonymous callers see through styles only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ..buckets import Protection, ProtectionRule

ALL = "*"  # every image object, whatever its name (OSS guide, Source image protection)
PICTURES = frozenset("jpg jpeg png webp bmp gif tiff tif heic heif avif".split())  # extensions

# some object stores take a backslash for a slash, and several for one (SeaweedFS): then a\b is a/b
SLASHES = re.compile(r"[\\/]+")
CACHED_LISTS = 1024  # lists of extensions, one for each bucket


def of_all_pictures(protection: Protection) -> bool:
    """Return whether every picture of the bucket is protected, whatever its name."""
    return protection.enabled and ALL in _names(protection.extensions)


def covers(
    protection: Protection,
    key: str,
    kind: str = "",
    *,
    aliases: Sequence[str] = (),
    picture: bool = False,
) -> bool:
    """Return whether an object is protected, by its extension or by one of the rules.

    An extension follows the last dot, and is case-insensitive. ``*`` stands for the extensions of
    all pictures, and also protects objects with the type or the first bytes of a picture.

    Args:
        protection: The bucket's settings.
        key: The object's key.
        kind: The Content-Type of its answer; empty if it is not known.
        aliases: Its other names.
        picture: Whether its first bytes are those of a picture, if they are known.
    """
    if not protection.enabled:
        return False
    extensions = _names(protection.extensions)
    if ALL in extensions and (picture or kind.strip().lower().startswith("image/")):
        return True
    names = (key, *aliases)
    if any("\\" in name for name in names):
        names += tuple(SLASHES.sub("/", name) for name in names)
    return any(
        _extension(name) in extensions or any(_matches(rule, name) for rule in protection.rules)
        for name in names
    )


@lru_cache(maxsize=CACHED_LISTS)
def _names(extensions: Sequence[str]) -> frozenset[str]:
    """Return extensions in lower case, without dots, and with those of pictures for ``*``."""
    names = frozenset(item.lower().removeprefix(".") for item in extensions)
    return names | PICTURES if ALL in names else names


def _extension(name: str) -> str | None:
    _, dot, extension = name.rpartition(".")
    return extension.lower() if dot else None


def _matches(rule: ProtectionRule, key: str) -> bool:
    prefix, suffix = rule.prefix, rule.suffix
    if rule.case_insensitive:
        prefix, suffix, key = prefix.lower(), suffix.lower(), key.lower()
    return key.startswith(prefix) and key.endswith(suffix)
