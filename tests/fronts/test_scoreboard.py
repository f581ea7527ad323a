"""The numbers that fronts tell of themselves, in this process and in others."""

import os
import signal
import time

from vipsgate.fronts.scoreboard import Column, Scoreboard


def in_another(work):
    """Run ``work`` in a forked process, which must succeed."""
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def done(pid):
    assert os.waitpid(pid, 0)[1] == 0


def test_what_one_process_tells_another_reads():
    scoreboard = Scoreboard(3)
    done(in_another(lambda: scoreboard.set(1, Column.WAITING, 7)))
    done(in_another(lambda: scoreboard.add(2, Column.WAITING, 5)))
    assert scoreboard.column(Column.WAITING) == [0, 7, 5]
    assert scoreboard.others(1, Column.WAITING) == 5
    scoreboard.clear(1)
    assert scoreboard.column(Column.WAITING) == [0, 0, 5]


def test_each_number_has_its_own_place():
    scoreboard = Scoreboard(2)
    places = [(front, column) for front in range(2) for column in Column]
    for value, (front, column) in enumerate(places):
        scoreboard.set(front, column, -value)
    assert [scoreboard.get(*place) for place in places] == [-value for value in range(len(places))]
    assert not any(any(claims) for claims in scoreboard.claims)


def test_one_at_a_time_has_the_lock():
    scoreboard = Scoreboard(1)

    def count():
        for _ in range(300):
            with scoreboard.lock():
                before = scoreboard.get(0, Column.HELD)
                os.sched_yield()
                scoreboard.set(0, Column.HELD, before + 1)

    for pid in [in_another(count) for _ in range(3)]:
        done(pid)
    assert scoreboard.get(0, Column.HELD) == 900


def test_a_process_that_is_killed_leaves_no_lock():
    scoreboard = Scoreboard(1)

    def hang():
        with scoreboard.lock():
            scoreboard.set(0, Column.ALIVE, 1)
            time.sleep(60)

    pid = in_another(hang)
    while not scoreboard.get(0, Column.ALIVE):
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with scoreboard.lock():
        pass
