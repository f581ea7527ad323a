"""What a picture says of itself, for who has just stored it: ``image/info`` without a request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing

import orjson

from ..errors import NoSuchKey, OssError
from ..gate import access
from ..gate.target import PROCESS, Target
from ..image.process import parse
from . import derivatives
from .order import Order, ReplacedError
from .services import Services

INFO = "image/info"


async def read(
    services: Services, grant: access.Grant, bucket: str, key: str, etag: str
) -> Mapping[str, str]:
    """The names and values of ``image/info``; none where the object is no picture.

    Of an object the beginning is looked at first, so what is no picture is neither fetched from an
    object store nor given to a renderer.

    Args:
        services: Where the object is.
        grant: Of whoever has stored it; nothing is asked of it.
        bucket: Its bucket.
        key: Its name.
        etag: Its version; nothing is told of another one that has replaced it by now.

    Raises:
        OssError: It cannot be found out now.
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
    except (NoSuchKey, ReplacedError):
        return {}
    except OssError as error:
        if error.status >= 500:
            raise
        return {}
    return {name: str(row["value"]) for name, row in orjson.loads(data).items()}


def _bytes(body: object, size: int) -> bytes:
    if isinstance(body, int):
        return os.pread(body, size, 0)
    assert isinstance(body, bytes)  # a derivative is there as a whole
    return body
