"""Pictures whose sources are still arriving: when a worker gets one, and when it gives it back.

A worker that waits for bytes is lost to other jobs, so it gets such a picture only when no other
job waits, and only when the rest is predicted to arrive by the time it has decoded the beginning:
it is then busy for about as long as decoding takes, not as long as the download. If bytes are late
and other jobs wait, the job is given back (:class:`vipsgate.renderers.pool.GivenBack`) and rendered
when the source is complete. Several pictures of one source wait for that as well, and go together.
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

LEAST = 1 << 20  # bytes of a source: decoding a smaller one takes 0.06 s at most
DECODES = 60e-9  # seconds per byte of a source, at most: JPEG and PNG 20e-9, progressive JPEG 60e-9


def begins(size: int, seconds_left: float) -> bool:
    """Return whether to begin decoding a source that is still arriving.

    Args:
        size: Size of the whole source, in bytes.
        seconds_left: Predicted seconds until it is complete.
    """
    return seconds_left <= DECODES * size


async def render(renderers: Renderers, job: Job, content: str, source: Arriving) -> Result:
    """Have a job done, if possible while its source is still arriving.

    Args:
        renderers: The pool.
        job: The job; it belongs to the caller, as ``source`` does.
        content: Identifies the content of the source; see :meth:`.pool.Renderers.render`.
        source: The source.

    Raises:
        OssError: The source has failed to arrive, or see :meth:`.pool.Renderers.render`.
    """
    if await _waits(renderers, source):
        with contextlib.suppress(GivenBack):
            return await _streamed(renderers, job, source)
    await source.whole()
    return await renderers.render(job, content)


async def _waits(renderers: Renderers, source: Arriving) -> bool:
    """Wait until it is time to begin or the source is complete; return whether it is time."""
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
    """Return whether to begin the only picture of a source; several wait for all of it."""
    return arrival.openers == 1 and begins(arrival.object.size, arrival.seconds_left())


async def _streamed(renderers: Renderers, job: Job, source: Arriving) -> Result:
    """Render now, and return the result when the source has arrived in full and is intact.

    Raises:
        GivenBack: Other jobs need the worker, and the source is still arriving.
        OssError: The source has failed to arrive, or see :meth:`.pool.Renderers.render`.
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
    """Cancel work that is not awaited any more, and close a result that it may have."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and not work.exception():
        work.result().close()
