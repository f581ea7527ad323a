"""Which worker does which job, as scripts: jobs and workers are words, nothing runs.

A script is a row of steps, ``EVENTS = ACTIONS``. Jobs are called as in :mod:`test_lanes`: ``q`` is
of unknown cost, ``h`` heavy, ``m`` takes much memory, ``a`` is animated; ``q1/cat`` has the content
``cat``, and ``q1/CAT`` a large one. Workers are ``A``, ``B``, ``C``: one more than may work.

=========  ==========================================================
``+q1``    the job waits
``~q1``    it has waited for others of its content
``-q1``    nobody waits for it any more
``@1.5``   so late it is, in seconds; a job has 15
``A.``     the worker is done with its first job
``A:h``    it hands the job back instead, which costs what ``h`` costs
``A$``     it is done, and is to end
``A!``     it has died; ``A!!``: of a job that is not to be tried again
``+A``     it has started
``^2``     another front could begin so many jobs
=========  ==========================================================

And what follows: ``A+q1+q2`` the worker is given these, ``A-q1`` is not to do that one, ``A$`` is
to end; ``!q1`` the time of that one is up; ``^q1`` another front is to do that one.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.image.cost import Cost
from vipsgate.renderers import scheduler as scheduling
from vipsgate.renderers.admission import FIRST_GUESS, Bounds, NoOtherFronts
from vipsgate.renderers.lanes import QUICK_BYTES, QUICK_SECONDS, Lane
from vipsgate.renderers.scheduler import (
    ALL_AHEAD,
    ALONE_AHEAD,
    LARGE_SOURCE,
    MAX_AHEAD,
    MAX_TOGETHER,
    PART_AFTER,
    Expire,
    Give,
    Lend,
    Retire,
    Scheduler,
    Take,
)

MB = 1 << 20
COSTS = {
    "q": None,
    "h": Cost(QUICK_SECONDS + 0.01, 10 * MB),
    "m": Cost(0.01, QUICK_BYTES + 500 * MB),
    "a": Cost(2.0, 10 * MB, 30),
}
TIME = 15.0  # seconds that a job has


@dataclass(eq=False)
class Job:
    name: str
    cost: Cost | None
    content: str = ""
    deadline: float = TIME
    gathering: bool = False
    started: float = -1.0
    retry: bool = True
    awaited: bool = True
    telling: bool = True
    borrowed: bool = False


@pytest.fixture(autouse=True)
def one_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is given one job ahead, as long as none has been measured: a script stays short."""
    monkeypatch.setattr(scheduling, "AHEAD_SECONDS", FIRST_GUESS)


class Others(NoOtherFronts):
    """Another front, that could begin some jobs."""

    free = 0

    def free_front(self) -> int | None:
        return 7 if self.free else None

    def lent(self, front: int) -> None:
        assert front == 7
        self.free -= 1


