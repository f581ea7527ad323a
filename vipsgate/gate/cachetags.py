"""Cache tags, by which a CDN purges the answers of a bucket, an object or a style.

::

    b.BUCKET            every answer of the bucket
    f.BUCKET.DIGEST     every answer made of an object in a folder, ``a/b/``, or in one within it
    k.BUCKET.DIGEST     every answer made of an object: as source, overlay or symlink
    s.BUCKET.STYLE      every picture that was requested by a style; with DIGEST of its name if
                        the tag would have more than 128 characters

DIGEST is :func:`digest` of the key or the folder. CDNs allow different characters in tags, so only
letters, digits, ``.``, ``_`` and ``-`` are used, and a key may have any character. No bucket has a
dot in its name, so no two tags are equal. CDNs that ignore case purge the
styles ``small`` and ``Small`` together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ..buckets import CacheTags

DIGITS = 32  # hexadecimal digits of a SHA-256
MAX_FOLDERS = 8  # levels of folders that have tags
MAX_LENGTH = 128  # characters of a tag; Akamai's limit
MAX_TAGS = 50  # tags of an answer; CloudFront's limit, others allow 128 and more
SEPARATORS = {"Surrogate-Key": " ", "xkey": " "}  # separators; other headers have a comma


def digest(text: str) -> str:
    """Return the first half of the SHA-256 of a key or a folder, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


def of_bucket(bucket: str) -> str:
    """Return the tag of all answers of a bucket."""
    return f"b.{bucket}"


def of_key(bucket: str, key: str) -> str:
    """Return the tag of all answers made of an object."""
    return f"k.{bucket}.{digest(key)}"


def of_style(bucket: str, style: str) -> str:
    """Return the tag of all pictures of a style."""
    tag = f"s.{bucket}.{style}"
    return tag if len(tag) <= MAX_LENGTH else f"s.{bucket}.{digest(style)}"


def of_prefix(bucket: str, prefix: str, chosen: Sequence[str]) -> str:
    """Return the narrowest tag that all objects with a prefix have.

    Args:
        bucket: The bucket's name.
        prefix: Prefix of keys; if it does not end with a slash, the folder above counts.
        chosen: The kinds of tags that the bucket's answers have.
    """
    folders = _folders(prefix) if "folder" in chosen else ()
    return f"f.{bucket}.{digest(folders[-1])}" if folders else of_bucket(bucket)


def headers(
    tags: CacheTags, bucket: str, keys: Iterable[str], styles: Iterable[str]
) -> dict[str, str]:
    """Return the headers with the tags of an answer; empty if the bucket has no tags.

    Args:
        tags: The bucket's setting.
        bucket: The bucket's name.
        keys: Keys of the objects that the answer depends on, the source first.
        styles: The styles of the request.
    """
    if not tags.headers:
        return {}
    words = _words(tags, bucket, tuple(keys), styles)
    if len(words) > MAX_TAGS:  # answers without a tag can be purged with their bucket only
        words = list(dict.fromkeys((of_bucket(bucket), *words)))[:MAX_TAGS]
    return {name: SEPARATORS.get(name, ",").join(words) for name in tags.headers}


def _words(tags: CacheTags, bucket: str, keys: tuple[str, ...], styles: Iterable[str]) -> list[str]:
    words = []
    if "bucket" in tags.of:
        words.append(of_bucket(bucket))
    if "style" in tags.of:
        words += [of_style(bucket, name) for name in styles]
    if "source" in tags.of:
        words += [of_key(bucket, key) for key in keys]
    if "folder" in tags.of:
        folders = (folder for key in keys for folder in _folders(key))
        words += [f"f.{bucket}.{digest(folder)}" for folder in folders]
    return list(dict.fromkeys(words))


def _folders(key: str) -> tuple[str, ...]:
    """Return the folders of a key: ``a/`` and ``a/b/`` for ``a/b/c.jpg``."""
    parts = key.split("/")[:-1][:MAX_FOLDERS]
    return tuple("/".join(parts[: end + 1]) + "/" for end in range(len(parts)))
