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
from ..delivery import peer_calls, watch
from ..delivery.services import LOOKS, Services
from ..errors import OssError
from ..fronts.peers import Peers
from ..fronts.scoreboard import MICRO, Column
from ..observe.accesslog import AccessLog
from ..observe.recorder import Recorder
from ..renderers.painting import PaintingService
from ..renderers.pool import Renderers
from ..settings import Settings, SettingsError
from ..store.base import Store
from ..store.writes import Writes
from ..web.descriptors import raise_limit, room_here
from ..web.listener import Listener
from ..web.throttle import BURST, RATE, Pace, Throttle
from . import admin, aggregate, app, gauges, systemd
from . import reload as reloading
from .console_key import local_key
from .explain import explain
from .front import FrontContext, heartbeat, last_connections, serve_connections
from .notices import READY, RELOADED

if TYPE_CHECKING:
    from ..observe.traces import Traces

WEBHOOK_SECONDS = 5.0  # at the end, for what caches in front have not been told yet
MASTERS = ".masters"  # the folder of masters, in that of derivatives; no bucket has such a name
GARBAGE = 20_000  # objects that are new before they are looked through
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
    settings: Settings, clock: Callable[[], float] = time.time, peers: Peers | None = None
) -> Services:
    """Return the services of a server with these settings, whose renderers are not started yet.

    Args:
        settings: What to run with.
        clock: Seconds since the epoch; the emulator's can be moved.
        peers: The other fronts, who have a part each; ``None`` where there is one.

    Raises:
        SettingsError: A log, a cache or a store cannot be had.
        OssError: The store is away.
    """
    server, fronts = settings.server, peers.scoreboard.fronts if peers else 1
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
        peers=peers,
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
        peers=peers,
        writes=writes,
        recorder=recorder,
        clock=clock,
    )


async def run(
    settings: Settings,
    reload: Callable[[], Settings],
    ready: Callable[[str, str], None],
    context: FrontContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        settings: What to run with.
        reload: Reads the configuration again, on SIGHUP.
        ready: Told of the public address and of the console's URL, behind the ready line; the URL
            is empty where nobody can log in.
        context: What a front among several inherits from its parent; ``None`` where it is alone.

    Raises:
        StartError: No renderer can be started.
        OSError: A port cannot be had.
    """
    server, peers = settings.server, context.peers() if context else None
    services = await services_of(settings, peers=peers)
    recorder, renderers, store = services.recorder, services.renderers, services.store
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM,) if context else (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, services, reload)

    raise_limit()
    port, limit = app.public(services), server.connections or room_here()
    runner = web.ServerRunner(port, shutdown_timeout=server.drain_seconds)
    if peers:
        public = Listener(runner, counted=partial(peers.publish, Column.CONNECTIONS))
    else:
        public = Listener(runner, limit)
    moment = gauges.Gauges(services, __version__, port, limit)
    console = Console(services, explain, local=context.key if context else local_key(settings))
    private = Listener(admin.runner(services, moment, console, shutdown_timeout=1))
    await renderers.start()
    documents = services.registry.documents
    works: list[Coroutine[Any, Any, None]] = [
        documents.follow(services.registry.refresh),
        heartbeat(peers) if peers else systemd.live(),
    ]
    if not (context and peers) or peers.is_leader or context.replaces:
        works.append(_sweep(store))
    if not peers or peers.is_leader:
        works.append(lifecycle.follow(store, services.registry, services.clock))
        works.append(watch.follow(services.registry, services.webhooks))
    if services.cache:
        works.append(services.cache.follow())
    beside = [asyncio.create_task(work) for work in works]
    try:
        if context and peers:
            await _join(context, peers, services, reload, moment, public, private, console)
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
        if peers:
            await last_connections(peers)
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
        if peers:
            peers.publish(Column.ALIVE, 0)
            peers.channel.close()
        await renderers.close()


async def _join(
    context: FrontContext,
    peers: Peers,
    services: Services,
    reload: Callable[[], Settings],
    moment: gauges.Gauges,
    public: Listener,
    private: Listener,
    console: Console,
) -> None:
    """Begin to serve as one of several fronts, and notify the parent."""
    if context.replaces:  # the configuration may have been read again since the parent has started
        _read_again(services, reload)
    console.address = context.address
    admin_address = await private.open_on(context.admin) if context.admin else ""
    await public.serve()
    serve_connections(peers, public)
    peer_calls.serve(services, peers)
    aggregate.serve(peers, gauges.registry(services.recorder.counters, moment))
    peers.channel.open()
    peers.publish(Column.BEAT, int(time.monotonic() * MICRO))
    peers.publish(Column.ALIVE, 1)
    await services.registry.documents.look()  # what has changed before the others knew of this one
    services.registry.refresh()
    _settle()
    url = _console_url(admin_address, console) if admin_address else ""
    peers.channel.notify(context.parent, READY, {"console": url})


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
    through less often: with 8,000 connections that took a fifth of the front's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


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
    if services.peers:
        services.peers.channel.notify(services.peers.scoreboard.fronts, RELOADED, {})
    systemd.tell(systemd.READY)


def _warn(text: str) -> None:
    """A word to whoever starts the server, beside the ready line."""
    print(f"vipsgate: {text}", file=sys.stderr, flush=True)
