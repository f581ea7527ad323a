"""The parent of several fronts: starts them, passes connections to them, and ends them in order.

It reads no byte of a request and runs no event loop, so that little can go wrong: if this process
ends, the server ends. Processes are handled in :mod:`.processes`, connections in :mod:`.acceptor`.

A front that ends is replaced at once, and one that has sent no heartbeat for too long is killed.
Messages that it has not read are read by the front that replaces it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..fronts import claims
from ..fronts.channel import LOST, message, open_sockets
from ..fronts.scoreboard import MICRO, Column, Scoreboard
from ..settings import Settings, SettingsError
from ..web import ports
from ..web.descriptors import raise_limit, room_here
from ..worker import protocol
from . import child, notices, systemd
from .acceptor import Acceptor
from .child import FrontError
from .console_key import local_key
from .front import FrontContext
from .processes import Fronts
from .signals import Signals

START_SECONDS = 60.0  # for all fronts to be ready
TICK = 0.25  # seconds between two checks of what no event announces
STOP_SECONDS = 1.0  # for all fronts to confirm that they stop, before the port is closed
LATE_SECONDS = 2.0  # beyond its drain that a front has to end
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

log = logging.getLogger(__name__)


def run(
    settings: Settings, reload: Callable[[], Settings], show: Callable[[str, str], None]
) -> None:
    """Run a server with several fronts, until it is told to stop; see :class:`Parent`.

    Args:
        settings: The settings.
        reload: Reads the configuration again, in each front, on SIGHUP.
        show: Called with the public address and the console's URL after the ready line is printed.

    Raises:
        SettingsError: A front cannot run with these settings.
        FrontError: A front cannot be started.
        OSError: A port cannot be bound.
    """

    def front(about: FrontContext) -> None:
        import uvloop

        from ..errors import OssError
        from ..renderers.workers import StartError
        from . import main

        try:
            uvloop.run(main.run(settings, reload, lambda *_: None, about))
        except (StartError, OssError, OSError) as error:
            raise FrontError(str(error)) from None

    Parent(settings, front, show).run()


class Parent:
    """The parent process.

    Args:
        settings: The settings.
        front: Runs a front, in a child process.
        show: Called with the public address and the console's URL when all fronts are ready.

    Raises:
        OSError: A port cannot be bound.
    """

    def __init__(
        self,
        settings: Settings,
        front: Callable[[FrontContext], None],
        show: Callable[[str, str], None],
    ) -> None:
        raise_limit()
        self._settings, self._run_front, self._show = settings, front, show
        count = settings.front_count()
        self._scoreboard = Scoreboard(count)
        self._fronts = Fronts(count, self._be)
        self._inboxes, self._outboxes = open_sockets(count)
        self._key = local_key(settings)
        self._stopping = self._serving = self._reloading = False
        self._unaware: set[int] = set()  # processes that have not confirmed yet that they stop
        self._unread: set[int] = set()  # processes that have not read the configuration again yet
        self._signals = Signals(SIGNALS)
        self._watchdog = systemd.Watchdog()
        server = settings.server
        shared = server.reuse_port
        self._public = ports.bind(server.host, server.port, shared=shared)
        self._admin = ports.bind(server.admin_host, server.admin_port, shared=shared)
        self._address, self._admin_address = map(
            ports.address_of, (self._public[0], self._admin[0])
        )
        limit = server.connections or count * room_here()
        self._acceptor = Acceptor(self._public, self._scoreboard, limit, self._notify)
        self._console = ""

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish the requests under way.

        Raises:
            FrontError: A front cannot be started.
        """
        with self._signals:
            try:
                self._fronts.start_due()
                self._until(self._fronts.all_ready, START_SECONDS)
                if not self._stopping:
                    self._open()
                    self._until(lambda: self._stopping, None)
            finally:
                self._end()

    # -- the loop --------------------------------------------------------------------------------

    def _until(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Handle events until ``done`` returns true, or the server is to stop.

        Args:
            done: The condition.
            seconds: The longest time to wait; ``None`` for no limit.

        Raises:
            FrontError: A front has failed, or the time is up.
        """
        end = time.monotonic() + seconds if seconds else None
        while not done() and not self._stopping:
            if end and time.monotonic() > end:
                raise FrontError("the fronts were not ready in time")
            self._wait()
            self._look()

    def _wait(self) -> None:
        """Wait for events, up to :data:`TICK`, and handle them."""
        poll, inbox = select.poll(), self._inboxes[-1]
        listening = self._acceptor.listening
        poll.register(self._signals, select.POLLIN)
        for item in (inbox, *listening):
            poll.register(item, select.POLLIN)
        events = {descriptor for descriptor, _ in poll.poll(TICK * 1000)}
        if self._signals.fileno() in events:
            for number in self._signals.read():
                self._signal(number)
        if inbox.fileno() in events:
            self._read()
        for item in listening:
            if item.fileno() in events:
                self._acceptor.accept(item)

    def _signal(self, number: int) -> None:
        match number:
            case signal.SIGCHLD:
                self._reap()
            case signal.SIGHUP:
                systemd.reloading()
                self._reloading = True
                self._unread = {front.pid for front in self._fronts if front.ready}
                self._fronts.signal(signal.SIGHUP)
            case _:
                self._stopping = True

    def _read(self) -> None:
        """Read the notices of the fronts."""
        while True:
            try:
                received, descriptors = protocol.receive(self._inboxes[-1])
            except BlockingIOError:
                return
            protocol.close(descriptors)
            if received is None:
                return
            number, pid = received["from"]
            if received["kind"] == notices.FAILED:  # it may have ended by now
                self._failed(number, **received["body"])
            elif self._fronts[number].pid == pid:
                self._heard(number, received["kind"], received["body"])

    def _heard(self, number: int, kind: str, body: protocol.Message) -> None:
        """Handle a notice of a front."""
        front = self._fronts[number]
        match kind:
            case notices.READY:
                front.ready = True
                self._console = body["console"] or self._console
            case notices.RELOADED:
                self._unread.discard(front.pid)
            case notices.STOPPING:
                self._unaware.discard(front.pid)
                if not self._stopping:  # only this front was sent a signal
                    self._scoreboard.set(number, Column.ALIVE, 0)
                    self._acceptor.notify_last(number)

    def _failed(self, number: int, reason: str, usage: bool) -> None:
        """Handle a front's reason why it cannot start.

        Raises:
            SettingsError: The server has not started yet, and the settings are wrong.
            FrontError: The server has not started yet, and the reason is another one.
        """
        if self._serving or self._stopping:
            log.error("front %d cannot start: %s", number, reason)
        else:
            raise SettingsError(reason) if usage else FrontError(reason)

    def _look(self) -> None:
        """Do the periodic work: start due fronts, kill hung ones, check the connections."""
        if self._reloading and not self._unread:
            self._reloading = False
            systemd.tell(systemd.READY)
        if self._serving:
            self._watchdog.beat()
        if not self._stopping:
            self._fronts.start_due()
        self._fronts.kill_hung(lambda number: self._scoreboard.get(number, Column.BEAT) / MICRO)
        if self._serving:
            self._acceptor.check()

    def _open(self) -> None:
        """Listen, and print the ready line, as all fronts are ready."""
        self._acceptor.open()
        self._serving = True
        print(f"vipsgate ready on {self._address} (admin {self._admin_address})", flush=True)
        self._show(self._address, self._console)
        systemd.tell(systemd.READY, f"STATUS=serving on {self._address}")

    # -- processes -------------------------------------------------------------------------------

    def _be(self, number: int) -> NoReturn:
        """Run a front, in the child process."""

        def serve() -> None:
            self._signals.close()
            ports.close((*self._public, *(self._admin if number else ())))
            self._run_front(self._context(number))

        def fail(reason: str, usage: bool) -> None:
            body = {"reason": reason, "usage": usage}
            self._notify(len(self._fronts), notices.FAILED, body, who=number)

        child.live(number, serve, fail)

    def _context(self, number: int) -> FrontContext:
        return FrontContext(
            number,
            self._scoreboard,
            self._inboxes[number],
            self._outboxes,
            self._address,
            self._admin if number == 0 else (),
            self._key,
            self._fronts[number].replaces,
        )

    def _reap(self) -> None:
        """Handle the fronts that have ended."""
        for number, pid in self._fronts.reap():
            self._ended(number, pid)

    def _ended(self, number: int, pid: int) -> None:
        """Clean up after a front that has ended, and notify the others; it is restarted later.

        Raises:
            FrontError: The server has not started yet.
        """
        self._scoreboard.clear(number)
        claims.release_all(self._scoreboard, number)
        self._unread.discard(pid)
        if self._stopping:
            return
        if not self._serving:
            self._read()  # it may have said why
            raise FrontError("a front has ended before it was ready")
        log.error("front %d has ended; starting another", number)
        for other, one in enumerate(self._fronts):
            if one.pid:
                with contextlib.suppress(OSError):
                    self._notify(other, LOST, {"front": number})

    def _notify(
        self,
        to: int,
        kind: str,
        body: protocol.Message,
        descriptors: Sequence[int] = (),
        who: int | None = None,
    ) -> None:
        """Send a notice to a front, or, with ``who``, from that front to the parent.

        Raises:
            OSError: Its socket is full.
        """
        sender = [len(self._fronts) if who is None else who, os.getpid()]
        protocol.send(self._outboxes[to], message(kind, sender, body), descriptors)

    # -- the end ---------------------------------------------------------------------------------

    def _end(self) -> None:
        """Accept the last connections, and wait until the fronts have finished."""
        self._stopping = True
        systemd.tell(systemd.STOPPING, "STATUS=finishing requests in progress")
        end = time.monotonic() + self._settings.server.drain_seconds + LATE_SECONDS
        ports.close(self._admin)  # the first front has its own descriptors
        self._unaware = {front.pid for front in self._fronts if front.pid}
        self._fronts.signal(signal.SIGTERM)
        if self._serving:
            known = time.monotonic() + STOP_SECONDS
            while self._unaware and time.monotonic() < known:
                self._wait()
        self._acceptor.close(shared=self._settings.server.reuse_port)
        for number in range(len(self._fronts)):
            self._acceptor.notify_last(number)
        while self._fronts.any_alive() and time.monotonic() < end:
            self._wait()
            self._reap()
        self._fronts.signal(signal.SIGKILL)
        while self._fronts.any_alive():
            self._wait()
            self._reap()
