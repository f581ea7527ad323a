"""Object metadata in an object store: converts properties to attributes, and back.

Properties with an HTTP header are stored in that header, and ``x-oss-meta-NAME`` as the store's own
metadata, so that other clients of the same store see both. The rest, and values that such a header
cannot carry, are in one more entry of the metadata, ``vipsgate``, as JSON. All of it is stored
atomically with the bytes.

The entry contains the size of the object that it was written for. If the size differs, another
client has replaced the bytes: then its tag, checksum and headers are ignored, but not its ACL, or a
private object would become public. An object whose entry is not valid is private.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...buckets import ACLS
from ...errors import MetadataTooLarge
from ..base import PLAIN, Properties

# {"of": bytes, "etag", "crc", "type", "acl", "headers", "meta", "kind", "tags", "target", "time"};
# defaults are left out. A "type" of "" means that the writer set none: stores add one of their own.
LABEL = "vipsgate"
WORDS = ("", *ACLS)
NATIVE = {  # headers that object stores keep; not all of them keep Expires
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
}
TYPE = "Content-Type"
NOTHING_SAID = ("application/octet-stream", "binary/octet-stream")  # if none was set
# a header's value: visible ASCII, single blanks inside, as a signature folds several into one
VALUE = re.compile(r"[!-~]+(?: [!-~]+)*")
# names of metadata; Azure allows only identifiers of C#
NAMES = {"az": re.compile(r"[a-z][a-z0-9_]*"), "": re.compile(r"[a-z0-9][a-z0-9-]*")}
MAX_BYTES = 2048  # of names and values; S3's limit of user-defined metadata, the smallest
CLOSED = Properties(acl="private")


@dataclass(frozen=True, slots=True)
class Label:
    """The facts in an object's attributes.

    Attributes:
        properties: Its metadata, as its writer set it.
        etag: Its tag, quoted; empty for the store's own tag.
        crc: CRC-64/XZ; ``None`` if it is not known.
        time: When its bytes were first written, in seconds since the epoch, if that differs from
            the store's time; otherwise 0.
    """

    properties: Properties = PLAIN
    etag: str = ""
    crc: int | None = None
    time: float = 0.0


def write(label: Label, size: int, kind: str) -> dict[str, str]:
    """Return the attributes of an object.

    Args:
        label: The facts that they contain.
        size: Size of the object in bytes.
        kind: The scheme of the store's URL: ``s3``, ``gs`` or ``az``.

    Raises:
        MetadataTooLarge: They are larger than object stores allow.
    """
    properties = label.properties
    names = NAMES.get(kind, NAMES[""])
    result: dict[str, str] = {}
    rest: dict[str, Any] = {"of": size, "etag": label.etag.strip('"'), "crc": label.crc}
    rest |= {"acl": properties.acl, "time": label.time or "", "target": properties.target}
    rest["kind"] = properties.kind if properties.kind != PLAIN.kind else ""
    rest["headers"], rest["meta"], rest["tags"] = {}, {}, dict(properties.tags)
    for name, value in properties.headers.items():
        if name in NATIVE and VALUE.fullmatch(value):
            result[NATIVE[name]] = value
        else:
            rest["headers"][name] = value
    metadata: dict[str, str] = {}
    for name, value in properties.meta.items():
        if name != LABEL and names.fullmatch(name) and VALUE.fullmatch(value):
            metadata[name] = value
        else:
            rest["meta"][name] = value
    rest = {name: value for name, value in rest.items() if value not in ("", None, {})}
    if VALUE.fullmatch(properties.content_type):
        result[TYPE] = properties.content_type
    else:
        rest["type"] = properties.content_type
    # ASCII without blanks, which is the same in a header and in a signature
    metadata[LABEL] = json.dumps(rest, separators=(",", ":")).replace(" ", "\\u0020")
    length = sum(len(name) + len(value) for name, value in metadata.items())
    if length > MAX_BYTES:
        raise MetadataTooLarge(
            "Your metadata headers exceed the maximum allowed metadata size: they come to "
            f"{length} bytes, and the object store keeps {MAX_BYTES} with an object."
        )
    return result | metadata


def read(attributes: Mapping[str, str], size: int) -> Label:
    """Return the facts in the attributes of an object."""
    try:
        return _read(attributes, size)
    except (ValueError, TypeError, KeyError, AttributeError):  # not written by vipsgate
        return Label(CLOSED)


def _read(attributes: Mapping[str, str], size: int) -> Label:
    own = {name.title(): value for name, value in attributes.items() if name.title() in HTTP}
    meta = {name: value for name, value in attributes.items() if name.title() not in HTTP}
    headers = {name: own[native] for name, native in NATIVE.items() if native in own}
    kind = own.get(TYPE, "")
    text = meta.pop(LABEL, None)
    if text is None:
        kind = "" if kind in NOTHING_SAID else kind
        if not (kind or headers or meta):
            return Label()
        return Label(Properties(kind, "", headers, meta))
    rest = json.loads(text)
    acl = rest.get("acl", "")
    if acl not in WORDS:
        raise ValueError(acl)
    if rest["of"] != size:
        return Label(Properties(acl=acl))
    properties = Properties(
        rest.get("type", kind),
        acl,
        headers | rest.get("headers", {}),
        meta | rest.get("meta", {}),
        rest.get("kind", PLAIN.kind),
        rest.get("tags", {}),
        rest.get("target", ""),
    )
    etag, crc = rest.get("etag", ""), rest.get("crc")
    texts = [etag, properties.content_type, properties.kind, properties.target]
    texts += [*properties.headers.values(), *properties.meta.values(), *properties.tags.values()]
    if not all(type(text) is str for text in texts) or type(crc) not in (int, type(None)):
        raise TypeError(rest)
    return Label(properties, etag and f'"{etag}"', crc, float(rest.get("time", 0)))


HTTP = frozenset((*NATIVE.values(), TYPE, "Storage-Class"))
