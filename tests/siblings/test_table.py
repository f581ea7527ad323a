"""The numbers that fronts tell of themselves, in this process and in others."""

import os
import signal
import time

from vipsgate.siblings.table import Column, Table


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
    table = Table(3)
    done(in_another(lambda: table.set(1, Column.WAITING, 7)))
    done(in_another(lambda: table.add(2, Column.WAITING, 5)))
    assert table.column(Column.WAITING) == [0, 7, 5]
    assert table.others(1, Column.WAITING) == 5
    table.clear(1)
    assert table.column(Column.WAITING) == [0, 0, 5]


def test_each_number_has_its_own_place():
    table = Table(2)
    places = [(front, column) for front in range(2) for column in Column]
    for value, (front, column) in enumerate(places):
        table.set(front, column, -value)
    assert [table.get(*place) for place in places] == [-value for value in range(len(places))]
    assert not any(any(claims) for claims in table.claims)


def test_one_at_a_time_has_the_lock():
    table = Table(1)

    def count():
        for _ in range(300):
            with table.lock():
                before = table.get(0, Column.HELD)
                os.sched_yield()
                table.set(0, Column.HELD, before + 1)

    for pid in [in_another(count) for _ in range(3)]:
        done(pid)
    assert table.get(0, Column.HELD) == 900


def test_a_process_that_is_killed_leaves_no_lock():
    table = Table(1)

    def hang():
        with table.lock():
            table.set(0, Column.ALIVE, 1)
            time.sleep(60)

    pid = in_another(hang)
    while not table.get(0, Column.ALIVE):
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with table.lock():
        pass