class World:
    """A scheduler, its workers, and what they believe to have."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.others = Others()
        self.lent: list[Job] = []
        self.scheduler: Scheduler[Job, str] = Scheduler(
            count=count, bounds=Bounds(1e9, 1000), memory=1000 * MB, others=self.others
        )
        self.jobs: dict[str, Job] = {}
        self.has: dict[str, list[Job | None]] = {}  # by worker, in order; None: taken away again
        self.ended: list[str] = []  # jobs that are done, given up or lost
        for name in reversed("ABCDEFGH"[: count + 1]):
            self.start(name)

    def start(self, worker: str) -> None:
        self.has[worker] = []
        self.scheduler.add(worker)

    def enter(self, text: str) -> None:
        name, _, content = text.partition("/")
        job = Job(name, COSTS[name[0]], content, self.now + TIME)
        self.jobs[name] = job
        size = LARGE_SOURCE if content.isupper() else LARGE_SOURCE - 1
        assert self.scheduler.enter(job, size) == job.gathering == content.isupper()

    def finish(self, worker: str, *, cost: Cost | None = None, retire: bool = False) -> None:
        expected = self.has[worker].pop(0)
        job = self.scheduler.finish(worker, self.now, retire=retire)
        assert job is expected
        if job is None or not job.awaited:
            return
        if cost:
            job.cost = cost
            self.scheduler.enter(job)
        else:
            self.end(job)

    def die(self, worker: str, *, retry: bool) -> None:
        jobs = [job for job in self.has.pop(worker) if job and job.awaited]
        if lost := self.scheduler.remove(worker, retry=retry):
            assert lost is jobs[0]
            self.end(lost)

    def abandon(self, name: str) -> str | None:
        job = self.jobs[name]
        job.awaited = False
        worker = self.scheduler.abandon(job)
        holders = [name for name, jobs in self.has.items() if job in jobs]
        assert ([worker] if worker else []) == holders
        return worker

    def end(self, job: Job) -> None:
        assert job.awaited
        job.awaited = False
        self.ended.append(job.name)

    def act(self) -> list[str]:
        """What the scheduler says, in words, and done."""
        said = []
        for action in self.scheduler.actions(self.now):
            match action:
                case Give(jobs, worker):
                    said.append("+".join([worker, *(job.name for job in jobs)]))
                    self.has[worker] += jobs
                case Take(job, worker):
                    said.append(f"{worker}-{job.name}")
                    place = self.has[worker].index(job)
                    assert place > 0  # what is under work is not taken away
                    self.has[worker][place] = None
                case Expire(job):
                    said.append(f"!{job.name}")
                    self.end(job)
                case Lend(job, front):
                    said.append(f"^{job.name}")
                    assert front == 7
                    assert not job.borrowed
                    self.lent.append(job)
                case Retire(worker):
                    said.append(f"{worker}$")
                    assert self.has.pop(worker) == []
        return said

    def happen(self, event: str) -> None:
        """An event of a script."""
        if event[0] == "@":
            self.now = float(event[1:])
        elif event[0] == "+":
            (self.start if event[1:].isupper() else self.enter)(event[1:])
        elif event[0] == "-":
            self.abandon(event[1:])
        elif event[0] == "^":
            self.others.free = int(event[1:])
        elif event[0] == "~":
            self.scheduler.gathered(self.jobs[event[1:]])
        elif event[1:] in (".", "$"):
            self.finish(event[0], retire=event[1:] == "$")
        elif event[1:] in ("!", "!!"):
            self.die(event[0], retry=event[1:] == "!")
        else:
            self.finish(event[0], cost=COSTS[event[2]])


# workers, then a script
SCRIPTS = [
    # a worker has its next quick job before it asks; the one started first is asked first
    (1, "+q1 = A+q1, +q2 = A+q2, +q3 = , A. = A+q3, A. = , A. = "),
    (2, "+q1 = A+q1, +q2 = B+q2, +q3 +q4 +q5 = B+q3 A+q4, B. = B+q5"),
    (2, "+q1 +q2 = A+q1 B+q2, A. = , +q3 = A+q3"),  # the one used last: its memory is warm
    # and more than one where these are short, but no second one before all have their first
    (1, "+q0 = A+q0, @0.004 A. = , +q1 +q2 +q3 +q4 +q5 = A+q1 A+q2 A+q3 A+q4, A. = A+q5"),
    (2, "+q0 = A+q0, @0.005 A. +q1 +q2 = A+q1 B+q2, +q3 +q4 +q5 +q6 = B+q3 A+q4 B+q5 A+q6"),
    # but not one that is at something expensive, or waits for it
    (1, "+h1 = A+h1, +q1 = B+q1, +q2 = B+q2, B. B. A. = "),
    (1, "+q1 = A+q1, +h1 +q2 = , A. = A+h1 B+q2"),
    (1, "+h1 = A+h1, +h2 +q1 = B+q1, +q2 = B+q2, A. = , B. = , B. = B+h2"),
    (2, "+q1 +q2 = A+q1 B+q2, +h1 = , +q3 = , A. = A+h1 B+q3"),
    # one that waits at a busy worker is done by a free one
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, A. = B-q3 A+q3, B. = , B. = "),
    (2, "+q1 +q2 +q3 +q4 = A+q1 B+q2 B+q3 A+q4, B. = , B. = A-q4 B+q4"),
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, -q3 A. = "),  # unless nobody waits for it
    (1, "+q1 +q2 = A+q1 A+q2, A:h = , A. = A+q1"),
    # what the worker then says of the one that was taken away is for nobody
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, A. = B-q3 A+q3, +q4 = A+q4, B. = , B. = A-q4 B+q4"),
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, A. = B-q3 A+q3, B. = , B:h = , A. = "),
    # another front that could begin some is lent them, but for what is worth no way
    (1, "^9 +q1 = A+q1, +q2 = ^q2, ^0 = , +q3 = A+q3, ^1 = A-q3 ^q3, A. = , A. = "),
    (1, "+q1 +q2 +q3 +q4 = A+q1 A+q2, ^2 = ^q3 ^q4, A. = , A. = "),
    (1, "^9 +q0 = A+q0, @0.0005 A. +q1 = A+q1, +q2 +q3 +q4 = A+q2 A+q3 A+q4, +q5 +q6 = ^q5 A+q6"),
    (1, "+h1 = A+h1, +h2 = , ^1 = ^h2"),
    (1, "+m1 = A+m1, +m2 = , ^1 = "),  # memory for one, wherever
    (2, "+q1/cat +q2/cat +q3/cat = A+q1+q2+q3, ^3 = "),  # not out of those that go together
    (1, "^9 +q1/CAT = , ~q1 = A+q1"),
    # expensive ones come back, and wait among their like
    (1, "+q1 = A+q1, A:h = A+q1"),
    (1, "+q1 +q2 +q3 = A+q1 A+q2, A:h = , A. = A+q1 B+q3"),
    (2, "+q1 +q2 = A+q1 B+q2, A:m = A+q1, B:m = , A. = A+q2"),  # memory for one
    # of one content they go along together
    (1, "+q0 = A+q0, +q1/cat +q2/dog +q3/cat = A+q1+q3, A. = A+q2, A. = "),
    (2, "+q1/cat +q2/cat +q3/cat = A+q1+q2+q3"),
    (1, "+q1 +q2 +q3 = A+q1 A+q2, A. = A+q3"),  # without a content alone
    (1, "+h1/cat +q1/cat +q2/cat = A+h1 B+q1+q2"),  # expensive ones too
    # those of a large source wait for others of their content, for a moment
    (2, "+q1/CAT = , +q2 = A+q2, +q3/CAT = , ~q1 = B+q1+q3, ~q3 = "),
    (1, "+q1/CAT = , +q2/CAT = , -q1 ~q2 = A+q2"),
    # they are parted where they take long
    (2, "+q1/cat +q2/cat +q3/cat = A+q1+q2+q3, @0.1 = , @0.2 = A-q3 B+q3, B. = A-q2 B+q2, A. = "),
    (2, "+q1/cat +q2/cat = A+q1+q2, @0.1 +q3 = B+q3, @0.2 B. = A-q2 B+q2"),
    (2, "+q1/cat +q2/cat +q3/cat = A+q1+q2+q3, @0.1 A. = , @0.2 = , @0.3 = A-q3 B+q3"),
    # a death: what it had not begun waits as the first; what it was at, once more
    (1, "+q1 +q2 +q3 = A+q1 A+q2, A! = B+q1 B+q2, B. = B+q3"),
    (1, "+q1 +q2 +q3 = A+q1 A+q2, A!! = B+q2 B+q3"),
    (1, "+q1 = A+q1, A! = B+q1, B! = , +C = "),  # and not a third time
    (1, "+q1 +q2 = A+q1 A+q2, -q1 A! = B+q2"),
    (1, "+q1 +q2 = A+q1 A+q2, -q2 A! = B+q1"),
    (2, "+q0 = A+q0, +q1/cat +q2/cat = B+q1+q2, B! = C+q1+q2"),
    (1, "+q1/cat +q2/cat +q3/cat = A+q1+q2+q3, A!! = B+q2+q3"),
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, A. = B-q3 A+q3, B! = C+q2, A! = C+q3, +D = C-q3 D+q3"),
    (1, "A! = , +q1 = B+q1, B! = , +A = A+q1"),  # an idle one, too
    # one that is to end does what it has, and gets no more
    (1, "+q1 = A+q1, A$ = A$, +q2 = B+q2"),
    (1, "+q1 +q2 +q3 = A+q1 A+q2, A$ = , A. = A$ B+q3"),
    # time
    (2, "+h1 +h2 +h3 = A+h1 B+h2, @20 A. = !h3"),
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, @20 A. = B-q3 !q3"),
    # nobody waits
    (1, "+q1 +q2 +q3 = A+q1 A+q2, -q3 A. = , A. = "),
    (1, "+q1 = A+q1, -q1 = , +q2 = A+q2, A. = , A. = "),
    (2, "+q1 +q2 +q3 = A+q1 B+q2 B+q3, A. = B-q3 A+q3, -q3 = , B. = , B. = "),
]


@pytest.mark.parametrize(("count", "script"), SCRIPTS, ids=str)
def test_script(count: int, script: str) -> None:
    world = World(count)
    for number, step in enumerate(script.split(",")):
        events, _, actions = step.partition("=")
        for event in events.split():
            world.happen(event)
        assert world.act() == actions.split(), f"step {number}: {step}"
        busy = [worker for worker, jobs in world.has.items() if jobs]
        assert sum(world.scheduler.lanes.working().values()) == len(busy)


def test_so_many_go_along_and_no_more() -> None:
    world = World(1)
    world.happen("+q")
    world.act()
    for number in range(MAX_TOGETHER + 2):
        world.happen(f"+q{number}/cat")
    (given,) = world.act()
    assert given.count("+") == MAX_TOGETHER


@pytest.mark.parametrize(
    ("count", "content", "ahead"),
    [(1, "/c{}", MAX_AHEAD), (1, "", ALONE_AHEAD), (ALL_AHEAD - 1, "/c{}", 1)],
)
def test_so_many_are_given_ahead_and_no_more(count: int, content: str, ahead: int) -> None:
    world = World(1)
    for event in ("+q", "A."):  # which took no time at all
        world.happen(event)
        world.act()
    for number in range(1, count):
        world.start(f"W{number}")
    for number in range(MAX_AHEAD + 5):
        world.happen(f"+q{number}{content.format(number)}")
    assert len(world.act()) == 1 + ahead


def test_a_job_has_the_time_when_it_began() -> None:
    world = World(1)
    for event in ("+q1", "+q2", "+q3"):
        world.happen(event)
    world.act()
    for event in ("@1", "A."):
        world.happen(event)
    world.act()
    assert [job.started for job in world.jobs.values()] == [0.0, 1.0, -1.0]


@pytest.mark.parametrize(("leaves", "wait"), [("", 1.0), ("-q1", 0.0)])
def test_how_long_one_took_that_was_stopped_tells_nothing(leaves: str, wait: float) -> None:
    world = World(1)
    for event in f"+q1 {leaves} @2 +q2 +q3".split():
        world.happen(event)
        world.act()
    world.happen("A.")
    world.act()
    assert world.scheduler.wait() > wait
    assert (world.scheduler.wait() < 1.0) == bool(leaves)


def test_those_that_wait_at_a_worker_are_counted() -> None:
    world = World(1)
    for event in ("+q1", "+q2", "+q3"):
        world.happen(event)
    world.act()
    assert world.scheduler.ahead() == 1
    assert world.scheduler.wait() == world.scheduler.lanes.wait(Lane.QUICK, 1)
    assert world.scheduler.under_work() == [("A", None)]


def test_whose_time_is_up_is_known_wherever_it_is() -> None:
    world = World(1)
    for event in ("+q1", "+q2", "+q3"):
        world.happen(event)
    world.act()
    assert world.scheduler.overdue(TIME - 1) == []
    assert {job.name for job in world.scheduler.overdue(TIME)} == {"q1", "q2", "q3"}


def test_at_the_end_all_jobs_are_known_and_none_is_given() -> None:
    world = World(2)
    for event in ("+q1", "+q2", "+q3", "+q4", "+q5"):
        world.happen(event)
    world.act()
    world.happen("B.")
    assert {job.name for job in world.scheduler.clear()} == {"q1", "q3", "q4", "q5"}
    assert world.act() == []


def test_a_worker_that_dies_as_it_is_given_a_job_loses_nothing() -> None:
    """Its socket may be closed already: the death is an event between two actions."""
    world = World(2)
    world.happen("+q1")
    world.happen("+q2")
    said = []
    for action in world.scheduler.actions(0.0):
        assert isinstance(action, Give)
        if action.worker == "A":
            assert world.scheduler.remove("A") is None
            said += world.act()
        else:
            world.has[action.worker] += action.jobs
    assert said == ["B+q1", "C+q2"]


def test_what_a_worker_that_dies_cannot_have_begun_may_still_be_retried() -> None:
    world = World(1)
    world.happen("+q1")
    for _ in range(3):
        (action,) = world.scheduler.actions(0.0)
        assert isinstance(action, Give)
        assert world.scheduler.remove(action.worker, retry=False, begun=False) is None
        world.start(action.worker)
        assert world.jobs["q1"].retry


# -- whatever happens ------------------------------------------------------------------------------


class Run(World):
    """A world in which anything happens, and the rules that hold all the same."""

    def check(self, count: int) -> None:
        held = [job for jobs in self.has.values() for job in jobs if job]
        assert len(held) == len(set(held))  # nobody does what another one does
        working = [jobs for jobs in self.has.values() if jobs]
        assert len(working) <= count + 1
        assert set(self.scheduler.idle()) == {name for name, jobs in self.has.items() if not jobs}
        heavy = [cost.memory for _, cost in self.scheduler.under_work() if cost]
        assert sum(heavy) <= 1000 * MB
        assert len(heavy) <= count
        assert sum(self.scheduler.lanes.working().values()) == len(working)
        assert self.scheduler.ahead() == sum(
            job is not None for jobs in working for job in jobs[1:]
        )
        waiting = list(self.scheduler.lanes)
        assert not set(waiting) & set(held)
        alive = {job for job in self.jobs.values() if job.awaited}
        assert alive <= set(waiting) | set(held) | set(self.lent)  # nothing is forgotten
        assert not set(self.lent) & (set(waiting) | set(held))
        # no worker is idle while another one has long had a quick job that it has not begun
        spare = len(working) < count and self.scheduler.idle()
        stuck = [
            job.name
            for first, *others in working
            for job in others
            if job and job.awaited and first and self.now - first.started >= PART_AFTER
        ]
        assert not (spare and stuck)


NAMES = st.sampled_from(
    ["q", "q", "q", "q/cat", "q/cat", "q/DOG", "q/DOG", "h", "m", "a"]  # as they come
)
EVENTS = st.tuples(
    st.sampled_from(
        "enter enter enter done done done cost leave die retire late gather free back".split()
    ),
    NAMES,
    st.integers(0, 99),
)


@given(count=st.integers(1, 4), events=st.lists(EVENTS, max_size=60))
@settings(max_examples=times(400))
def test_whatever_happens_each_job_ends_once(
    count: int, events: list[tuple[str, str, int]]
) -> None:
    world = Run(count)
    entered, born = 0, 0
    for what, name, dice in events:
        busy = [worker for worker, jobs in world.has.items() if jobs]
        alive = [job for job in world.jobs.values() if job.awaited]
        if what == "enter":
            kind, slash, content = name.partition("/")
            world.enter(f"{kind}{entered}{slash}{content}")
            entered += 1
        elif what == "late":
            world.now += dice / 100
        elif what == "free":
            world.others.free = dice % 4
        elif what == "back" and world.lent:  # the other front does not do it
            job = world.lent.pop(dice % len(world.lent))
            job.borrowed = True
            if job.awaited:
                world.scheduler.enter_again(job)
        elif what == "leave" and alive:
            world.abandon(alive[dice % len(alive)].name)
        elif what == "gather" and alive:
            world.scheduler.gathered(alive[dice % len(alive)])
        elif what == "die":
            worker = sorted(world.has)[dice % len(world.has)]
            world.die(worker, retry=dice % 2 == 0)
            world.act()
            world.start(f"N{born}")
            born += 1
        elif what in ("done", "cost", "retire") and busy:
            worker = busy[dice % len(busy)]
            first = world.has[worker][0]
            unknown = first is not None and first.cost is None
            cost = COSTS["ham"[dice % 3]] if what == "cost" and unknown else None
            world.finish(worker, cost=cost, retire=what == "retire")
        world.act()
        while len(world.has) <= count:  # one that was to end is replaced when it has
            world.start(f"N{born}")
            born += 1
            world.act()
        world.check(count)
    # then all come to their end
    for job in world.jobs.values():
        world.scheduler.gathered(job)
    for job in world.lent:
        world.end(job) if job.awaited else None
    world.others.free = 0
    world.now += 1.0
    world.act()
    for _ in range(10 * len(events) + 10):
        busy = [worker for worker, jobs in world.has.items() if jobs]
        if not busy:
            break
        world.finish(busy[0])
        world.act()
        if busy[0] not in world.has:
            world.start(f"N{born}")
            born += 1
            world.act()
    assert not [job.name for job in world.jobs.values() if job.awaited]
    assert len(world.ended) == len(set(world.ended))
    assert len(world.scheduler.lanes) == world.scheduler.ahead() == world.scheduler.lanes.held == 0
    assert not any(world.scheduler.lanes.working().values())
