"""Creates the services of a server from its settings: store, cache, renderers, log and traces."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..build import ON_NETWORK, cache_file_system, client_of, shared_of, store_of
from ..cache.disk import Disk
from ..cache.masters import Masters
from ..cache.memory import Memory
from ..cache.tiers import Cache
from ..catalog.documents import Documents
from ..delivery.services import LOOKUPS, Services
from ..errors import OssError
from ..fronts.peers import Peers
from ..observe.accesslog import AccessLog
from ..observe.recorder import Recorder
from ..renderers.painting import PaintingService
from ..renderers.pool import Renderers
from ..settings import Settings, SettingsError
from ..store.base import Store
from ..store.writes import Writes
from ..web import descriptors
from ..web.throttle import BURST, RATE, RateLimit, Throttle

if TYPE_CHECKING:
    from ..observe.traces import Traces

MASTERS = ".masters"  # folder of masters in the cache's folder; not a valid name of a bucket


async def services_of(
    settings: Settings, clock: Callable[[], float] = time.time, peers: Peers | None = None
) -> Services:
    """Return the services of a server with these settings, whose renderers are not started yet.

    Args:
        settings: The settings.
        clock: Returns the time, in seconds since the epoch; the emulator's can be set.
        peers: The other fronts, among which limits are divided; ``None`` if there is only one.

    Raises:
        SettingsError: A log, a cache or a store cannot be opened.
        OssError: The store does not answer.
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
        throttle=Throttle(server.queue_seconds, RateLimit(RATE / fronts, BURST)),
        lookups=RateLimit(LOOKUPS / fronts, BURST),
        peers=peers,
        writes=writes,
        recorder=recorder,
        clock=clock,
    )


def cache_of(settings: Settings, fronts: int = 1) -> Cache | None:
    """Return the cache of the settings, or ``None``.

    Args:
        settings: The settings.
        fronts: The number of fronts, among which its memory is divided.

    Raises:
        SettingsError: Its folder is configured, and cannot be used.
    """
    cache = settings.cache
    if not cache.enabled:
        return None
    disk = None
    folder = _folder(settings)
    if cache.disk_bytes and folder:
        try:
            exact, files = bool(settings.server.accel_redirect), descriptors.cache_files()
            disk = Disk(folder, cache.disk_bytes, exact=exact, open_files=files)
        except OSError as error:
            if cache.dir:
                raise SettingsError(f"cache.dir = {cache.dir!r}: {error.strerror}") from None
            _warn(f"nothing is kept on disk: {folder}: {error.strerror}")
    masters = _masters(settings, folder)
    return Cache(Memory(cache.memory_bytes // fronts), disk, shared_of(settings), masters)


def _folder(settings: Settings) -> Path | None:
    """Return the cache's folder, or ``None``; print a warning if it hangs, or might.

    Raises:
        SettingsError: It is configured, and its file system hangs.
    """
    cache, folder = settings.cache, settings.cache_folder()
    wanted = cache.disk_bytes or (settings.image.masters and cache.master_bytes)
    if not (wanted and folder):
        return None
    try:
        kind = cache_file_system(folder, settings.store.timeout_seconds)
    except OssError:
        if cache.dir:
            raise SettingsError(f"cache.dir = {cache.dir!r}: its file system hangs") from None
        _warn(f"nothing is kept on disk: {folder}: its file system hangs")
        return None
    if kind:
        _warn(f"the cache is on {kind}, {ON_NETWORK}: {folder}")
    return folder


def _masters(settings: Settings, folder: Path | None) -> Masters | None:
    """Return the store of masters, or ``None``."""
    if not (settings.image.masters and settings.cache.master_bytes and folder):
        return None
    try:
        return Masters(folder / MASTERS, settings.cache.master_bytes)
    except OSError as error:
        _warn(f"no masters are kept: {folder / MASTERS}: {error.strerror}")
        return None


def log_of(settings: Settings) -> AccessLog | None:
    """Return the access log of the settings, or ``None``.

    Raises:
        SettingsError: Its file cannot be opened.
    """
    form, path = settings.log.format, settings.log.path
    try:
        return AccessLog(form, path) if path else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"log.path = {path!r}: {reason}") from None


def traces_of(settings: Settings) -> Traces | None:
    """Return the exporter of traces, or ``None``.

    Raises:
        SettingsError: Traces are enabled, and OpenTelemetry is not installed.
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


def _warn(text: str) -> None:
    """Print a warning on standard error, beside the ready line."""
    print(f"vipsgate: {text}", file=sys.stderr, flush=True)
