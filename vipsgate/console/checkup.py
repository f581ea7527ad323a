"""What ``vipsgate check`` says of this machine, with the settings of this server.

It loads libvips and tries the store, so it is a process of its own: the front never has the one,
and a renderer, which has no network and no files, cannot do the other. It is begun by hand, one at
a time, with less priority than the renderers; what it has said is shown until the next one.
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
MAX_DETAIL = 500  # characters of one


@dataclass(frozen=True, slots=True)
class Finding:
    """One of its lines.

    Attributes:
        what: What was tried.
        works: Whether it did; ``None`` for an optional part that is not installed.
        detail: A version, a size, or the reason why not.
    """

    what: str
    works: bool | None
    detail: str


class Checkup:
    """The newest check, and the process that makes it.

    Attributes:
        findings: So far.
        begun: When, in seconds since the epoch; 0 for never.
        ended: Whether it came to its end.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.begun = 0.0
        self.ended = False
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    def begin(self, settings: Settings, now: float) -> None:
        """Begin one, where none is under way."""
        if not self.running:
            self.findings, self.begun, self.ended = [], now, False
            self._task = asyncio.create_task(self._run(settings))

    async def cancel(self) -> None:
        """End the one that is under way."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def sorted(self) -> list[Finding]:
        """What does not work first, then what is absent."""
        return sorted(self.findings, key=lambda item: {False: 0, None: 1, True: 2}[item.works])

    async def _run(self, settings: Settings) -> None:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # it has children of its own
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
            pass  # it has not ended, and that is told
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
    """Begin a check, or cancel the one under way."""
    visit.check(Right.RULE)
    checkup = visit.request.app[CHECKUP]
    if visit.text("do") == "cancel":
        await checkup.cancel()
    else:
        checkup.begin(visit.services.settings, visit.services.clock())
    raise web.HTTPSeeOther(pages.link("overview") + "#checkup")


def keep() -> Callable[[web.Application], AsyncIterator[None]]:
    """What ends a check with the application."""

    async def checks(app: web.Application) -> AsyncIterator[None]:
        yield
        await app[CHECKUP].cancel()

    return checks
