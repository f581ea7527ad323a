"""The histogram of an object: counted in a renderer, and drawn here as a small SVG."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing

from aiohttp import web

from ..delivery import derivatives, resolve
from ..errors import NoSuchBucket, OssError, ServiceUnavailable, SourceChanged
from ..gate import access
from ..gate.rights import Right
from ..gate.target import PROCESS, Target, check_key
from ..worker.protocol import Job
from . import pages
from .visit import Visit

LIKE = "image/average-hue"  # a process that is planned, admitted and refused in the same way
WIDTH, HEIGHT = 256, 80  # size of the drawing
COLOURS = {"grey": "#8a93a1", "red": "#e5484d", "green": "#2f9e52", "blue": "#3d74d9"}
ENDS = 2  # bins at each end that do not determine the scale, as black and white are frequent


async def picture(visit: Visit) -> web.StreamResponse:
    """Send the drawing, which the object's page loads lazily."""
    key = visit.text("key")
    check_key(key)
    visit.check(Right.READ)
    services, bucket = visit.services, visit.services.registry.get(visit.bucket)
    if bucket is None:
        raise NoSuchBucket("The specified bucket does not exist.")
    target = Target(visit.bucket, key, ((PROCESS, LIKE),))
    try:
        order = await resolve.order(services, access.Grant(bucket, visit.caller), target)
        headers = {
            **pages.HEADERS,
            "Cache-Control": "private, no-cache",
            "ETag": f'{order.source.etag[:-1]}-histogram"',
        }
        if visit.request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        async with services.renderers.lowest():
            services.renderers.check()  # before anything is opened
            with closing(await services.store.open(visit.bucket, order.keys[0])) as opened:
                if opened.object != order.source:  # the ETag is that of what was looked up
                    raise SourceChanged(derivatives.REPLACED)
                job = Job("histogram", LIKE, opened.descriptor, times=opened.times)
                with closing(await services.renderers.render(job)) as done:
                    levels = json.loads(os.pread(done.descriptor, done.size, 0))
    except SourceChanged as error:
        return pages.failure(ServiceUnavailable(error.message))
    except OssError as error:
        return pages.failure(error)
    return web.Response(text=draw(levels), content_type="image/svg+xml", headers=headers)


def draw(levels: Mapping[str, Sequence[int]]) -> str:
    """Draw the counts of each colour as overlapping areas."""
    inner = [count for row in levels.values() for count in row[ENDS:-ENDS]]
    top = max(inner) or max(count for row in levels.values() for count in row) or 1
    areas = "".join(
        f'<path d="{_area(levels[name], top)}" fill="{colour}" fill-opacity="0.45"/>'
        for name, colour in COLOURS.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" preserveAspectRatio="none">{areas}</svg>'
    )


def _area(row: Sequence[int], top: int) -> str:
    step = WIDTH / len(row)
    parts = [f"M0 {HEIGHT}"]
    for at, count in enumerate(row):
        height = HEIGHT * (1 - min(1.0, count / top))
        parts.append(f"L{(at + 0.5) * step:.0f} {height:.1f}")
    return "".join([*parts, f"L{WIDTH} {HEIGHT}Z"])
