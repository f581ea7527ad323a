"""Parses a request line and a Host header into bucket, key and parameters.

The bucket is found in this order: the Host is a bucket's own domain; it is ``BUCKET.<endpoint>`` or
one of OSS's own (:data:`OSS_HOST`); or else the first segment of the path names it. Everything is
percent-decoded exactly once, here, and checked after that, so stores and signatures use the same
text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from ..buckets import BUCKET, INTERNAL
from ..errors import InvalidArgument, InvalidBucketName, InvalidObjectName, NoSuchKey, shown

PROCESS = "x-oss-process"
# OSS guide, Regions and endpoints: BUCKET.oss-REGION with or without -internal, .oss-accelerate and
# .oss-accelerate-overseas; BUCKET.REGION.oss (IPv4 and IPv6); old version, BUCKET.img-REGION
OSS_HOST = re.compile(
    r"([^.]+)\.(?:oss-[a-z0-9-]+|(img)-[a-z0-9-]+|[a-z0-9-]+\.oss)\.aliyuncs\.com"
)
AUTHORITY = re.compile(r"([^/?]*)(.*)", re.DOTALL)  # and what comes behind it; fits any text
KEY_BYTES = 1023  # UTF-8; OSS guide, Object naming
# parameters with Base64, whose standard alphabet has a "+"; elsewhere it is a form's blank, as oss2
# and browsers' forms send it
WITH_BASE64 = frozenset(
    "callback callback-var security-token Signature x-oss-async-process x-oss-process "
    "x-oss-security-token x-oss-signature".split()
)


@dataclass(frozen=True, slots=True)
class Target:
    """Bucket, key and parameters of a request.

    Attributes:
        bucket: A valid bucket name; empty for a call to the service itself.
        key: The object's name, decoded; empty for a call to the bucket.
        query: The parameters in their order, decoded; a missing value is empty.
        legacy: Whether the Host is one of the older service, which supports ``OBJECT@100w.jpg``.
        process: The text of ``x-oss-process``; empty if there is none.
    """

    bucket: str
    key: str
    query: tuple[tuple[str, str], ...] = ()
    legacy: bool = False
    process: str = field(init=False)

    def __post_init__(self) -> None:
        process = next((value for name, value in self.query if name == PROCESS), "")
        object.__setattr__(self, "process", process)

    def names(self) -> frozenset[str]:
        """The names of the parameters."""
        return frozenset(name for name, _ in self.query)


def resolve(line: str, host: str, domains: Mapping[str, str], endpoint: str) -> Target:
    """Return the target of a request.

    Args:
        line: The request target as sent, ``/a%20b?x=y`` or with scheme and host in front;
            bytes that are not UTF-8 as surrogates.
        host: The Host header, with or without port.
        domains: Buckets by their own domains, in lower case.
        endpoint: The domain below which buckets are sub-domains; empty for none.

    Raises:
        InvalidBucketName: The bucket's name is not valid.
        InvalidObjectName: The object's name is not valid.
        NoSuchKey: The name is valid, but no object can have it here.
        InvalidArgument: The query is not UTF-8.
    """
    bucket, path, raw_query, legacy = _split(line, host, domains, endpoint)
    if bucket or path:
        check_bucket(bucket)
    check_key(path)
    return Target(bucket, path, _query(raw_query), legacy)


def bucket_of(line: str, host: str, domains: Mapping[str, str], endpoint: str) -> str:
    """The bucket of a request that may be none, see :func:`resolve`; empty where none is named."""
    try:
        return _split(line, host, domains, endpoint)[0]
    except InvalidObjectName:
        return _from_host(_bare(host), domains, endpoint)[0] or ""


def _split(
    line: str, host: str, domains: Mapping[str, str], endpoint: str
) -> tuple[str, str, str, bool]:
    """Bucket, path behind it, query as it came; and see ``Target.legacy``."""
    if not line.startswith("/"):
        line, host = _absolute(line, host)
    raw_path, _, raw_query = line.partition("?")
    path = _decoded(raw_path, InvalidObjectName, "The object name")[1:]
    bucket, legacy = _from_host(_bare(host), domains, endpoint)
    if bucket is None:
        bucket, _, path = path.partition("/")
    return bucket, path, raw_query, legacy


def _absolute(line: str, host: str) -> tuple[str, str]:
    """``http://host/path`` is a legal request target too, and its host counts (RFC 9112, 3.2.2)."""
    scheme, _, rest = line.partition("://")
    if scheme.lower() not in ("http", "https"):
        return "/", host
    authority, path = AUTHORITY.fullmatch(rest).groups()  # type: ignore[union-attr]
    return path if path.startswith("/") else f"/{path}", authority.rpartition("@")[2]


