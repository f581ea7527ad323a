"""A front process from its fork to its exit."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from ..settings import SettingsError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PARENT_ONLY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # environment variables

log = logging.getLogger(__name__)


class FrontError(Exception):
    """A front cannot be started; the text says why."""


def live(number: int, serve: Callable[[], None], fail: Callable[[str, bool], None]) -> NoReturn:
    """Run a front process that has just been forked, and exit.

    The exit status is 0 if it has served until it was told to stop, else 1.

    Args:
        number: The number of the front.
        serve: Serves until the front is told to stop.
        fail: Called with the reason if it fails, and whether the settings are wrong.
    """
    code = 1
    try:
        parent = os.getppid()
        _detach()
        serve()
        code = 0 if os.getppid() == parent else 1
    except SettingsError as error:
        fail(str(error), True)
    except FrontError as error:
        fail(str(error), False)
    except BaseException as error:
        log.exception("front %d has failed", number)
        fail(f"{type(error).__name__} in a front", False)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _detach() -> None:
    """Undo the parent's signal handling and environment, and end when the parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which drains
    for name in PARENT_ONLY:
        os.environ.pop(name, None)
