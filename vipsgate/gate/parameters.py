"""Parameters of a query that change an answer: their spelling, and which signatures cover them.

V2 and V4 sign the whole query. V1 signs the parameters of :func:`is_signed`. Other parameters are
ignored with V1, except those of listings (:data:`OF_LISTINGS`), which OSS does not sign with V1,
and which its SDKs send. So with a V1-signed URL of a listing, all its pages can be read; V4 has no
such gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from ..errors import InvalidArgument, NoSuchVersion, shown

# parameters by which a signed request sets a header of the answer (OSS guide, GetObject)
OVERRIDES = {
    f"response-{name.lower()}": name
    for name in (
        "Content-Type",
        "Content-Language",
        "Expires",
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
    )
}
# OSS guide, signature V1; below the gap, what the SDKs sign besides
SUB_RESOURCES = frozenset(
    "acl append bucketInfo cname comp cors delete endTime img lifecycle live location logging "
    "objectMeta partNumber position qos referer replication replicationLocation "
    "replicationProgress security-token startTime status style styleName symlink tagging uploadId "
    "uploads vod website "
    "  "
    "accessPoint accessPointPolicy asyncFetch bucketArchiveDirectRead callback callback-var "
    "cloudboxes continuation-token encryption group httpsConfig inventory inventoryId link "
    "metaQuery objectInfo policy processConfiguration publicAccessBlock qosInfo qosRequester "
    "redundancyTransition regionList requestPayment requesterQosInfo resourceGroup resourcePool "
    "resourcePoolBuckets resourcePoolInfo restore sequential stat transferAcceleration udf "
    "udfApplication udfApplicationLog udfImage udfImageDesc udfName versionId versioning versions "
    "vpcip worm wormExtend wormId".split()
)
# the Go SDK signs every parameter that begins so. No "=" in the name: it would be taken for the
# one before the value, and "x-oss-process%3Dstyle/thumb" would sign like a process, and do nothing
EXTENSION = re.compile(r"x-oss-[A-Za-z0-9_-]+")
# of listings of buckets, objects, uploads and parts, and how the names in an answer are written
OF_LISTINGS = frozenset(
    "delimiter encoding-type fetch-owner key-marker list-type marker max-keys max-parts "
    "max-uploads part-number-marker prefix start-after upload-id-marker version-id-marker".split()
)
VERSION, ONLY_VERSION = "versionId", "null"  # of every object: no bucket was ever versioned


def is_signed(name: str) -> bool:
    """Return whether a parameter of exactly this name is in the text that V1 signs."""
    return name in SUB_RESOURCES or name in OVERRIDES or EXTENSION.fullmatch(name) is not None


def overridden(name: str) -> str:
    """Return the header of the answer that a parameter sets; empty for none.

    Raises:
        InvalidArgument: The parameter has another case, in which no signature would cover it.
    """
    if header := OVERRIDES.get(name):
        return header
    meant = unquote(name).lower()
    if meant in OVERRIDES:
        raise InvalidArgument(f"The parameter: {shown(name)} must be written {meant}.")
    return ""


def check_version(query: Iterable[tuple[str, str]]) -> None:
    """Refuse versions that no object has.

    Raises:
        NoSuchVersion: The version is not ``null``.
    """
    for name, value in query:
        if name == VERSION:
            check_version_id(value)


def check_version_id(value: str) -> None:
    """Refuse a version in a document, or in the source of a copy, that no object has.

    Raises:
        NoSuchVersion: The version is not ``null``.
    """
    if value != ONLY_VERSION:
        raise NoSuchVersion(
            f"The specified version does not exist: {VERSION} is {shown(value)!r}, and every "
            f"object here has one version, {ONLY_VERSION}.",
            extra={"VersionId": shown(value)},
        )
