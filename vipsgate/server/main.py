"""From settings to a running server, and to its orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .. import __version__
from ..build import client_of, shared_of, store_of
from ..cache.disk import Disk
from ..cache.masters import Masters
from ..cache.memory import Memory
from ..cache.tiers import Cache
from ..catalog import lifecycle, uploads
from ..catalog.documents import Documents
from ..console.visit import Console
from ..delivery import together, watch
from ..delivery.services import LOOKS, Services
from ..errors import OssError
from ..observe.accesslog import AccessLog
from ..observe.recorder import Recorder
from ..renderers.painting import PaintingService
from ..renderers.pool import Renderers
from ..settings import Settings, SettingsError
from ..siblings.family import Family
from ..siblings.table import MICRO, Column
from ..store.base import Store
from ..store.writes import Writes
from ..web.descriptors import raise_limit, room_here
from ..web.listener import Listener
from ..web.throttle import BURST, RATE, Pace, Throttle
from . import admin, app, gauges, sums, systemd
from . import reload as reloading
from .console_key import local_key
from .explain import explain
from .member import READY, RELOADED, Member, beat, last_connections, take_connections

if TYPE_CHECKING:
    from ..observe.traces import Traces

WEBHOOK_SECONDS = 5.0  # at the end, for what caches in front have not been told yet
MASTERS = ".masters"  # the folder of masters, in that of derivatives; no bucket has such a name
GARBAGE = 250_000  # objects that are there more than before, until the new ones are looked through
KEPT = 50  # such looks before there is one at the objects that they have kept
log = logging.getLogger(__name__)


def cache_of(settings: Settings, fronts: int = 1) -> Cache | None:
    """The cache that the settings name; ``None`` for none.

    Args:
        settings: Which one.
        fronts: How many share the memory that it may take.

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
            disk = Disk(folder, cache.disk_bytes, exact=bool(settings.server.accel_redirect))
        except OSError as error:
            if cache.dir:
                raise SettingsError(f"cache.dir = {cache.dir!r}: {error.strerror}") from None
            _warn(f"nothing is kept on disk: {folder}: {error.strerror}")
    return Cache(
        Memory(cache.memory_bytes // fronts), disk, shared_of(settings), masters_of(settings)
    )


def masters_of(settings: Settings) -> Masters | None:
    """Where masters of large sources are kept; ``None`` where none are."""
    folder = settings.cache_folder()
    if not (settings.image.masters and settings.cache.master_bytes and folder):
        return None
    try:
        return Masters(folder / MASTERS, settings.cache.master_bytes)
    except OSError as error:
        _warn(f"no masters are kept: {folder / MASTERS}: {error.strerror}")
        return None


def log_of(settings: Settings) -> AccessLog | None:
    """The access log that the settings name; ``None`` for none.

    Raises:
        SettingsError: Its file cannot be had.
    """
    form, path = settings.log.format, settings.log.path
    try:
        return AccessLog(form, path) if path else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"log.path = {path!r}: {reason}") from None


def traces_of(settings: Settings) -> Traces | None:
    """Where spans go; ``None`` where there shall be none.

    Raises:
        SettingsError: There shall be, and OpenTelemetry is not installed.
    """
    if not settings.traces.enabled:
        return None
    try:
        from ..observe.traces import otlp
    except ImportError as error:
        raise SettingsError(
            f"traces.enabled = true: {error}; pip install 'vipsgate[otel]'"
        ) from None
    return otlp(__version__)


