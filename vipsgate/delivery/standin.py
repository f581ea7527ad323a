"""A WebP in place of an AVIF that takes long and is not there yet, for a short time.

Where the bucket wants that (``avif_in_background``), a client that takes both formats is answered
with whatever of them is quick, unless the AVIF is there. The renderer tells by a note whether that
is a stand-in; if so the AVIF is made in the lowest lane. The two have names and tags of their own,
so nothing is ever exchanged under a tag, and a client that comes back with that of the stand-in
gets 304 or the AVIF.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..image import accepting, automatic
from ..image.actions.format import QUICK
from . import derivatives
from .derivatives import LATER
from .order import ReplacedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .order import Order
    from .services import Services

BOTH = "-".join(automatic.OFFERED)  # the class of those who may be given either


async def sooner(services: Services, order: Order, headers: Mapping[str, str]) -> Order:
    """The order itself, or that for the picture that can be had without much delay.

    Args:
        services: Where it is looked for.
        order: For the picture at its best.
        headers: Of the request; whoever has that picture keeps it.
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
    """Have the AVIF made for which the order's picture stands in; nothing where it does not."""
    if not order.stand_in or order.process is None or services.draining.is_set():
        return
    process = accepting.accepted_by(order.process, BOTH, services.settings.limits)
    best = replace(order, process=process, stand_in=False)
    key = derivatives.cache_key_of(services, best)
    services.background.add(key, partial(_make, services, best))


async def _make(services: Services, order: Order) -> None:
    """Have a picture kept.

    Raises:
        OssError: It cannot be made now; whoever wants it next has it tried again.
    """
    with suppress(ReplacedError):
        async with services.renderers.lowest(counted=False):
            (await derivatives.fetch(services, order)).close()
