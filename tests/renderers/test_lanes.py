"""Which job is next, as tables: jobs are words, workers are counted, nothing runs."""

from dataclasses import dataclass

import pytest

from vipsgate.image.cost import Cost
from vipsgate.renderers.admission import (
    FIRST_GUESS,
    WAITING_BYTES,
    Bounds,
    Mean,
    NoOtherFronts,
    Reason,
    Refusal,
)
from vipsgate.renderers.lanes import (
    EXPENSIVE_PART,
    QUICK_BYTES,
    QUICK_SECONDS,
    Lane,
    Lanes,
    lane_of,
)

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
    gathering: bool = False
    content: str = ""
    deadline: float = 15.0
    borrowed: bool = False


def job(name: str) -> Job:
    """``q1``, or ``q1/cat`` for one of the content ``cat``."""
    return Job(name, COSTS[name[0]], content=name.partition("/")[2])


def lanes(
    count: int = 2, queue: int = 100, memory: int = 1000 * MB, seconds: float = 5.0
) -> Lanes[Job]:
    return Lanes(count=count, bounds=Bounds(seconds, queue), memory=memory)


def full(queue: Lanes[Job], lane: Lane) -> bool:
    return queue.refusal(lane) is not None


def measured(queue: Lanes[Job], name: str, seconds: float, times: int = 1) -> None:
    """Jobs of a kind have been done, and took so long each."""
    for _ in range(times):
        queue.begun(job(name).cost)
        queue.ended(job(name).cost, seconds)


@pytest.mark.parametrize(
    ("name", "lane"),
    [("q", "quick"), ("k", "quick"), ("h", "heavy"), ("m", "heavy"), ("a", "animated")],
)
def test_lane_of_a_cost(name: str, lane: str) -> None:
    assert lane_of(job(name).cost) == Lane(lane)