async def services_of(
    settings: Settings, clock: Callable[[], float] = time.time, family: Family | None = None
) -> Services:
    """Return the services of a server with these settings, whose renderers are not started yet.

    Args:
        settings: What to run with.
        clock: Seconds since the epoch; the emulator's can be moved.
        family: The other fronts, who have a part each; ``None`` where there is one.

    Raises:
        SettingsError: A log, a cache or a store cannot be had.
        OssError: The store is away.
    """
    server, fronts = settings.server, family.table.fronts if family else 1
    recorder = Recorder(log_of(settings), traces_of(settings))
    renderers = Renderers(
        count=-(-settings.renderer_count() // fronts),
        queue=server.queue,
        queue_seconds=server.queue_seconds,
        queue_bytes=server.queue_bytes // fronts,
        timeout=server.request_timeout,
        ceiling=server.renderer_bytes,
        job_memory=settings.limits.render_bytes,
        memory=settings.heavy_memory_bytes(),
        settings={"limits": asdict(settings.limits), "image": asdict(settings.image)},
        family=family,
    )
    outgoing = client_of(settings)
    writes = Writes()
    origins = store_of(settings, PaintingService(renderers, settings.limits), outgoing, writes)
    store: Store = recorder.store(origins)
    documents = Documents(store, settings.limits, origins.beneath)
    await documents.look()
    cache = cache_of(settings, fronts)
    if cache:
        await cache.look(far=True)
    return Services.of(
        settings,
        store,
        renderers,
        documents,
        cache=cache,
        origins=origins,
        outgoing=outgoing,
        throttle=Throttle(server.queue_seconds, Pace(RATE / fronts, BURST)),
        looks=Pace(LOOKS / fronts, BURST),
        family=family,
        writes=writes,
        recorder=recorder,
        clock=clock,
    )


async def run(
    settings: Settings,
    reload: Callable[[], Settings],
    ready: Callable[[str, str], None],
    member: Member | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        settings: What to run with.
        reload: Reads the configuration again, on SIGHUP.
        ready: Told of the public address and of the console's URL, behind the ready line; the URL
            is empty where nobody can log in.
        member: What a front among several is given by its parent; ``None`` where it is alone.

    Raises:
        StartError: No renderer can be started.
        OSError: A port cannot be had.
    """
    server, family = settings.server, member.family() if member else None
    services = await services_of(settings, family=family)
    recorder, renderers, store = services.recorder, services.renderers, services.store
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM,) if member else (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, services, reload)

    raise_limit()
    port, limit = app.public(services), server.connections or room_here()
    runner = web.ServerRunner(port, shutdown_timeout=server.drain_seconds)
    if family:
        public = Listener(runner, counted=partial(family.tell, Column.CONNECTIONS))
    else:
        public = Listener(runner, limit)
    moment = gauges.Gauges(services, __version__, port, limit)
    console = Console(services, explain, local=member.key if member else local_key(settings))
    private = Listener(admin.runner(services, moment, console, shutdown_timeout=1))
    await renderers.start()
    documents = services.registry.documents
    works: list[Coroutine[Any, Any, None]] = [
        documents.follow(services.registry.refresh),
        beat(family) if family else systemd.live(),
    ]
    if not (member and family) or family.leads or member.replaces:
        works.append(_sweep(store))
    if not family or family.leads:
        works.append(lifecycle.follow(store, services.registry, services.clock))
        works.append(watch.follow(services.registry, services.webhooks))
    if services.cache:
        works.append(services.cache.follow())
    beside = [asyncio.create_task(work) for work in works]
    try:
        if member and family:
            await _join(member, family, services, reload, moment, public, private, console)
        else:
            shared = server.reuse_port
            address = await public.open(server.host, server.port, shared=shared)
            admin_address = await private.open(server.admin_host, server.admin_port, shared=shared)
            _settle()
            print(f"vipsgate ready on {address} (admin {admin_address})", flush=True)
            console.address = address
            ready(address, _console_url(admin_address, console))
            systemd.tell(systemd.READY, f"STATUS=serving on {address}")
        await stop.wait()
        systemd.tell(systemd.STOPPING, "STATUS=finishing what is under way")
        services.draining.set()
        services.throttle.release()
        if family:
            await last_connections(family)
    finally:
        for task in (*beside, *services.sweeping):
            task.cancel()
        await public.close(server.drain_seconds)
        await private.close(1, linger=0)
        await services.later.close()
        await services.webhooks.close(min(WEBHOOK_SECONDS, server.drain_seconds))
        if services.cache:
            await services.cache.close()
        await services.outgoing.close()
        recorder.close()
        if family:
            family.tell(Column.ALIVE, 0)
            family.post.close()
        await renderers.close()


async def _join(
    member: Member,
    family: Family,
    services: Services,
    reload: Callable[[], Settings],
    moment: gauges.Gauges,
    public: Listener,
    private: Listener,
    console: Console,
) -> None:
    """Be a front among others, and have the parent know."""
    if member.replaces:  # the configuration may have been read again since the parent has started
        _read_again(services, reload)
    console.address = member.address
    admin_address = await private.open_on(member.admin) if member.admin else ""
    await public.serve()
    take_connections(family, public)
    together.answer(services, family)
    sums.answer(family, gauges.registry(services.recorder.counters, moment))
    family.post.open()
    family.tell(Column.BEAT, int(time.monotonic() * MICRO))
    family.tell(Column.ALIVE, 1)
    await services.registry.documents.look()  # what has changed before the others knew of this one
    services.registry.refresh()
    _settle()
    url = _console_url(admin_address, console) if admin_address else ""
    family.post.tell(member.parent, READY, {"console": url})


def _console_url(address: str, console: Console) -> str:
    """Where to log in; behind the ``#``, which no browser sends, the key pair of this run."""
    key = console.local
    if key:
        return f"{address}/console/login#{key.access_key_id}:{key.access_key_secret}"
    return f"{address}/console/" if console.credentials() else ""


async def _sweep(store: Store) -> None:
    """Take away what a sudden end has left; requests need not wait for that."""
    try:
        await store.sweep()
        await uploads.sweep(store, time.time())
    except OssError as error:
        log.error("what was left behind cannot be taken away: %s", error)


def _settle() -> None:
    """What is there by now stays, and is not looked through for garbage again and again.

    A full collection of it takes 20 ms, in which nobody is answered. What comes later is looked
    through seldom: answers leave no garbage, and with 8,000 connections there are 600,000
    objects in use, so that a look takes 0.1 to 0.3 s, in which nobody is answered either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, KEPT)


def _read_again(services: Services, read: Callable[[], Settings]) -> None:
    """Take over the buckets, begin a new log; what was bound at the start needs another start."""
    systemd.reloading()
    if services.recorder.log:
        services.recorder.log.reopen()
    try:
        refused = reloading.take_over(services, read())
    except SettingsError as error:
        refused = str(error).splitlines()
    except Exception as error:  # whatever is in the file, what is in force stays so
        log.exception("the configuration cannot be read")
        refused = [f"it cannot be read: {type(error).__name__}"]
    for reason in refused:
        log.error("the configuration is kept as it was: %s", reason)
    services.configuration.note(*refused)
    if services.family:
        services.family.post.tell(services.family.table.fronts, RELOADED, {})
    systemd.tell(systemd.READY)


def _warn(text: str) -> None:
    """A word to whoever starts the server, beside the ready line."""
    print(f"vipsgate: {text}", file=sys.stderr, flush=True)
