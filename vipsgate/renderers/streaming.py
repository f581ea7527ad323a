"""Pictures whose sources still come: when a worker gets one, and when it is taken back.

A worker that waits for bytes is lost to all others, so one gets such a picture only while it has
nothing else to do, and no sooner than that the rest is there about when it has decoded what came
before: it takes about as long as decoding, not as long as the download. Where bytes are late after
all and others wait, it is given back (:class:`vipsgate.renderers.pool.GivenBack`), and rendered
when all is there, as are several pictures of one source, which then go together.
"""

from __future__ import annotations

import asyncio
import contextlib

from ..image.formats.codecs import HEAD_BYTES
from ..image.formats.streamed import streams
from ..store.arrival import Arrival, Arriving
from ..worker.protocol import Job
from .pool import GivenBack, Renderers
from .result import Result

LEAST = 1 << 20  # bytes of a source that is worth it: a smaller one is decoded within 0.06 s
DECODES = 60e-9  # seconds for a byte of a source, at most: JPEG and PNG 20, progressive JPEG 60


def begins(size: int, seconds_left: float) -> bool:
    """Is it time to decode what is there of a source?

    Args:
        size: Bytes of all of it.
        seconds_left: Until all is there, as predicted.
    """
    return seconds_left <= DECODES * size


async def render(renderers: Renderers, job: Job, content: str, source: Arriving) -> Result:
    """Have a job done, perhaps while its source still comes.

    Args:
        renderers: By whom.
        job: A job to render, which stays the caller's, as ``source`` does.
        content: Names the content of the source; see :meth:`.pool.Renderers.render`.
        source: The source.

    Raises:
        OssError: The source does not come, or see :meth:`.pool.Renderers.render`.
    """
    if await _waits(renderers, source):
        with contextlib.suppress(GivenBack):
            return await _streamed(renderers, job, source)
    await source.whole()
    return await renderers.render(job, content)


async def _waits(renderers: Renderers, source: Arriving) -> bool:
    """Wait until it is time to begin, or all is there; is it time?"""
    arrival = source.arrival
    while not arrival.complete:
        if arrival.arrived >= HEAD_BYTES:
            if not streams(arrival.head(HEAD_BYTES)):
                return False
            if _is_time(arrival) and renderers.quiet:
                return True
        await source.more()
    return False


def _is_time(arrival: Arrival) -> bool:
    """Is there one picture of it, which is to begin? Several are made when all is there."""
    return arrival.openers == 1 and begins(arrival.object.size, arrival.seconds_left())


async def _streamed(renderers: Renderers, job: Job, source: Arriving) -> Result:
    """Have it done now. Nothing is answered before all of the source has come, and was right.

    Raises:
        GivenBack: The worker is for others; the source still comes.
        OssError: The source does not come, or see :meth:`.pool.Renderers.render`.
    """
    work = asyncio.ensure_future(renderers.render(job, arrival=source.arrival))
    whole = asyncio.ensure_future(source.whole())
    try:
        await asyncio.wait({work, whole}, return_when=asyncio.FIRST_COMPLETED)
        if whole.done():
            whole.result()
        result = await work
    except BaseException:
        await _end(work)
        raise
    finally:
        whole.cancel()
    try:
        await source.whole()
    except BaseException:
        result.close()
        raise
    return result


async def _end(work: asyncio.Future[Result]) -> None:
    """Nobody waits for it any more; a result that has come meanwhile is closed."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and not work.exception():
        work.result().close()
