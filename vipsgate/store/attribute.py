"""What is kept with a file besides its bytes: one extended attribute, ``user.vipsgate``, in JSON.

It is set before the file gets its name, so that bytes and properties become an object in one step,
and it goes where the file goes. The other design, a document beside every file, works on file
systems without attributes, but two files cannot be replaced in one step.

The attribute names the length and the time of the file that it was written for. Where they do not
fit any more, somebody has edited the file by hand: its tag, checksum and headers are void then, but
not its ACL, or a private object would become public by being touched.
"""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from typing import Any

import orjson

from ..errors import MetadataTooLarge, Unimplemented
from .base import PLAIN, Properties

NAME = "user.vipsgate"
ABSENT = frozenset((errno.ENODATA, errno.ENOTSUP))
TOO_LARGE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.ERANGE))
# one that cannot be read may have said so
CLOSED = Properties(acl="private")


def read(descriptor: int, facts: os.stat_result) -> tuple[Properties, str, int | None]:
    """Properties, tag and checksum of an opened file; an empty tag where none is known."""
    try:
        # by name, because of a descriptor that was opened to look only nothing can be asked
        about = orjson.loads(os.getxattr(f"/proc/self/fd/{descriptor}", NAME))
        kept = Properties(**about["properties"])
        if (about["size"], about["modified"]) == (facts.st_size, facts.st_mtime_ns):
            return kept, about["etag"], about["crc"]
        return Properties(acl=kept.acl), "", None
    except OSError as error:
        return PLAIN if error.errno in ABSENT else CLOSED, "", None
    except (ValueError, TypeError, KeyError):  # not of our making
        return CLOSED, "", None


def write(descriptor: int, properties: Properties, etag: str, crc: int | None) -> None:
    """Keep them with the file, as it is now.

    Raises:
        MetadataTooLarge: The file system has no room for so much.
        Unimplemented: It has no extended attributes, and something would be lost.
    """
    facts = os.fstat(descriptor)
    about: dict[str, Any] = {
        "size": facts.st_size,
        "modified": facts.st_mtime_ns,
        "etag": etag,
        "crc": crc,
        "properties": {name: value for name, value in asdict(properties).items() if value},
    }
    data = orjson.dumps(about)
    try:
        os.setxattr(f"/proc/self/fd/{descriptor}", NAME, data)
    except OSError as error:
        if error.errno in TOO_LARGE:
            raise MetadataTooLarge(
                "Your metadata headers exceed the maximum allowed metadata size: the store's file "
                f"system does not take {len(data)} bytes."
            ) from None
        if error.errno != errno.ENOTSUP:
            raise
        if properties != Properties(kind=properties.kind):
            raise Unimplemented(
                "The store's file system keeps no extended attributes, so an object has no type, "
                "ACL or headers of its own here."
            ) from None
