"""The ``<img srcset>`` on an object's page: widths are chosen by the bytes of two pictures.

The pictures are rendered at the lowest priority, and cached like others. If they are not ready in
time, as on a busy server, the widths are those of a typical photograph.
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

MAX_WAIT = 2.0  # seconds for which a page waits for the pictures
UPRIGHT = "image/auto-orient,1"  # a process whose result has the size at which a source is shown


async def markup(visit: Visit, place: Place, key: str, process: str) -> str:
    """Return the HTML for an object with a process; empty if the result is not a picture.

    Args:
        visit: The request for the page.
        place: The bucket's public address.
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
    """Return bytes by width, from pictures that are rendered now, or from a typical photograph."""
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
