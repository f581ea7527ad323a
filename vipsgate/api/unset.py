"""What a bucket is never set up for here, in the words in which OSS says "not configured".

Terraform's bucket resource and the cleaners of the SDKs read all of this before they do anything
else. Nothing of it can be set: those calls stay refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..errors import (
    NoSuchBucketPolicy,
    NoSuchInventory,
    NoSuchServerSideEncryptionRule,
    NoSuchTransferAccelerationConfiguration,
    NoSuchWORMConfiguration,
    OssError,
)
from . import xml
from .call import Call, Handler

MISSING: Mapping[str, tuple[type[OssError], str]] = {  # sub-resource -> the error (OSS error codes)
    "encryption": (
        NoSuchServerSideEncryptionRule,
        "The server side encryption configuration was not found.",
    ),
    "inventory": (NoSuchInventory, "The bucket has no inventory."),
    "policy": (NoSuchBucketPolicy, "The bucket policy does not exist."),
    "transferAcceleration": (
        NoSuchTransferAccelerationConfiguration,
        "The transfer acceleration configuration does not exist.",
    ),
    "worm": (NoSuchWORMConfiguration, "The WORM Configuration does not exist."),
}


def missing(name: str) -> Handler:
    """Return the handler that answers ``GET ?name`` with its error."""
    error, message = MISSING[name]

    async def handler(call: Call) -> web.StreamResponse:
        raise error(message, extra={"BucketName": call.target.bucket})

    return handler


async def versioning(call: Call) -> web.StreamResponse:
    """GetBucketVersioning: neither enabled nor suspended, so it was never enabled."""
    return call.respond(body=xml.write(Element("VersioningConfiguration")))


async def logging(call: Call) -> web.StreamResponse:
    """GetBucketLogging: off."""
    return call.respond(body=xml.write(Element("BucketLoggingStatus")))


async def tagging(call: Call) -> web.StreamResponse:
    """GetBucketTags: none."""
    root = Element("Tagging")
    SubElement(root, "TagSet")
    return call.respond(body=xml.write(root))


async def live(call: Call) -> web.StreamResponse:
    """ListLiveChannel: none."""
    root = xml.add(
        Element("ListLiveChannelResult"),
        Prefix=call.parameter("prefix"),
        Marker=call.parameter("marker"),
        MaxKeys=call.number("max-keys", 100, 1, 1000),
        IsTruncated="false",
        NextMarker="",
    )
    return call.respond(body=xml.write(root))
