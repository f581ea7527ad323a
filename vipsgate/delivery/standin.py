"""Answers with a WebP while an AVIF, which takes longer, is made in the background.

If the bucket has ``avif_in_background``, a client that accepts both formats gets the one that is
quick to make, unless the AVIF is cached. The renderer adds a note if that is a stand-in; then the
AVIF is made at the lowest priority. The two have different names and ETags, so a client that
revalidates the stand-in gets 304 or the AVIF.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import SourceChanged
from ..image import accepting, automatic
from ..image.actions.format import QUICK
from . import derivatives
from .derivatives import LATER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .order import Order
    from .services import Services

BOTH = "-".join(automatic.OFFERED)  # the word for clients that accept both formats


async def sooner(services: Services, order: Order, headers: Mapping[str, str]) -> Order:
    """Return the order itself, or one for the quick picture if that is to be answered first.

    Args:
        services: The services.
        order: The order for the best picture.
        headers: Headers of the request; the order is returned if its picture is revalidated.
    """
    bucket, cache = order.grant.bucket, services.cache
    if not (bucket.avif_in_background and order.offered and order.process and cache):
        return order
    if bucket.strict or automatic.accepted(order.process.actions) != BOTH:
        return order
    best = derivatives.cache_key_of(services, order)
    if derivatives.etag(services, order).strip('"') in headers.get("If-None-Match", ""):
        return order
    if hit := await cache.get(best):
        hit[0].close()
        return order
    quick = accepting.accepted_by(order.process, QUICK, services.settings.limits)
    result = replace(order, process=quick, stand_in=True)
    if hit := await cache.get(derivatives.cache_key_of(services, result)):
        with closing(hit[0]) as entry:
            return replace(result, stand_in=LATER in entry.notes)
    return result


def follow(services: Services, order: Order) -> None:
    """Have the AVIF made in the background, if the order's picture is a stand-in."""
    if not order.stand_in or order.process is None or services.draining.is_set():
        return
    process = accepting.accepted_by(order.process, BOTH, services.settings.limits)
    best = replace(order, process=process, stand_in=False)
    key = derivatives.cache_key_of(services, best)
    services.background.add(key, partial(_make, services, best))


async def _make(services: Services, order: Order) -> None:
    """Make a picture and cache it.

    Raises:
        OssError: It cannot be made now; the next request for it tries again.
    """
    with suppress(SourceChanged):
        async with services.renderers.lowest(counted=False):
            (await derivatives.fetch(services, order)).close()
