"""The names by which symlinks lead to a file of a bucket.

What holds for the name that a link leads to holds for the link as well: a rule over names is not to
be passed by giving an object another one.
"""

from __future__ import annotations

import os

from ...buckets import INTERNAL
from . import folders, paths

MAX_LINKS = 40  # followed for one file, as the kernel does (path_resolution(7))


def real_key(descriptor: int, bucket: str) -> str | None:
    """The key that an opened file has without links; ``None`` for one that is no object.

    Args:
        descriptor: Of the file.
        bucket: The bucket's folder, which may itself be a symlink.
    """
    path = paths.real(descriptor)
    top = bucket if path.startswith(f"{bucket}/") else os.path.realpath(bucket)
    return folders.key(path[len(top) + 1 :]) if path.startswith(f"{top}/") else None


def aliases(bucket: str, key: str, real: str) -> tuple[str, ...]:
    """The other keys of an object that is reached by symlinks, the last one its real key.

    Links to files and to folders, and links to links: every name on the way counts, so that
    ``a -> b.jpg -> c`` is ``b.jpg`` and ``c``. What leads through other buckets and comes back has
    no names there. The real key is always among them, also where the links are changed meanwhile.

    Args:
        bucket: The bucket's folder, which may itself be a symlink.
        key: The key that was asked for.
        real: What :func:`real_key` says of the opened file: ``key`` where there is no link.
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
    """Every key that the kernel goes through, in order."""
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
