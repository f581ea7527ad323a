"""The keys under which symlinks lead to a file of a bucket.

Rules that apply to a link's target apply to the link, too: a rule about names must not be bypassed
by giving an object another name.
"""

from __future__ import annotations

import os

from ...buckets import INTERNAL
from . import folders, paths

MAX_LINKS = 40  # followed for one file, as the kernel does (path_resolution(7))


def real_key(descriptor: int, bucket: str) -> str | None:
    """Return the key of an opened file with links resolved; ``None`` if it is no object.

    Args:
        descriptor: The descriptor of the file.
        bucket: The bucket's folder, which may itself be a symlink.
    """
    path = paths.real(descriptor)
    top = bucket if path.startswith(f"{bucket}/") else os.path.realpath(bucket)
    return folders.key(path[len(top) + 1 :]) if path.startswith(f"{top}/") else None


def aliases(bucket: str, key: str, real: str) -> tuple[str, ...]:
    """Return the other keys of an object that is reached by symlinks, the last one its real key.

    This covers links to files and to folders, and links to links, so that for
    ``a -> b.jpg -> c`` the keys are ``b.jpg`` and ``c``. A part of the way that leads through other
    buckets adds no keys. The real key is always included, even if links are changed meanwhile.

    Args:
        bucket: The bucket's folder, which may itself be a symlink.
        key: The key that was asked for.
        real: The result of :func:`real_key` for the opened file: ``key`` if there is no link.
    """
    if real == key:
        return ()
    end = "/" if key.endswith("/") else ""
    names = dict.fromkeys(
        name + end
        for name in _names(os.path.realpath(bucket), key.removesuffix("/"))
        if INTERNAL not in name.split("/")
    )
    return (*(name for name in names if name not in (key, real)), real)


def _names(top: str, key: str) -> list[str]:
    """Return every key that the kernel goes through, in order."""
    folder, ahead, links = top, key.split("/")[::-1], 0
    names = []
    while ahead and links < MAX_LINKS:
        if f"{folder}/".startswith(f"{top}/") and ".." not in ahead:
            rest = [part for part in ahead[::-1] if part not in ("", ".")]
            names.append(f"{folder}/"[len(top) + 1 :] + "/".join(rest))
        part = ahead.pop()
        if part == "..":
            folder = folder.rpartition("/")[0]
        elif part not in ("", "."):
            try:
                aim = os.readlink(f"{folder}/{part}")
            except OSError:  # no link
                folder = f"{folder}/{part}"
                continue
            links += 1
            ahead += aim.split("/")[::-1]
            folder = "" if aim.startswith("/") else folder
    return names
