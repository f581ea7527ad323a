"""When a front process that has ended is started again, and which are killed for want of life."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vipsgate.server.processes import HANG_SECONDS, FrontProcess, Fronts


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def fronts(*pids, ready=True):
    """Fronts with these processes."""
    result = Fronts(len(pids), lambda number: os._exit(1))
    for front, pid in zip(result, pids, strict=True):
        front.started(pid, time.monotonic())
        front.ready = ready
    return result


def test_one_that_has_served_for_long_is_due_at_once():
    front = FrontProcess()
    front.started(7, 100.0)
    front.ended(200.0)
    assert (front.pid, front.since, front.ready) == (0, 200.0, False)


def test_one_that_ends_soon_is_due_later_and_later_up_to_a_bound():
    front, now, delays = FrontProcess(), 100.0, []
    for _ in range(8):
        front.started(7, now)
        front.ended(now + 1)
        delays.append(round(front.since - now - 1, 3))
        now = front.since
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    front.started(7, now)
    front.ended(now + 100)
    assert front.delay == 0.0


def test_those_that_have_ended_are_found_among_orphans(monkeypatch):
    every, ended = fronts(7, 8, 9), iter([(8, 0), (70, 0), (9, 9), (0, 0)])
    monkeypatch.setattr(os, "waitpid", lambda *_: next(ended))
    assert every.reap() == [(1, 8), (2, 9)]
    assert [front.pid for front in every] == [7, 0, 0]
    assert every.any_alive()
    assert not every.all_ready()


@pytest.mark.parametrize(
    ("age", "ready", "killed"),
    [
        (HANG_SECONDS + 1, True, True),
        (HANG_SECONDS - 1, True, False),
        (HANG_SECONDS + 1, False, False),  # it is still starting
        (None, True, False),  # it has not begun to beat
    ],
)
def test_one_without_a_heartbeat_for_long_is_killed(child, age, ready, killed):
    every = fronts(child.pid, ready=ready)
    every.kill_hung(lambda number: time.monotonic() - age if age else 0.0)
    if killed:
        assert child.wait() == -signal.SIGKILL
        assert not every[0].ready
    else:
        assert child.poll() is None