# what waits, in this order -> what begins while nothing ends; count workers and a spare one
BEGUN = [
    (2, "q1 q2 q3", "q1 q2"),
    (2, "h1 q1 q2 q3", "h1 q1"),  # one worker is for what is expensive
    (2, "h1 h2 h3", "h1 h2"),  # which has all while there is nothing quick
    (2, "h1 h2 q1 q2", "h1 q1"),
    (1, "h1 h2", "h1"),
    (1, "h1 q1 q2", "h1 q1"),  # the spare one takes what is quick
    (1, "q1 h1", "h1 q1"),
    (4, "a1 a2 a3 a4", "a1 a2"),  # animations have half of them
    (4, "a1 a2 a3 h1 h2 h3", "h1 a1 h2 h3"),  # in turns
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
    while (one := queue.next()) is not None:
        found.append(one.name)
    assert " ".join(found) == begun


def test_a_quick_one_begins_when_all_are_at_expensive_work() -> None:
    queue = lanes(2)
    for name in "h1 h2".split():
        queue.enter(job(name))
        assert queue.next()
    queue.enter(job("q1"))
    queue.enter(job("q2"))
    first = queue.next()
    assert first
    assert queue.next() is None  # there is one spare worker
    queue.ended(first.cost, 0.1)
    second = queue.next()
    assert second
    assert second.name == "q2"


def test_all_that_is_taken_comes_back() -> None:
    queue = lanes(4)
    for name in "m1 a1 h1 q1".split():
        queue.enter(job(name))
    begun = list(iter(lambda: queue.next(), None))
    assert len(begun) == 4
    assert queue.held == (600 + 10 + 10) * MB
    for one in begun:
        queue.ended(one.cost)
    assert queue.held == 0
    assert set(queue.working().values()) == {0}
    assert len(queue) == 0


def test_one_that_gathers_does_not_begin() -> None:
    queue = lanes()
    early, late = job("q1"), job("q2")
    early.gathering = True
    queue.enter(early)
    queue.enter(late)
    assert queue.ahead() is None
    assert queue.next() is late
    assert queue.next() is None
    early.gathering = False
    assert queue.next() is early


def test_nothing_goes_ahead_of_expensive_work_that_waits_for_a_worker() -> None:
    queue = lanes(2)
    for name in ("q1", "q2", "q3"):
        queue.enter(job(name))
    assert queue.next()
    assert queue.next()
    ahead = queue.ahead()
    assert ahead
    queue.enter(ahead)
    queue.enter(job("h1"))
    assert queue.ahead() is None


def test_those_that_wait_are_not_looked_at_where_none_may_begin() -> None:
    """Thousands may wait, and each answer asks for the next one."""

    class Unseen(Job):
        @property
        def gathering(self) -> bool:
            raise AssertionError("it has been looked at")

        @gathering.setter
        def gathering(self, value: bool) -> None:
            pass

    queue = lanes(count=1)
    queue.begun(job("q1").cost)
    queue.enter(Unseen("q2", None))
    assert queue.next() is None


def test_who_leaves_does_not_begin() -> None:
    queue = lanes()
    one = job("h1")
    queue.enter(one)
    assert queue.leave(one)
    assert not queue.leave(one)
    assert queue.next() is None


def test_alike_go_along_and_are_not_counted_yet() -> None:
    queue = lanes()
    for name in ("q1/cat", "q2/dog", "h1/cat", "q3/cat", "q4/cat", "q5"):
        queue.enter(job(name))
    assert [one.name for one in queue.alike(job("q0/cat"), 2)] == ["q1/cat", "q3/cat"]
    assert queue.working() == {"quick": 0, "heavy": 0, "animated": 0}
    assert queue.waiting() == {"quick": 3, "heavy": 1, "animated": 0}
    assert [one.name for one in queue.alike(job("q0/cat"), 2)] == ["q4/cat"]
    assert queue.alike(job("q0/cat"), 2) == []
    assert queue.alike(job("q0"), 2) == []  # who has no source goes alone


def test_who_begins_or_leaves_goes_along_with_nobody() -> None:
    queue = lanes()
    first, second, third = job("q1/cat"), job("q2/cat"), job("q3/cat")
    for one in (first, second, third):
        queue.enter(one)
    assert queue.next() is first
    queue.leave(second)
    assert queue.alike(first, 7) == [third]
    queue.enter(second)
    assert queue.clear() == [second]
    assert queue.alike(first, 7) == []


@pytest.mark.parametrize("queue", [0, 3, 8])
def test_length_is_bounded(queue: int) -> None:
    waiting = lanes(1, queue=queue)
    waiting.enter(job("q0"))
    assert waiting.next()
    taken = 0
    while not full(waiting, Lane.QUICK):
        waiting.enter(job("q1"))
        taken += 1
        assert taken <= queue
    assert taken == queue
    assert full(waiting, Lane.QUICK)
    assert not full(waiting, Lane.HEAVY) or len(waiting) >= queue


def test_one_that_gathers_stands_in_nobodys_way() -> None:
    waiting = lanes(1, queue=1)
    one = job("q1")
    one.gathering = True
    waiting.enter(one)
    assert not full(waiting, Lane.QUICK)
    one.gathering = False
    assert full(waiting, Lane.QUICK)


def test_expensive_work_fills_only_its_part_of_the_queue() -> None:
    queue = lanes(1, queue=40)
    queue.enter(job("h0"))
    assert queue.next()
    taken = 0
    while not full(queue, Lane.HEAVY):
        queue.enter(job("h1"))
        taken += 1
    assert taken == min(40 // EXPENSIVE_PART, taken)
    assert not full(queue, Lane.QUICK)
    assert not full(queue, Lane.ANIMATED)


@pytest.mark.parametrize(("count", "queue"), [(1, 2), (2, 0), (2, 5)], ids=str)
def test_those_that_gather_are_bounded_too(count: int, queue: int) -> None:
    """As many as could begin, and as many as may wait."""
    made = lanes(count=count, queue=queue)
    for _ in range(count + queue):
        assert not full(made, Lane.QUICK)
        one = job("q")
        one.gathering = True
        made.enter(one)
    assert full(made, Lane.QUICK)


# -- predicted waits, and who is refused -----------------------------------------------------------


def state(count: int, working: str, waiting: str) -> Lanes[Job]:
    """Workers at work, and jobs that wait; a quick one takes 0.1 s, others what is estimated."""
    queue = lanes(count, queue=1000)
    measured(queue, "q", 0.1)
    for name in working.split():
        queue.begun(job(name).cost)
    for name in waiting.split():
        queue.enter(job(name))
    return queue


# workers, what is under work, what waits -> seconds that a quick, heavy, animated one would wait
WAITS = [
    (2, "", "", "0 0 0"),
    (2, "q q", "", "0.05 0 0"),  # half done, on two workers; but one is for what is expensive
    (2, "q q", "q q q q", "0.25 0 0"),
    (4, "q q q q", "q q q q", "0.15 0 0"),
    (2, "h q", "q q q", "0.35 0.13 0.13"),  # one worker is taken, for the heavy one
    (2, "q q", "q h", "0.2 0.26 0.26"),
    (1, "h", "q q", "0.2 0.13 0.13"),  # the spare worker
    (2, "a q", "a a", "0.05 3 5"),  # the worker of the quick one is as good as taken
    (2, "h h", "h h h h", "0 0.65 0.26"),  # the animation is next but one
    (1, "h", "h h", "0 0.65 0.39"),
    (1, "h", "h h a", "0 2.65 2.65"),
    (4, "m", "m m m", "0 0.035 0.015"),  # memory for one at a time
    (2, "k", "k", "0.075 0 0"),
]


@pytest.mark.parametrize(("count", "working", "waiting", "seconds"), WAITS, ids=str)
def test_wait_is_predicted(count: int, working: str, waiting: str, seconds: str) -> None:
    queue = state(count, working, waiting)
    assert [queue.wait(lane) for lane in Lane] == pytest.approx(
        [float(number) for number in seconds.split()]
    )


def test_jobs_that_wait_at_a_worker_are_waited_for() -> None:
    queue = state(2, "q q", "q q")
    assert queue.wait(Lane.QUICK, 2) == pytest.approx(0.25)


def test_estimates_are_corrected_by_what_was_measured() -> None:
    queue = state(1, "h", "h h")
    before = queue.wait(Lane.HEAVY)
    measured(queue, "h", 2.5 * COSTS["h"].seconds, times=100)
    assert queue.wait(Lane.HEAVY) == pytest.approx(2.5 * before, rel=0.01)
    measured(queue, "a", 1.5 * COSTS["a"].seconds, times=100)
    assert queue.wait(Lane.HEAVY) == pytest.approx(1.5 * before, rel=0.01)


# seconds a job has taken, one after the other -> the mean of them
MEANS = [
    ("", FIRST_GUESS),
    ("0.3", 0.3),
    ("0.1 0.3", 0.2),
    ("0.001 " * 100, 0.001),
    ("0.001 " * 100 + "0.002 " * 100, 0.0015),  # a tenth of a second is all recent
    ("1 " * 20 + "2 " * 20, 2.0),
    ("0.001 " * 100 + "60", 60.0),  # what is so long ago tells nothing
]


@pytest.mark.parametrize(("seconds", "mean"), MEANS)
def test_mean_is_of_the_latest(seconds: str, mean: float) -> None:
    found = Mean(FIRST_GUESS)
    for number in map(float, seconds.split()):
        found.add(number, 1.0, number)
    assert found.value == pytest.approx(mean, rel=0.05)


# bounds in seconds and jobs; wait, jobs, room, left, takes, and what it has waited -> why not
REFUSALS = [
    ("5 100", "0 0 2 15 0.1", ""),
    ("5 100", "5 99 0 15 0.1", ""),
    ("5 100", "5.1 99 0 15 0.1", "wait"),
    ("5 100", "5.1 100 0 15 0.1", "length"),
    ("5 100", "0 101 2 15 0.1", ""),
    ("5 100", "0 102 2 15 0.1", "length"),
    ("5 0", "0 0 0 15 0.1", "length"),
    ("5 0", "0 0 1 15 0.1", ""),
    ("5 100", "4 1 0 4.05 0.1", "wait"),  # no time would be left to make it
    ("5 100", "4 1 0 4.2 0.1", ""),
    ("5 100", "0 1 0 15 60", ""),  # nobody is ahead: it is tried
    ("5 100", "0.1 1 0 15 60", "wait"),
    ("0 100", "0 0 1 15 0.1", ""),
    ("0 100", "0.01 0 0 15 0.1", "wait"),
    ("5 100", "3 1 0 15 0.1 1.9", ""),
    ("5 100", "3 1 0 15 0.1 2.1", "wait"),
    ("5 100", "0 0 1 15 0.1 9", ""),  # nobody is ahead: it is tried
    ("5 100", "4 1 0 4.2 0.1 0.2", "wait"),
]


@pytest.mark.parametrize(("bounds", "asked", "reason"), REFUSALS)
def test_refusal(bounds: str, asked: str, reason: str) -> None:
    seconds, jobs = map(float, bounds.split())
    wait, waiting, room, left, takes, *waited = map(float, asked.split())
    found = Bounds(seconds, int(jobs)).refusal(
        wait=wait, jobs=int(waiting), room=int(room), left=left, takes=takes, waited=sum(waited)
    )
    assert (found.reason.value if found else "") == reason
    assert found is None or found.wait == wait


@pytest.mark.parametrize(
    ("requests", "memory", "held"),
    [(0, 0, True), (1, 0, False), (1, WAITING_BYTES, True), (2, 2 * WAITING_BYTES - 1, False)],
)
def test_requests_wait_as_far_as_there_is_memory(requests: int, memory: int, held: bool) -> None:
    assert Bounds(5.0, 100, memory).holds(requests) is held
    assert Bounds(5.0, 10_000).holds(10_000)  # the defaults go together


@pytest.mark.parametrize(("wait", "told"), [(0, "1"), (0.2, "1"), (1, "1"), (4.2, "5")])
def test_who_is_refused_is_told_the_wait(wait: float, told: str) -> None:
    assert Refusal(Reason.WAIT, wait).headers == {"Retry-After": told}


@pytest.mark.parametrize(("took", "most"), [(0.0006, 2000), (0.3, 33), (4.0, 2)])
def test_so_many_wait_as_are_done_in_time(took: float, most: int) -> None:
    """Two workers, five seconds: thumbnails by the thousand, but not of what takes long."""
    queue = lanes(2, queue=10_000)
    measured(queue, "q", took, times=100)
    for _ in range(2):
        queue.enter(job("q0"))
        assert queue.next()
    taken = 0
    while not full(queue, Lane.QUICK) and taken < 2000:
        queue.enter(job("q1"))
        taken += 1
    assert taken == pytest.approx(most, abs=1)


def test_cheap_work_is_not_refused_because_expensive_work_waits() -> None:
    queue = state(2, "a h", "a a a a h h h h")
    assert full(queue, Lane.ANIMATED)
    assert not full(queue, Lane.QUICK)


def test_expensive_work_is_refused_by_what_it_costs() -> None:
    queue = lanes(2, queue=1000)
    for _ in range(2):
        queue.enter(job("a0"))
    assert queue.next()
    assert not full(queue, Lane.ANIMATED)  # 2 seconds wait
    queue.enter(job("a1"))
    queue.enter(job("a2"))
    refusal = queue.refusal(Lane.ANIMATED)  # 6 seconds of it
    assert refusal
    assert refusal.reason is Reason.WAIT
    assert int(refusal.headers["Retry-After"]) >= 6
    assert not full(queue, Lane.HEAVY)


def test_whose_time_is_up() -> None:
    queue = lanes()
    early, late, heavy = job("q1"), job("q2"), job("h1")
    early.deadline, late.deadline, heavy.deadline = 1.0, 3.0, 2.0
    for one in (late, heavy):
        queue.enter(one)
    queue.enter_again(early)
    assert queue.overdue(0.5) == []
    assert queue.overdue(1.0) == [early]
    assert set(queue.overdue(2.5)) == {early, heavy}
    assert len(queue) == 3


class Others(NoOtherFronts):
    """Another front, with heavy work of its own."""

    def __init__(self, seconds: float = 0.0, renderers: int = 0) -> None:
        self.work, self.before_and_behind = seconds, (0, renderers)
        self.memory, self.deadline = 0, 0.0
        self.at_work, self.first = 0, 0.0  # animations

    def lane(self, lane: str) -> tuple[int, float]:
        return 0, self.work if lane == "heavy" else 0.0

    def renderers(self) -> tuple[int, int]:
        return self.before_and_behind

    def animations(self, deadline: float) -> int:
        return self.at_work + (0 < self.first < deadline)

    def held(self) -> int:
        return self.memory

    def before(self, deadline: float) -> bool:
        return 0 < self.deadline < deadline


@pytest.mark.parametrize(
    ("memory", "seconds", "renderers", "wait"),
    [
        (10_000 * MB, 0.0, 0, 1.0),  # alone: two of a second each, on two renderers
        (10_000 * MB, 8.0, 2, 2.5),  # ten seconds on four
        (600 * MB, 8.0, 2, 10.0),  # memory for one at a time, wherever
    ],
)
def test_heavy_jobs_of_all_fronts_are_ahead(
    memory: int, seconds: float, renderers: int, wait: float
) -> None:
    queue: Lanes[Job] = Lanes(
        count=2, bounds=Bounds(60, 100), memory=memory, others=Others(seconds, renderers)
    )
    for number in range(2):
        heavy = job(f"m{number}")
        heavy.cost = Cost(1.0, 600 * MB)
        queue.enter(heavy)
    assert queue.wait(Lane.HEAVY) == pytest.approx(wait)


def test_an_animation_that_lacks_memory_is_passed_by_no_heavy_one() -> None:
    queue = lanes(4)
    for one in (first := job("h1"), large := job("a1"), job("h2")):
        queue.enter(one)
    large.cost = Cost(2.0, 995 * MB, 30)
    assert queue.next() is first
    assert queue.next() is None  # it is the animation's turn
    queue.ended(first.cost)
    assert queue.next() is large


def test_an_animation_that_lacks_a_permit_is_passed_by_heavy_ones() -> None:
    queue = lanes(2)
    for name in "a1 a2 a3 h1 h2".split():
        queue.enter(job(name))
    assert [one.name for one in iter(queue.next, None)] == ["h1", "a1"]
    queue.ended(COSTS["h"])
    assert queue.pressing  # h2
    assert [one.name for one in iter(queue.next, None)] == ["h2"]
    queue.ended(COSTS["h"])
    assert not queue.pressing
    assert queue.to_lend() is None
    queue.ended(COSTS["a"])
    assert queue.to_lend() is next(one for one in queue if one.name == "a2")


def test_permits_of_animations_are_the_machine_s() -> None:
    others = Others(renderers=1)
    queue: Lanes[Job] = Lanes(count=1, bounds=Bounds(60, 100), memory=1000 * MB, others=others)
    one = job("a1")
    queue.enter(one)
    others.at_work = 1
    assert queue.next() is None
    assert not queue.pressing
    others.at_work, others.first = 0, one.deadline - 1
    assert queue.next() is None  # an older one of another front goes first
    others.first = one.deadline + 1
    assert queue.next() is one


@pytest.mark.parametrize("counts", [(1,), (2,), (1, 1), (3, 3), (1, 1, 1), (2, 2, 2, 2)], ids=str)
def test_the_parts_of_all_fronts_are_half_of_the_renderers(counts: tuple[int, ...]) -> None:
    parts = []
    for front, count in enumerate(counts):
        others = Others()
        others.before_and_behind = sum(counts[:front]), sum(counts[front + 1 :])
        made: Lanes[Job] = Lanes(count=count, bounds=Bounds(5, 9), memory=MB, others=others)
        parts.append(made.permits()["animated"])
    assert sum(parts) == max(1, sum(counts) // 2)


def test_a_job_that_lacks_memory_is_not_passed_by_jobs_of_other_fronts() -> None:
    others = Others()
    queue: Lanes[Job] = Lanes(count=2, bounds=Bounds(60, 100), memory=1000 * MB, others=others)
    large, small = job("m1"), job("m2")
    large.cost, small.cost = Cost(1.0, 900 * MB), Cost(1.0, 200 * MB)
    large.deadline, small.deadline = 5.0, 6.0
    queue.enter(large)
    assert queue.lacking == 0.0  # it may begin
    others.memory = 300 * MB
    assert (queue.next(), queue.lacking) == (None, 5.0)
    queue.leave(large)
    queue.enter(small)
    others.deadline = 5.0
    assert (queue.next(), queue.lacking) == (None, 0.0)  # it lacks no memory, but its turn
    others.deadline = 7.0
    assert queue.next() is small
