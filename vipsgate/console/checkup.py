"""Runs ``vipsgate check`` on this machine, with the settings of this server.

It loads libvips and tries the store, so it is a separate process: a front must not load libvips,
and a renderer has no network and no files. It is started by a visitor, one at a time, with less
priority than the renderers. Its findings are shown until the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import orjson
from aiohttp import web

from ..gate.rights import Right
from ..settings import Settings
from . import pages
from .visit import Visit

COMMAND = (sys.executable, "-m", "vipsgate", "check", "--json", "--of-server")
TIMEOUT = 120.0  # seconds; 5 are usual
MAX_FINDINGS = 500
MAX_DETAIL = 500  # characters of a detail


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check.

    Attributes:
        what: What was tried.
        works: Whether it works; ``None`` for an optional part that is not installed or off.
        detail: A version, a size, or the reason of a failure.
    """

    what: str
    works: bool | None
    detail: str


class Checkup:
    """The last check, and its process.

    Attributes:
        findings: Its findings so far.
        begun: When it began, in seconds since the epoch; 0 for never.
        ended: Whether it has ended by itself.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.begun = 0.0
        self.ended = False
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a check is running."""
        return self._task is not None and not self._task.done()

    def begin(self, settings: Settings, now: float) -> None:
        """Begin a check, unless one is running."""
        if not self.running:
            self.findings, self.begun, self.ended = [], now, False
            self._task = asyncio.create_task(self._run(settings))

    async def cancel(self) -> None:
        """End the check that is running."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def sorted(self) -> list[Finding]:
        """Return the findings: failures first, then optional parts that are absent."""
        return sorted(self.findings, key=lambda item: {False: 0, None: 1, True: 2}[item.works])

    async def _run(self, settings: Settings) -> None:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # so that its children are ended with it
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                assert process.stdin
                assert process.stdout
                process.stdin.write(settings.model_dump_json().encode())
                process.stdin.close()
                async for line in process.stdout:
                    self._add(line)
                await process.wait()
            self.ended = process.returncode in (0, 1) and bool(self.findings)
        except (TimeoutError, ValueError, OSError):
            pass  # the page says that it has not ended
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _add(self, line: bytes) -> None:
        values = orjson.loads(line)
        if len(self.findings) < MAX_FINDINGS:
            detail = str(values["detail"])[:MAX_DETAIL]
            self.findings.append(Finding(str(values["what"]), values["works"], detail))


CHECKUP = web.AppKey("checkup", Checkup)


async def post(visit: Visit) -> web.StreamResponse:
    """Begin a check, or cancel the one that is running."""
    visit.check(Right.RULE)
    checkup = visit.request.app[CHECKUP]
    if visit.text("do") == "cancel":
        await checkup.cancel()
    else:
        checkup.begin(visit.services.settings, visit.services.clock())
    raise web.HTTPSeeOther(pages.link("overview") + "#checkup")


def keep() -> Callable[[web.Application], AsyncIterator[None]]:
    """Context of the application that ends a check with it."""

    async def checks(app: web.Application) -> AsyncIterator[None]:
        yield
        await app[CHECKUP].cancel()

    return checks
