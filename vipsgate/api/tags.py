"""Calls to the tags of an object (OSS guide, Object tagging)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..delivery import lookup
from ..gate import tagging
from . import writing, xml
from .call import Call


async def put(call: Call) -> web.StreamResponse:
    """PutObjectTagging: replace all tags."""
    await _check(call)  # before the document is read
    root = xml.parse(await call.document(), "Tagging", xml.TAG_ELEMENTS)
    if root.find("TagSet") is None:
        raise xml.malformed("Tagging has no TagSet")
    # not trimmed: spaces are part of a tag
    pairs = [(tag.findtext("Key", ""), tag.findtext("Value", "")) for tag in root.iter("Tag")]
    await _change(call, tagging.checked(pairs))
    return call.respond()


async def delete(call: Call) -> web.StreamResponse:
    """DeleteObjectTagging; does nothing if there are no tags."""
    await _check(call)
    await _change(call, {})
    return call.respond(204)


async def get(call: Call) -> web.StreamResponse:
    """GetObjectTagging."""
    info = await lookup.stat(call.services, call.grant, call.target.bucket, call.target.key)
    root = Element("Tagging")
    tags = SubElement(root, "TagSet")
    for key, value in info.properties.tags.items():
        xml.add(SubElement(tags, "Tag"), Key=key, Value=value)
    return call.respond(body=xml.write(root))


async def _check(call: Call) -> None:
    await writing.check_writable(call, call.grant, call.target.bucket, call.target.key)


async def _change(call: Call, tags: Mapping[str, str]) -> None:
    target, store = call.target, call.services.store
    info = await store.stat(target.bucket, target.key)
    await store.describe(target.bucket, target.key, replace(info.properties, tags=tags))
