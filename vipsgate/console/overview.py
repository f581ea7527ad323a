"""The overview: the server's last minutes, and what is wrong with it."""

from __future__ import annotations

import platform
from collections import Counter
from functools import cache
from importlib import metadata

from aiohttp import web

from .. import __version__
from ..gate.rights import Right
from . import chart, pages
from .checkup import CHECKUP
from .history import HISTORY, take
from .visit import Visit

PACKAGES = ("aiohttp", "uvloop", "pydantic", "orjson", "obstore")  # packages in the front


async def page(visit: Visit) -> web.StreamResponse:
    """Show charts, denials by rule, faults and versions."""
    visit.check(Right.RULE)  # it shows all buckets
    services = visit.services
    now = take(services)
    points = visit.request.app[HISTORY].points(now)
    times = [point.time for point in points]
    charts = [
        chart.draw("chart.requests", times, [point.requests for point in points]),
        chart.draw("chart.ratio", times, [point.ratio for point in points], top=100),
        chart.draw(
            "chart.latency",
            times,
            [point.median for point in points],
            [point.slow for point in points],
        ),
        chart.draw("chart.queue", times, [point.waiting for point in points]),
        chart.draw("chart.errors", times, [point.errors for point in points]),
    ]
    denials: Counter[str] = Counter()
    for (_, rule), count in services.recorder.counters.denials.sums.items():
        denials[rule] += int(count)
    state = services.renderers.state()
    return pages.render(
        visit,
        "overview.html",
        charts=charts,
        width=chart.WIDTH,
        height=chart.HEIGHT,
        denials=denials.most_common(),
        faults=sorted(services.registry.faults.items()),
        refused=services.configuration.refused,
        away=services.store.away,
        requests=int(now.requests),
        working=now.working,
        renderers=len(state.memory),
        memory=sum(state.memory),
        starts=state.starts,
        versions=versions(),
        renderer=services.renderers.version,
        checkup=visit.request.app[CHECKUP],
    )


@cache
def versions() -> list[tuple[str, str]]:
    """Return names and versions of the front's components."""
    installed = [(name, metadata.version(name)) for name in PACKAGES]
    system = f"{platform.system()} {platform.release()}"
    return [
        ("vipsgate", __version__),
        ("Python", platform.python_version()),
        *installed,
        ("kernel", system),
    ]
