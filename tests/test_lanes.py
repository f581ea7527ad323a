"""Who is rendered next, as tables: jobs are words, renderers are counted, nothing runs."""

import math
from dataclasses import dataclass

import pytest

from vipsgate.image.cost import Cost
from vipsgate.lanes import HEAVY_PART, QUICK_BYTES, QUICK_SECONDS, Lane, Lanes, lane_of

MB = 1 << 20
COSTS = {
    "q": None,  # nobody knows its cost
    "k": Cost(QUICK_SECONDS, QUICK_BYTES, 40),  # known, and just quick
    "h": Cost(QUICK_SECONDS + 0.01, 10 * MB),
    "m": Cost(0.01, 600 * MB),
    "a": Cost(2.0, 10 * MB, 30),
}


@dataclass(eq=False)
class Job:
    name: str
    cost: Cost | None
    ready: float = 0.0


def job(name: str) -> Job:
    return Job(name, COSTS[name[0]])


def lanes(count: int = 2, queue: int = 100, memory: int = 1000 * MB) -> Lanes[Job]:
    return Lanes(count=count, queue=queue, wait=5.0, memory=memory)


@pytest.mark.parametrize(
    ("name", "lane"),
    [("q", "quick"), ("k", "quick"), ("h", "heavy"), ("m", "heavy"), ("a", "animated")],
)
def test_lane_of_a_cost(name: str, lane: str) -> None:
    assert lane_of(job(name)) == Lane(lane)


# what waits, in this order -> what begins while nothing ends; count renderers and a spare one
BEGUN = [
    (2, "q1 q2 q3", "q1 q2"),
    (2, "h1 q1 q2 q3", "h1 q1"),  # one renderer is for what is dear
    (2, "h1 h2 h3", "h1 h2"),  # which has all while there is nothing quick
    (2, "h1 h2 q1 q2", "h1 q1"),
    (1, "h1 h2", "h1"),
    (1, "h1 q1 q2", "h1 q1"),  # the spare one takes what is quick
    (1, "q1 h1", "h1 q1"),
    (4, "a1 a2 a3 a4", "a1 a2"),  # animations have half of them
    (4, "a1 a2 a3 h1 h2 h3", "h1 h2 h3 a1"),
    (4, "m1 m2 m3", "m1"),  # memory for one
    (4, "m1 h1 m2 h2 q1", "m1 q1 h1"),  # and who needs much is not passed for ever
    (2, "k1 q1 k2", "k1 q1"),
]


@pytest.mark.parametrize(("count", "waiting", "begun"), BEGUN, ids=str)
def test_who_begins(count: int, waiting: str, begun: str) -> None:
    queue = lanes(count)
    for name in waiting.split():
        queue.enter(job(name))
    found = []
    while (one := queue.next(0.0)) is not None:
        found.append(one.name)
    assert " ".join(found) == begun


def test_a_quick_one_begins_when_all_are_at_dear_work() -> None:
    queue = lanes(2)
    for name in "h1 h2".split():
        queue.enter(job(name))
        assert queue.next(0.0)
    queue.enter(job("q1"))
    queue.enter(job("q2"))
    first = queue.next(0.0)
    assert first
    assert queue.next(0.0) is None  # there is one spare renderer
    queue.ended(first, 0.1)
    second = queue.next(0.0)
    assert second
    assert second.name == "q2"


def test_all_that_is_taken_comes_back() -> None:
    queue = lanes(4)
    for name in "m1 a1 h1 q1".split():
        queue.enter(job(name))
    begun = list(iter(lambda: queue.next(0.0), None))
    assert len(begun) == 4
    assert queue.held == (600 + 10 + 10) * MB
    for one in begun:
        queue.ended(one)
    assert queue.held == 0
    assert set(queue.working().values()) == {0}
    assert len(queue) == 0


def test_not_before_it_is_ready() -> None:
    queue = lanes()
    early, late = job("q1"), job("q2")
    early.ready = 5.0
    queue.enter(early)
    queue.enter(late)
    assert queue.ahead(1.0) is None
    assert queue.next(1.0) is late
    assert queue.next(1.0) is None
    assert queue.next(5.0) is early


