"""Cache tags: the words by which a CDN finds what it has kept of a bucket, an object or a style.

::

    b.BUCKET            every answer of the bucket
    f.BUCKET.DIGEST     every answer made of an object in a folder, ``a/b/``, or in one within it
    k.BUCKET.DIGEST     every answer made of an object: the source, what is laid on it, a symlink
    s.BUCKET.STYLE      every picture that was asked for by a style; with DIGEST of its name where
                        the tag would have more than 128 characters

DIGEST is :func:`digest` of the key or the folder: what a CDN takes in a tag differs, so only
letters, digits, ``.``, ``_`` and ``-`` are used, and a key may have any character. No bucket has a
dot in its name, so no two tags are the same. CDNs that do not tell ``a`` from ``A`` purge the
styles ``small`` and ``Small`` together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ..buckets import CacheTags

DIGITS = 32  # hexadecimal, of a SHA-256
MAX_FOLDERS = 8  # levels that have tags of their own
MAX_LENGTH = 128  # of a tag; Akamai takes no longer one
MAX_TAGS = 50  # of an answer; CloudFront heeds no more, others take 128 and more
SEPARATORS = {"Surrogate-Key": " ", "xkey": " "}  # in others a comma


def digest(text: str) -> str:
    """Return the first half of the SHA-256 of a key or a folder, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


def of_bucket(bucket: str) -> str:
    """Return the tag of all answers of a bucket."""
    return f"b.{bucket}"


def of_key(bucket: str, key: str) -> str:
    """Return the tag of all that is made of an object."""
    return f"k.{bucket}.{digest(key)}"


def of_style(bucket: str, style: str) -> str:
    """Return the tag of all pictures of a style."""
    tag = f"s.{bucket}.{style}"
    return tag if len(tag) <= MAX_LENGTH else f"s.{bucket}.{digest(style)}"


def of_prefix(bucket: str, prefix: str, chosen: Sequence[str]) -> str:
    """Return the narrowest tag that everything has whose key begins so.

    Args:
        bucket: Of the objects.
        prefix: Need not end at a folder: then the tag is that of the folder around it.
        chosen: Which tags the bucket's answers have.
    """
    folders = _folders(prefix) if "folder" in chosen else ()
    return f"f.{bucket}.{digest(folders[-1])}" if folders else of_bucket(bucket)


def headers(
    tags: CacheTags, bucket: str, keys: Iterable[str], styles: Iterable[str]
) -> dict[str, str]:
    """Return the headers that say the tags of an answer; none where the bucket wants none.

    Args:
        tags: The bucket's setting.
        bucket: Its name.
        keys: Of the objects that the answer depends on, the source first.
        styles: That were asked for.
    """
    if not tags.headers:
        return {}
    words = _words(tags, bucket, tuple(keys), styles)
    if len(words) > MAX_TAGS:  # what cannot be said may be purged with its bucket only
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
    """``a/``, ``a/b/`` of ``a/b/c.jpg``."""
    parts = key.split("/")[:-1][:MAX_FOLDERS]
    return tuple("/".join(parts[: end + 1]) + "/" for end in range(len(parts)))
