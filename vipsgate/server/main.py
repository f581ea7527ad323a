"""From settings to a running server, and to its orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING

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
from ..delivery import watch
from ..delivery.services import Services
from ..errors import OssError
from ..gate.sign import Credential
from ..observe.accesslog import AccessLog
from ..observe.recorder import Recorder
from ..renderers.painting import PaintingService
from ..renderers.pool import Renderers
from ..settings import Settings, SettingsError
from ..store.base import Store
from ..web.listener import Listener, room_here
from ..web.throttle import Throttle
from . import admin, app, gauges, systemd
from . import reload as reloading
from .explain import explain

if TYPE_CHECKING:
    from ..observe.traces import Traces

DESCRIPTORS = 65536  # that this process may hold, where the system lets it
WEBHOOK_SECONDS = 5.0  # at the end, for what caches in front have not been told yet
MASTERS = ".masters"  # the folder of masters, in that of derivatives; no bucket has such a name
GARBAGE = 20_000  # objects that are new before they are looked through
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
            disk = Disk(folder, cache.disk_bytes, exact=bool(settings.server.accel_redirect))
        except OSError as error:
            if cache.dir:
                raise SettingsError(f"cache.dir = {cache.dir!r}: {error.strerror}") from None
            note(f"nothing is kept on disk: {folder}: {error.strerror}")
    return Cache(Memory(cache.memory_bytes), disk, shared_of(settings), masters_of(settings))


def masters_of(settings: Settings) -> Masters | None:
    """Where masters of large sources are kept; ``None`` where none are."""
    folder = settings.cache_folder()
    if not (settings.image.masters and settings.cache.master_bytes and folder):
        return None
    try:
        return Masters(folder / MASTERS, settings.cache.master_bytes)
    except OSError as error:
        note(f"no masters are kept: {folder / MASTERS}: {error.strerror}")
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


async def services_of(settings: Settings, clock: Callable[[], float] = time.time) -> Services:
    """Return the services of a server with these settings, whose renderers are not started yet.

    Args:
        settings: What to run with.
        clock: Seconds since the epoch; the emulator's can be moved.

    Raises:
        SettingsError: A log, a cache or a store cannot be had.
        OssError: The store is away.
    """
    server = settings.server
    recorder = Recorder(log_of(settings), traces_of(settings))
    renderers = Renderers(
        count=settings.renderer_count(),
        queue=server.queue,
        queue_seconds=server.queue_seconds,
        queue_bytes=server.queue_bytes,
        timeout=server.request_timeout,
        ceiling=server.renderer_bytes,
        job_memory=settings.limits.render_bytes,
        memory=settings.heavy_memory_bytes(),
        settings={"limits": asdict(settings.limits), "image": asdict(settings.image)},
    )
    outgoing = client_of(settings)
    origins = store_of(settings, PaintingService(renderers, settings.limits), outgoing)
    store: Store = recorder.store(origins)
    documents = Documents(store, settings.limits, origins.beneath)
    await documents.look()
    cache = cache_of(settings)
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
        throttle=Throttle(server.queue_seconds),
        recorder=recorder,
        clock=clock,
    )


async def run(
    settings: Settings, reload: Callable[[], Settings], ready: Callable[[str, str], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        settings: What to run with.
        reload: Reads the configuration again, on SIGHUP.
        ready: Told of the public address and of the console's URL, behind the ready line; the URL
            is empty where nobody can log in.

    Raises:
        StartError: No renderer can be started.
        OSError: A port cannot be had.
    """
    server, services = settings.server, await services_of(settings)
    recorder, renderers, store = services.recorder, services.renderers, services.store
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, services, reload)

    _raise_limit()
    port, limit = app.public(services), server.connections or room_here()
    public = Listener(web.ServerRunner(port, shutdown_timeout=server.drain_seconds), limit)
    moment = gauges.Gauges(services, __version__, port, limit)
    console = Console(services, explain, local=_local_key(settings))
    private = Listener(admin.runner(services, moment, console, shutdown_timeout=1))
    await renderers.start()
    documents = services.registry.documents
    beside = [
        asyncio.create_task(documents.follow(services.registry.refresh)),
        asyncio.create_task(_sweep(store)),
        asyncio.create_task(lifecycle.follow(store, services.registry, services.clock)),
        asyncio.create_task(systemd.live()),
        asyncio.create_task(watch.follow(services.registry, services.webhooks)),
    ]
    if services.cache:
        beside.append(asyncio.create_task(services.cache.follow()))
    try:
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
        await renderers.close()


def _console_url(address: str, console: Console) -> str:
    """Where to log in; behind the ``#``, which no browser sends, the key pair of this run."""
    key = console.local
    if key:
        return f"{address}/console/login#{key.access_key_id}:{key.access_key_secret}"
    return f"{address}/console/" if console.credentials() else ""


def _local_key(settings: Settings) -> Credential | None:
    """A key pair for the console of this run, where nobody has one and only this machine connects.

    Without it either nobody could use the console of a demo, or every user and every web page of
    the machine could. It is told on the terminal alone, and good for nothing but the console.
    """
    host = settings.server.admin_host
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if settings.credentials or not local:
        return None
    return Credential("console", secrets.token_urlsafe(24), "owner")


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


def _raise_limit() -> None:
    """As many open files as may be: a request holds three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


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
    systemd.tell(systemd.READY)


def note(text: str) -> None:
    """A word to whoever starts the server, beside the ready line."""
    print(f"vipsgate: {text}", file=sys.stderr, flush=True)