def test_nothing_goes_ahead_of_dear_work_that_waits_for_a_renderer() -> None:
    queue = lanes(2)
    for name in ("q1", "q2", "q3"):
        queue.enter(job(name))
    assert queue.next(0.0)
    assert queue.next(0.0)
    ahead = queue.ahead(0.0)
    assert ahead
    queue.enter(ahead)
    queue.enter(job("h1"))
    assert queue.ahead(0.0) is None


def test_who_leaves_does_not_begin() -> None:
    queue = lanes()
    one = job("h1")
    queue.enter(one)
    assert queue.leave(one)
    assert not queue.leave(one)
    assert queue.next(0.0) is None


def test_alike_go_along_and_are_not_counted_yet() -> None:
    queue = lanes()
    for name in ("q1", "q2", "h1", "q3", "q4"):
        queue.enter(job(name))
    found = queue.alike(lambda one: one.name != "q2", 2)
    assert [one.name for one in found] == ["q1", "q3"]
    assert queue.working() == {"quick": 0, "heavy": 0, "animated": 0}
    assert queue.waiting() == {"quick": 2, "heavy": 1, "animated": 0}


@pytest.mark.parametrize("queue", [0, 3, 8])
def test_length_is_bounded(queue: int) -> None:
    waiting = lanes(1, queue=queue)
    waiting.enter(job("q0"))
    assert waiting.next(0.0)
    taken = 0
    while not waiting.full(Lane.QUICK):
        waiting.enter(job("q1"))
        taken += 1
        assert taken <= queue
    assert taken == queue
    assert waiting.full(Lane.QUICK)
    assert not waiting.full(Lane.HEAVY) or len(waiting) >= queue


def test_who_waits_for_its_like_stands_in_nobodys_way() -> None:
    waiting = lanes(1, queue=1)
    one = job("q1")
    one.ready = 1.0
    waiting.enter(one)
    assert not waiting.full(Lane.QUICK)
    one.ready = 0.0
    assert waiting.full(Lane.QUICK)


def test_dear_work_fills_only_its_part_of_the_queue() -> None:
    queue = lanes(1, queue=40)
    queue.enter(job("h0"))
    assert queue.next(0.0)
    taken = 0
    while not queue.full(Lane.HEAVY):
        queue.enter(job("h1"))
        taken += 1
    assert taken == min(40 // HEAVY_PART, taken)
    assert not queue.full(Lane.QUICK)
    assert not queue.full(Lane.ANIMATED)


@pytest.mark.parametrize(("count", "queue"), [(1, 2), (2, 0), (2, 5)], ids=str)
def test_those_that_wait_for_their_like_are_bounded_too(count: int, queue: int) -> None:
    """As many as could begin, and as many as may wait."""
    made = lanes(count=count, queue=queue)
    for _ in range(count + queue):
        assert not made.full(Lane.QUICK)
        one = job("q")
        one.ready = math.inf
        made.enter(one)
    assert made.full(Lane.QUICK)


def test_who_would_wait_too_long_is_refused() -> None:
    """30 seconds of quick work for 2 renderers, of which nobody may have to wait more than 5."""
    queue = lanes(2, queue=1000)
    first = job("q0")
    queue.enter(first)
    queue.enter(job("q0"))
    assert queue.next(0.0) is first
    assert queue.next(0.0)
    queue.ended(first, 0.3)
    queue.begun(first)
    taken = 0
    while not queue.full(Lane.QUICK):
        queue.enter(job("q1"))
        taken += 1
        assert taken < 100
    assert taken * 0.3 / 2 == pytest.approx(5.0, abs=0.3)
    assert 1 <= queue.retry(Lane.QUICK) <= 5


def test_dear_work_is_refused_by_what_it_costs() -> None:
    queue = lanes(2, queue=1000)
    for _ in range(2):
        queue.enter(job("a0"))
    assert queue.next(0.0)
    assert not queue.full(Lane.ANIMATED)  # 2 seconds wait
    queue.enter(job("a1"))
    queue.enter(job("a2"))
    assert queue.full(Lane.ANIMATED)  # 6 seconds of it
    assert queue.retry(Lane.ANIMATED) >= 3
    assert not queue.full(Lane.HEAVY)