def _from_host(host: str, domains: Mapping[str, str], endpoint: str) -> tuple[str | None, bool]:
    """The bucket that the Host names, ``None`` leaves it to the path; and see ``Target.legacy``."""
    if host in domains:
        return domains[host], False
    if endpoint and host.endswith(f".{endpoint}"):
        return host[: -len(endpoint) - 1], False
    oss = OSS_HOST.fullmatch(host)
    return (oss[1], oss[2] is not None) if oss else (None, False)


def _bare(host: str) -> str:
    """In lower case, without port and final dot; an IPv6 address keeps its brackets."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or "]" in port:
        name = host.strip().lower()
    return name.removesuffix(".")


def check_bucket(bucket: str) -> None:
    """Refuse names that are not valid for a bucket.

    Raises:
        InvalidBucketName: The name is not valid.
    """
    if not BUCKET.fullmatch(bucket):
        raise InvalidBucketName(
            "The specified bucket is not valid. A name has 3 to 63 characters of a-z, 0-9 and -, "
            f"at both ends no -; it was {shown(bucket)!r}."
        )


def check_key(key: str) -> None:
    """Refuse names that are not valid for an object, or that no object can have here.

    Raises:
        InvalidObjectName: The name is not valid.
        NoSuchKey: The name is valid, but no object can have it here: a part of it is
            :data:`INTERNAL`, or is empty and not the last one (``dir/``).
    """
    if not key:
        return
    try:
        size = len(key.encode())
    except UnicodeEncodeError:  # surrogates: bytes of a form's header that are none
        raise InvalidObjectName("The object name is not UTF-8.") from None
    if size > KEY_BYTES:
        raise InvalidObjectName(
            f"The Length of Object name must be less than {KEY_BYTES + 1}; "
            f"it has {size} bytes of UTF-8."
        )
    if key[0] in "/\\" or "\0" in key:
        raise InvalidObjectName(
            "The specified object is not valid. A name does not begin with / or \\ "
            f"and has no NUL; it was {shown(key)!r}."
        )
    parts = key.removesuffix("/").split("/")
    if "." in parts or ".." in parts:
        raise InvalidObjectName(
            "The specified object is not valid. No part of a name is . or ..; "
            f"it was {shown(key)!r}."
        )
    if INTERNAL in parts or "" in parts:
        raise NoSuchKey("The specified key does not exist.", extra={"Key": key})


def check_stored_key(key: str) -> None:
    """Refuse names under which no object can be stored.

    Raises:
        InvalidObjectName: The name is not valid, or no object can have it here.
    """
    try:
        check_key(key)
    except NoSuchKey:
        raise InvalidObjectName(
            "The specified object is not valid. Here no part of a name is empty or "
            f"{INTERNAL}; it was {shown(key)!r}."
        ) from None
    if not key:
        raise InvalidObjectName("The Object name can not be empty.")


def _query(raw: str) -> tuple[tuple[str, str], ...]:
    """Return name and value of each parameter; ``+`` is a space, except in :data:`WITH_BASE64`.

    Of several process texts only the first one is used and signed, so a second one that is appended
    to a signed URL has no effect (OSS guide, signature in a URL).
    """
    pairs, processed = [], False
    for part in raw.split("&"):
        raw_name, _, raw_value = part.partition("=")
        name = _text(raw_name.replace("+", " "))
        if not part or (processed and name == PROCESS):
            continue
        processed = processed or name == PROCESS
        if "+" in raw_value and name not in WITH_BASE64:
            raw_value = raw_value.replace("+", " ")
        pairs.append((name, _text(raw_value)))
    return tuple(pairs)


def _text(raw: str) -> str:
    return _decoded(raw, InvalidArgument, "The query")


def _decoded(raw: str, error: type[InvalidObjectName] | type[InvalidArgument], what: str) -> str:
    if raw.isascii() and "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise error(f"{what} is not UTF-8 when percent-decoded.") from None
