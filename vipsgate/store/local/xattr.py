"""Object metadata on a disk: one extended attribute, ``user.vipsgate``, in JSON.

It is set before the file is given its name, so that bytes and properties become an object
atomically, and it moves with the file. The alternative, a document beside each file, works on file
systems without attributes, but two files cannot be replaced atomically.

The attribute contains the size and the mtime of the file that it was written for. If they differ,
the file was edited by other means: then its tag, checksum and headers are ignored, but not its ACL,
or touching a private object would make it public. An object whose attribute cannot be read, or is
not valid, is private, because its ACL may have been.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import orjson

from ...buckets import ACLS
from ...errors import MetadataTooLarge, Unimplemented
from ..base import PLAIN, Properties

# {"of": [bytes, ns], "etag", "crc", "type", "acl", "headers", "meta", "kind", "tags", "target"};
# defaults are left out. The names are short because up to 128 bytes are read in one call, which
# halves its time.
NAME = "user.vipsgate"
BARE = frozenset(("of", "etag", "crc"))
WORDS = ("", *ACLS)
ABSENT = frozenset((errno.ENODATA, errno.ENOTSUP))
UNREADABLE = frozenset((errno.EACCES, errno.EPERM, errno.ERANGE, errno.E2BIG))  # permanently
TOO_LARGE = frozenset((errno.E2BIG, errno.ERANGE))
LEAST_BYTES = 800  # that every file system allows; ext4 with blocks of 1 KB allows the least
CLOSED = Properties(acl="private")


def read(descriptor: int, facts: os.stat_result) -> tuple[Properties, str, int | None]:
    """Return properties, tag and checksum of an opened file; an empty tag if none is known.

    Raises:
        OSError: They cannot be read now.
    """
    try:
        # by name, because fgetxattr fails for a descriptor with O_PATH
        return _decoded(os.getxattr(f"/proc/self/fd/{descriptor}", NAME), facts)
    except OSError as error:
        if error.errno not in ABSENT | UNREADABLE:
            raise
        return PLAIN if error.errno in ABSENT else CLOSED, "", None
    except (ValueError, TypeError, KeyError, AttributeError):  # not written by vipsgate
        return CLOSED, "", None


def write(descriptor: int, properties: Properties, etag: str, crc: int | None) -> None:
    """Store properties, tag and checksum with an opened file.

    Raises:
        MetadataTooLarge: They are larger than the file system allows.
        Unimplemented: It has no extended attributes, and properties would be lost.
        OSError: The attribute cannot be written.
    """
    data = _encoded(os.fstat(descriptor), properties, etag, crc)
    path = f"/proc/self/fd/{descriptor}"
    try:
        os.setxattr(path, NAME, data)
    except OSError as error:
        if error.errno in TOO_LARGE or (
            # a full disk has the same error
            error.errno == errno.ENOSPC and len(data) > LEAST_BYTES and os.statvfs(path).f_bavail
        ):
            raise MetadataTooLarge(
                "Your metadata headers exceed the maximum allowed metadata size: they come to "
                f"{len(data)} bytes, and the store's file system keeps about 4,000 with an object "
                "where it is ext4, 64,000 at most."
            ) from None
        if error.errno != errno.ENOTSUP:
            raise
        # a content type is not refused, as every client sends one: it follows from the name instead
        if properties != Properties(properties.content_type, kind=properties.kind):
            raise Unimplemented(
                "The store's file system keeps no extended attributes, so an object has no ACL "
                "and no headers of its own here."
            ) from None


def _encoded(facts: os.stat_result, properties: Properties, etag: str, crc: int | None) -> bytes:
    about: dict[str, Any] = {
        "of": [facts.st_size, facts.st_mtime_ns],
        "etag": etag.strip('"'),
        "crc": crc,
        "type": properties.content_type,
        "acl": properties.acl,
        "headers": properties.headers,
        "meta": properties.meta,
        "kind": properties.kind if properties.kind != PLAIN.kind else "",
        "tags": properties.tags,
        "target": properties.target,
    }
    return orjson.dumps(
        {name: value for name, value in about.items() if value not in ("", None, {})}
    )


def _decoded(data: bytes, facts: os.stat_result) -> tuple[Properties, str, int | None]:
    about = orjson.loads(data)
    acl = about.get("acl", "")
    if acl not in WORDS:
        raise ValueError(acl)
    if about["of"] != [facts.st_size, facts.st_mtime_ns]:
        return Properties(acl=acl), "", None
    etag, crc = about.get("etag", ""), about.get("crc")
    properties = PLAIN
    if not about.keys() <= BARE:
        properties = Properties(
            about.get("type", ""),
            acl,
            about.get("headers", {}),
            about.get("meta", {}),
            about.get("kind", PLAIN.kind),
            about.get("tags", {}),
            about.get("target", ""),
        )
    texts = [etag, properties.content_type, properties.kind, properties.target]
    texts += [*properties.headers.values(), *properties.meta.values(), *properties.tags.values()]
    if not all(type(text) is str for text in texts) or type(crc) not in (int, type(None)):
        raise TypeError(about)
    return properties, etag and f'"{etag}"', crc
