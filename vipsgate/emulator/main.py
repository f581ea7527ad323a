"""The process of the emulator: a server on a temporary folder, which is deleted at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from .. import __version__
from ..catalog import lifecycle
from ..console.visit import Console
from ..delivery.services import Services
from ..server import admin, app, gauges
from ..server.compose import services_of
from ..server.explain import explain
from ..settings import Credential, Settings, load
from ..web.descriptors import room_here
from ..web.listener import Listener
from ..web.server import Runner, Server
from .buckets import Buckets, Folder
from .clock import Clock
from .control import Control, middleware
from .faults import Faults
from .handler import Handler
from .requests import Requests

KEY_ID, SECRET = "emulator", "emulator-secret"  # not secret: the server ends with the tests
POLL_INTERVAL = 0.5  # seconds between two checks of the parent, without pidfd
CLOSE_SECONDS = 0.2  # seconds for answers that are just being sent


def settings_of(folder: Folder, config: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Return the settings of an emulator.

    Args:
        folder: The folder of its buckets.
        config: A ``vipsgate.toml`` with further settings; its credentials are used if there are
            any.
        flags: ``host``, ``port``, ``admin_port``, ``renderers``.

    Raises:
        SettingsError: The settings are not valid.
    """
    rows = {
        "server": dict(flags),
        "store": {"url": folder.root.as_uri()},
        "cache": {"disk_bytes": 0, "url": ""},
    }
    settings = load(config, rows)
    if settings.credentials:
        return settings
    credential = Credential(access_key_id=KEY_ID, access_key_secret=SECRET)
    return settings.model_copy(update={"credentials": (credential,)})


async def run(
    folder: Folder, settings: Settings, parent: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent is gone.

    Args:
        folder: The folder of the buckets, which is filled here.
        settings: The settings.
        parent: Id of the process that the emulator ends with; 0 for none.
        ready: Called with the ready line.

    Raises:
        OssError: The seed has a document that cannot be read.
        OSError: A port cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    watching = asyncio.create_task(end_with(parent, stop)) if parent else None

    folder.fill()
    clock, faults, requests = Clock(), Faults(), Requests()
    services = await services_of(settings, clock)
    port = app.public(services, Handler(faults, requests).answer)
    public = Listener(web.ServerRunner(port, shutdown_timeout=CLOSE_SECONDS), room_here())
    about: dict[str, str] = {}
    buckets = Buckets(services, folder)
    control = Control(about, clock, faults, requests, buckets, partial(_due, services))
    private = Listener(_admin(services, control, port))
    try:
        about |= {
            "endpoint": await public.open(settings.server.host, settings.server.port, shared=False),
            "admin": await private.open(
                settings.server.admin_host, settings.server.admin_port, shared=False
            ),
            "access_key_id": settings.credentials[0].access_key_id,
            "access_key_secret": settings.credentials[0].access_key_secret,
            "region": settings.server.region,
            "folder": str(folder.path),
        }
        ready(orjson.dumps(about).decode())
        await stop.wait()
    finally:
        services.draining.set()
        await public.close(CLOSE_SECONDS, linger=0)
        await private.close(CLOSE_SECONDS, linger=0)
        if watching:
            watching.cancel()
        await services.outgoing.close()
        services.recorder.close()
        await services.background.close()
        await services.renderers.close()


def _admin(services: Services, control: Control, port: Server) -> Runner:
    """Return the application of the admin port, with the emulator's API in front."""
    moment = gauges.Gauges(services, __version__, port, room_here())
    application = admin.application(services, moment, Console(services, explain))
    application.middlewares.insert(0, middleware(control))
    return admin.run(application, shutdown_timeout=CLOSE_SECONDS)


async def _due(services: Services) -> None:
    """Abort the uploads that are due, as a server does once an hour."""
    rules = lifecycle.rules_of(services.registry)
    await lifecycle.sweep(services.store, rules, services.clock())


async def end_with(parent: int, stop: asyncio.Event) -> None:
    """Set ``stop`` when a process has ended, for whatever reason."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        stop.set()
        return
    except OSError:  # the kernel has no pidfd
        while os.path.exists(f"/proc/{parent}"):
            await asyncio.sleep(POLL_INTERVAL)
        stop.set()
        return
    try:
        loop.add_reader(descriptor, gone.set)
        await gone.wait()
        stop.set()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
