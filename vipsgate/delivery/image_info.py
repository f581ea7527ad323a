"""Reads ``image/info`` of an object that has just been stored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing

import orjson

from ..errors import NoSuchKey, OssError, SourceChanged
from ..gate import access
from ..gate.target import PROCESS, Target
from ..image.process import parse
from . import derivatives
from .order import Order
from .services import Services

INFO = "image/info"


async def read(
    services: Services, grant: access.Grant, bucket: str, key: str, etag: str
) -> Mapping[str, str]:
    """Return the names and values of ``image/info``; none if the object is not a picture.

    The first bytes are checked before, so an object that is not a picture is neither fetched from
    an object store nor given to a renderer.

    Args:
        services: The services.
        grant: The grant of the request that has stored the object; access is not checked.
        bucket: Its bucket.
        key: Its key.
        etag: Its ETag; nothing is returned if it has been replaced since.

    Raises:
        OssError: The object cannot be read now, or the server is overloaded.
    """
    limits = services.settings.limits
    try:
        item = await services.store.stat(bucket, key)
        if item.etag != etag or item.size > limits.source_bytes:
            return {}
        item, picture = await services.sniffer.sniff(services.store, bucket, key, item)
        if item.etag != etag or not picture:
            return {}
        target = Target(bucket, key, ((PROCESS, INFO),))
        order = Order(target, key, grant, parse(INFO, limits), (key,), (item,))
        with closing(await derivatives.fetch(services, order)) as content:
            data = _bytes(content.body, content.size)
    except (NoSuchKey, SourceChanged):
        return {}
    except OssError as error:
        if error.status >= 500:
            raise
        return {}
    return {name: str(row["value"]) for name, row in orjson.loads(data).items()}


def _bytes(body: object, size: int) -> bytes:
    if isinstance(body, int):
        return os.pread(body, size, 0)
    assert isinstance(body, bytes)  # only unprocessed objects have readers
    return body
