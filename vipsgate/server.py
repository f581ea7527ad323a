"""From settings to a running server, and to its orderly end."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web

from . import app, uploads
from .cache.disk import Disk
from .cache.memory import Memory
from .cache.tiers import Cache
from .documents import Documents
from .errors import OssError
from .house import House
from .renderers import Renderers
from .settings import Settings, SettingsError
from .store.base import Store
from .stores import shared_of, store_of

DESCRIPTORS = 65536  # that this process may hold, where the system lets it
LINE_BYTES = 32768  # of a request line or header; a watermark's text and styles fit many times
HTTP = {
    "keepalive_timeout": 75.0,  # seconds; nginx's own default
    "max_line_size": LINE_BYTES,
    "max_field_size": LINE_BYTES,
    "access_log": None,
}
log = logging.getLogger(__name__)


def cache_of(settings: Settings) -> Cache | None:
    """The cache that the settings name; ``None`` for none.

    Raises:
        SettingsError: Its folder is named, and cannot be had.
    """
    cache = settings.cache
    if not cache.enabled:
        return None
    disk = None
    folder = settings.cache_folder()
    if cache.disk_bytes and folder:
        try:
            disk = Disk(folder, cache.disk_bytes)
        except OSError as error:
            if cache.dir:
                raise SettingsError(f"cache.dir = {cache.dir!r}: {error.strerror}") from None
            note(f"nothing is kept on disk: {folder}: {error.strerror}")
    return Cache(Memory(cache.memory_bytes), disk, shared_of(settings))


async def run(
    settings: Settings, reload: Callable[[], Settings], ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        settings: What to run with.
        reload: Reads the configuration again, on SIGHUP.
        ready: Told of the public address, behind the ready line.

    Raises:
        StartError: No renderer can be started.
        OSError: A port cannot be had.
    """
    server = settings.server
    store = store_of(settings)
    renderers = Renderers(
        count=settings.renderer_count(),
        queue=server.queue,
        timeout=server.request_timeout,
        ceiling=server.renderer_bytes,
        most=settings.limits.render_bytes,
        memory=settings.dear_bytes(),
        settings={"limits": asdict(settings.limits), "image": asdict(settings.image)},
    )
    documents = Documents(store, settings.limits)
    await documents.look()
    house = House(settings, store, renderers, documents, cache_of(settings))
    house.furnish(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, house, reload)

    public = web.ServerRunner(app.public(house, **HTTP), shutdown_timeout=server.drain_seconds)
    admin = web.AppRunner(app.admin(house), access_log=None, shutdown_timeout=1)
    _raise_limit()
    await renderers.start()
    beside = [
        asyncio.create_task(documents.follow(house.name_domains)),
        asyncio.create_task(_sweep(store)),
    ]
    try:
        address = await _listen(public, server.host, server.port, server.reuse_port)
        private = await _listen(admin, server.admin_host, server.admin_port, server.reuse_port)
        print(f"vipsgate ready on {address} (admin {private})", flush=True)
        ready(address)
        await stop.wait()
        house.draining = True
    finally:
        for task in beside:
            task.cancel()
        await _finish(public, server.drain_seconds)
        await _finish(admin, 1)
        if house.cache:
            await house.cache.close()
        await renderers.close()


async def _sweep(store: Store) -> None:
    """Take away what a sudden end has left; requests need not wait for that."""
    try:
        await store.sweep()
        await uploads.sweep(store, time.time())
    except OssError as error:
        log.error("what was left behind cannot be taken away: %s", error)


async def _finish(runner: web.BaseRunner, seconds: float) -> None:
    """Stop to listen, and wait for what is under way; aiohttp by itself waits twice as long."""
    cleaning = asyncio.ensure_future(runner.cleanup())
    await asyncio.wait({cleaning}, timeout=seconds)
    cleaning.cancel()
    await asyncio.wait({cleaning})


async def _listen(runner: web.BaseRunner, host: str, port: int, reuse: bool) -> str:
    await runner.setup()
    site = web.TCPSite(runner, host, port, reuse_port=reuse or None, backlog=1024)
    await site.start()
    where, number = runner.addresses[0][:2]
    return f"http://[{where}]:{number}" if ":" in where else f"http://{where}:{number}"


def _raise_limit() -> None:
    """As many open files as may be: a request holds three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _read_again(house: House, reload: Callable[[], Settings]) -> None:
    """Take over the buckets; what was bound at the start needs another start."""
    try:
        house.furnish(reload())
    except SettingsError as error:
        log.error("the configuration is kept as it was: %s", error)


def note(text: str) -> None:
    """A word to whoever starts the server, beside the ready line."""
    print(f"vipsgate: {text}", file=sys.stderr, flush=True)
