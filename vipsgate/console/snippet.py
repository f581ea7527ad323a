"""The ``<img srcset>`` of an object's page: widths by the bytes of two pictures, made by renderers.

They are made at the lowest priority and cached as all others are. Where they cannot be had in time,
as on a server that is busy, the widths are those of a photograph of common size.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from urllib.parse import quote

from ..buckets import Bucket
from ..delivery import derivatives, resolve
from ..errors import OssError
from ..gate import access
from ..gate.target import PROCESS, Target
from ..image import widths
from . import srcset
from .urls import Place
from .visit import Visit

MAX_WAIT = 2.0  # seconds that a page waits for the pictures
UPRIGHT = "image/auto-orient,1"  # what tells the size that a source is shown at


async def markup(visit: Visit, place: Place, key: str, process: str) -> str:
    """Return the HTML for an object, after a process; empty where that makes no picture.

    Args:
        visit: The request for the page.
        place: Where the public finds the bucket.
        key: The object's name.
        process: ``style/NAME``, ``image/...`` or empty.
    """
    line = f"/{visit.bucket}/{quote(key)}?x-oss-process={quote(process or UPRIGHT, safe='')}"
    report = await visit.console.explain(visit.services, line, {})
    if not (result := (report.get("plan") or {}).get("result")):
        return ""
    size = result["width"], result["height"]
    small, large = widths.ends(size[0], srcset.LAYOUT, srcset.DENSITY)
    curve = await _curve(visit, key, process, widths.samples(small, large))
    candidates = tuple(
        srcset.Candidate(
            place.plain(key, srcset.process(process, width)), width, srcset.height(width, size)
        )
        for width in widths.choose(curve, small, large)
    )
    name = key.rpartition("/")[2]
    sizes = srcset.sizes(srcset.LAYOUT, large)
    return srcset.markup([srcset.Source("", candidates)], sizes, name)


async def _curve(visit: Visit, key: str, process: str, samples: tuple[int, ...]) -> widths.Curve:
    """Bytes by width, of pictures that are made now; of any photograph where they cannot be."""
    bucket = visit.services.registry.get(visit.bucket)
    assert bucket is not None
    try:
        async with asyncio.timeout(MAX_WAIT), visit.services.renderers.lowest():
            texts = [srcset.process(process, width) for width in samples]
            sizes = [await _bytes(visit, bucket, key, text) for text in texts]
    except (OssError, TimeoutError):
        return widths.Curve()
    return widths.Curve.of(zip(samples, sizes, strict=True))


async def _bytes(visit: Visit, bucket: Bucket, key: str, process: str) -> int:
    target = Target(visit.bucket, key, ((PROCESS, process),))
    grant = access.Grant(bucket, visit.caller)
    order = await resolve.order(visit.services, grant, target)
    with closing(await derivatives.fetch(visit.services, order)) as content:
        return content.size
