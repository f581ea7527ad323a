"""Runs a server, or one front of several, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from aiohttp import web

from .. import __version__
from ..catalog import lifecycle, uploads
from ..console.visit import Console
from ..delivery import peer_calls, watch
from ..delivery.services import Services
from ..errors import OssError
from ..fronts.peers import Peers
from ..fronts.scoreboard import MICRO, Column
from ..settings import Settings, SettingsError
from ..store.base import Store
from ..web.descriptors import raise_limit, room_here
from ..web.listener import Listener
from . import admin, aggregate, app, garbage, gauges, systemd
from . import reload as reloading
from .compose import services_of
from .console_key import local_key
from .explain import explain
from .front import FrontContext, heartbeat, last_connections, serve_connections
from .notices import READY, RELOADED

WEBHOOK_SECONDS = 5.0  # time at the end to send the webhooks that wait
log = logging.getLogger(__name__)


async def run(
    settings: Settings,
    reload: Callable[[], Settings],
    ready: Callable[[str, str], None],
    context: FrontContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        settings: The settings.
        reload: Reads the configuration again, on SIGHUP.
        ready: Called with the public address and the console's URL after the ready line is printed;
            the URL is empty if no one can log in.
        context: What a front among several inherits from its parent; ``None`` for a single front.

    Raises:
        StartError: No renderer can be started.
        OSError: A port cannot be bound.
    """
    server, peers = settings.server, context.peers() if context else None
    raise_limit()
    services = await services_of(settings, peers=peers)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM,) if context else (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, services, reload)

    port, limit = app.public(services), server.connections or room_here()
    runner = web.ServerRunner(port, shutdown_timeout=server.drain_seconds)
    if peers:
        public = Listener(runner, counted=partial(peers.publish, Column.CONNECTIONS))
    else:
        public = Listener(runner, limit)
    moment = gauges.Gauges(services, __version__, port, limit)
    console = Console(services, explain, local=context.key if context else local_key(settings))
    private = Listener(admin.runner(services, moment, console, shutdown_timeout=1))
    await services.renderers.start()
    beside = [asyncio.create_task(work) for work in _background(services, context)]
    beside.append(asyncio.create_task(garbage.collect(lambda: port.requests_count)))
    try:
        if context and peers:
            await _join(context, peers, services, reload, moment, public, private, console)
        else:
            shared = server.reuse_port
            address = await public.open(server.host, server.port, shared=shared)
            admin_address = await private.open(server.admin_host, server.admin_port, shared=shared)
            garbage.spare()
            print(f"vipsgate ready on {address} (admin {admin_address})", flush=True)
            console.address = address
            ready(address, _console_url(admin_address, console))
            systemd.tell(systemd.READY, f"STATUS=serving on {address}")
        await stop.wait()
        systemd.tell(systemd.STOPPING, "STATUS=finishing requests in progress")
        services.draining.set()
        services.throttle.release()
        if peers:
            await last_connections(peers)
    finally:
        for task in (*beside, *services.sweeping):
            task.cancel()
        await public.close(server.drain_seconds)
        await private.close(1, linger=0)
        await _close(services)


def _background(
    services: Services, context: FrontContext | None
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield the tasks that run in the background until the server stops."""
    peers, registry = services.peers, services.registry
    yield registry.documents.follow(registry.refresh)
    yield heartbeat(peers) if peers else systemd.live()
    if not (context and peers) or peers.is_leader or context.replaces:
        yield _sweep(services.store)
    if not peers or peers.is_leader:
        yield lifecycle.follow(services.store, registry, services.clock)
        yield watch.follow(registry, services.webhooks)
    if services.cache:
        yield services.cache.follow()


async def _close(services: Services) -> None:
    """Finish the work that no client waits for, and end the renderers."""
    await services.background.close()
    await services.webhooks.close(min(WEBHOOK_SECONDS, services.settings.server.drain_seconds))
    if services.cache:
        await services.cache.close()
    await services.outgoing.close()
    services.recorder.close()
    if services.peers:
        services.peers.publish(Column.ALIVE, 0)
        services.peers.channel.close()
    await services.renderers.close()


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
    await services.registry.documents.look()  # for changes that were not broadcast to this front
    services.registry.refresh()
    garbage.spare()
    url = _console_url(admin_address, console) if admin_address else ""
    peers.channel.notify(context.parent, READY, {"console": url})


def _console_url(address: str, console: Console) -> str:
    """Return the URL to log in at, with a temporary key pair after ``#``, which is never sent.

    It is empty if no one can log in.
    """
    key = console.local
    if key:
        return f"{address}/console/login#{key.access_key_id}:{key.access_key_secret}"
    return f"{address}/console/" if console.credentials() else ""


async def _sweep(store: Store) -> None:
    """Remove temporary files of a server that was killed, in the background."""
    try:
        await store.sweep()
        await uploads.sweep(store, time.time())
    except OssError as error:
        log.error("files of an earlier run cannot be deleted: %s", error)


def _read_again(services: Services, read: Callable[[], Settings]) -> None:
    """Adopt the configuration, and reopen the log; ports and most settings need a restart."""
    systemd.reloading()
    if services.recorder.log:
        services.recorder.log.reopen()
    try:
        refused = reloading.take_over(services, read())
    except SettingsError as error:
        refused = str(error).splitlines()
    except Exception as error:  # the configuration in force is kept, whatever the file contains
        log.exception("the configuration cannot be read")
        refused = [f"it cannot be read: {type(error).__name__}"]
    for reason in refused:
        log.error("the configuration was not changed: %s", reason)
    services.configuration.note(*refused)
    if services.peers:
        services.peers.channel.notify(services.peers.scoreboard.fronts, RELOADED, {})
    systemd.tell(systemd.READY)
