"""Who gets a turn when more is asked than can be done: whole pools by a clock of their own.

Fronts, each with a scheduler and its workers, share a scoreboard and lend each other jobs, as in
:mod:`vipsgate.renderers.pool`. Clients ask again as soon as they are answered, and a moment after a
refusal, so that some kinds of work wait all the time. No process runs, and a minute takes a moment.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import THOROUGH, times

from vipsgate.fronts.scoreboard import Column, Scoreboard
from vipsgate.image.cost import Cost
from vipsgate.renderers import lending
from vipsgate.renderers.admission import Bounds
from vipsgate.renderers.lanes import Lane, lane_of
from vipsgate.renderers.scheduler import Expire, Give, Lend, Scheduler, Take

MB = 1 << 20
MEMORY = 1000 * MB
KINDS = {  # what a job costs; its estimate is right
    "quick": Cost(0.02, 5 * MB),
    "still": Cost(0.4, 60 * MB),
    "avif": Cost(1.5, 100 * MB),
    "wide": Cost(0.6, 900 * MB),  # with hardly any other one at the same time
    "film": Cost(2.0, 50 * MB, 40),
    "long-film": Cost(6.0, 80 * MB, 200),
}
PROBE = 0.002  # seconds until a worker hands an expensive job back
TIMEOUT = 15.0
POLL = 0.05  # seconds between two looks at deadlines, and at what other fronts have
AGAIN = 0.25  # seconds after which a client that was refused asks again


@dataclass(eq=False)
class Client:
    """Who asks for one kind, one job at a time.

    Attributes:
        answers: When it got a picture, and how long that had waited until it was begun.
    """

    front: int
    kind: str
    answers: list[tuple[float, float]] = field(default_factory=list)


@dataclass(eq=False)
class Job:
    client: Client
    deadline: float
    cost: Cost | None = None
    content: str = ""
    gathering: bool = False
    started: float = -1.0
    retry: bool = True
    awaited: bool = True
    telling: bool = True
    borrowed: bool = False


class Front:
    """A scheduler and its workers."""

    def __init__(self, machine: Machine, number: int, renderers: int) -> None:
        self.machine, self.number = machine, number
        channel = SimpleNamespace(notify=lambda front, kind, body: machine.notices.append(front))
        peers = SimpleNamespace(scoreboard=machine.scoreboard, front=number, channel=channel)
        self.lending = lending.Lending(peers) if machine.scoreboard.fronts > 1 else None
        self.scheduler: Scheduler[Job, int] = Scheduler(
            count=renderers,
            bounds=Bounds(5.0, machine.queue),
            memory=MEMORY,
            others=self.lending,
        )
        self.has: dict[int, list[Job | None]] = {worker: [] for worker in range(renderers + 1)}
        for worker in self.has:
            self.scheduler.add(worker)

    def dispatch(self, *, offer: bool = True) -> None:
        now = self.machine.now
        for action in self.scheduler.actions(now):
            match action:
                case Give(jobs, worker):
                    idle = not self.has[worker]
                    self.has[worker] += jobs
                    if idle:
                        self.begin(worker)
                case Take(job, worker):
                    self.has[worker][self.has[worker].index(job)] = None
                case Expire(job):
                    self.machine.end(job, done=False)
                case Lend(job, front):
                    self.machine.at(now, lambda job=job, to=front: self.lend(job, to))
        if self.lending:
            self.lending.publish(self.scheduler)
            if offer:
                self.lending.offer()

    def begin(self, worker: int) -> None:
        job = self.has[worker][0]
        takes = 0.0
        if job:
            cost = KINDS[job.client.kind]
            begins = job.cost is not None or lane_of(cost) is Lane.QUICK
            takes = cost.seconds if begins else PROBE
        self.machine.at(self.machine.now + takes, lambda: self.reply(worker))

    def reply(self, worker: int) -> None:
        """A worker is done with its first job, or hands it back."""
        now = self.machine.now
        first = self.has[worker].pop(0)
        assert self.scheduler.finish(worker, now) is first
        if self.has[worker]:
            self.begin(worker)
        if first and first.awaited:
            cost = KINDS[first.client.kind]
            if first.cost is None and lane_of(cost) is not Lane.QUICK:
                first.cost = cost
                if self.scheduler.refusal(first.deadline - now, cost):
                    self.machine.end(first, done=False)
                else:
                    self.scheduler.enter(first)
            else:
                self.machine.end(first, done=True)
        self.dispatch()

    def lend(self, job: Job, to: int) -> None:
        other = self.machine.fronts[to]
        job.borrowed = True
        if other.scheduler.refusal(job.deadline - self.machine.now, job.cost):
            self.scheduler.enter_again(job)
            self.dispatch()
        else:
            other.scheduler.enter(job)
            other.dispatch()

    def poll(self) -> None:
        for job in self.scheduler.overdue(self.machine.now):
            self.machine.end(job, done=False)
            self.scheduler.abandon(job)
        self.dispatch()
        self.machine.at(self.machine.now + POLL, self.poll)


class Machine:
    """All fronts of a server, their clients, and the clock."""

    def __init__(self, fronts: int, renderers: int, queue: int = 10_000) -> None:
        self.now, self.queue, self.renderers = 0.0, queue, fronts * renderers
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.notices: list[int] = []
        self.scoreboard = Scoreboard(fronts)
        for front in range(fronts):
            self.scoreboard.set(front, Column.RENDERERS, renderers)
        self.scoreboard.responds = lambda front: True  # type: ignore[method-assign]
        self.fronts = [Front(self, front, renderers) for front in range(fronts)]
        for front in self.fronts:
            front.poll()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), what))

    def ask(self, client: Client) -> None:
        front = self.fronts[client.front]
        if front.scheduler.refusal(TIMEOUT):
            self.at(self.now + AGAIN, lambda: self.ask(client))
            return
        front.scheduler.enter(Job(client, self.now + TIMEOUT))
        front.dispatch()

    def end(self, job: Job, *, done: bool) -> None:
        """A client has its answer, and asks again."""
        if not job.awaited:
            return
        job.awaited = False
        client = job.client
        if done:
            waited = job.started - (job.deadline - TIMEOUT)
            client.answers.append((self.now, waited))
        self.at(self.now + (0.0 if done else AGAIN), lambda: self.ask(client))

    def run(self, clients: list[Client], seconds: float) -> None:
        for number, client in enumerate(clients):
            self.at(number * 1e-3, lambda client=client: self.ask(client))
        while self.events[0][0] < seconds:
            self.now, _, what = heapq.heappop(self.events)
            what()
            while self.notices:
                self.fronts[self.notices.pop()].dispatch(offer=False)
            self.check()

    def check(self) -> None:
        """The rules that hold at every moment."""
        at_work = [
            cost
            for front in self.fronts
            for _, cost in front.scheduler.under_work()
            if cost  # which no quick job is sent with
        ]
        if len(at_work) > 1:
            animations = sum(cost.pages > 1 for cost in at_work)
            assert animations <= max(1, self.renderers // 2)
            assert sum(cost.memory for cost in at_work) <= MEMORY


@pytest.fixture(autouse=True, scope="module")
def fresh():
    """A look at other fronts lasts no time: the clock of these tests stands while they are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lending, "FRESH_SECONDS", -1.0)
        yield


def clients(kind: str, front: int, count: int) -> list[Client]:
    return [Client(front, kind) for _ in range(count)]


def answered(some: list[Client]) -> float:
    """Seconds of work that these clients got."""
    return sum(len(one.answers) * KINDS[one.kind].seconds for one in some)


def longest_gap(client: Client, seconds: float) -> float:
    """Seconds in which a client got nothing, at most."""
    moments = [0.0, *(moment for moment, _ in client.answers), seconds]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize("quick", [0, 30])
@pytest.mark.parametrize("renderers", [1, 2, 4])
@pytest.mark.parametrize(("still", "film"), [("still", "film"), ("avif", "film")])
def test_stills_and_animations_get_as_much(
    still: str, film: str, renderers: int, quick: int
) -> None:
    stills, films = clients(still, 0, 30), clients(film, 0, 15)
    machine = Machine(1, renderers)
    machine.run([*stills, *films, *clients("quick", 0, quick)], 120.0 if THOROUGH else 50.0)
    assert 0.7 < answered(stills) / answered(films) < 1.5


@pytest.mark.parametrize("kind", ["still", "wide", "film", "long-film"])
def test_a_full_queue_of_quick_jobs_keeps_nothing_else_out(kind: str) -> None:
    (one,) = asked = clients(kind, 0, 1)
    Machine(1, 2, queue=20).run([*asked, *clients("quick", 0, 40)], 60.0)
    assert len(one.answers) > 2


@pytest.mark.parametrize("flood", ["still", "wide", "film", "long-film"])
@pytest.mark.parametrize(("fronts", "renderers"), [(1, 1), (1, 2), (2, 1)])
def test_quick_jobs_wait_for_nothing_else(fronts: int, renderers: int, flood: str) -> None:
    (one,) = asked = clients("quick", 0, 1)
    machine = Machine(fronts, renderers)
    machine.run([*asked, *clients(flood, 0, 10), *clients(flood, fronts - 1, 10)], 20.0)
    assert len(one.answers) > 500
    assert max(waited for _, waited in one.answers) < 0.1


@pytest.mark.parametrize("fronts", [2, 4])
def test_animations_have_half_of_the_machine_also_on_fronts_of_one_renderer(fronts: int) -> None:
    """That it is never more is checked at every moment; here that it is no less, and all get it."""
    films = [one for front in range(fronts) for one in clients("film", front, 4)]
    Machine(fronts, 1).run(films, 120.0)
    assert answered(films) > 0.9 * 120 * (fronts // 2)
    for front in range(fronts):
        part = answered([one for one in films if one.front == front])
        assert part > 0.5 * answered(films) / fronts


@given(data=st.data())
@settings(max_examples=times(40), deadline=None)
def test_what_fits_gets_its_turn_whatever_else_waits(data: st.DataObject) -> None:
    """One client of one lane, beside floods of the other one and of quick jobs."""
    fronts, renderers = data.draw(st.sampled_from([(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (3, 1)]))
    kind = data.draw(st.sampled_from([name for name in KINDS if name != "quick"]))
    others = [name for name in KINDS if lane_of(KINDS[name]) is not lane_of(KINDS[kind])]
    numbers = st.integers(0, fronts - 1)
    floods = st.tuples(st.sampled_from(others), numbers, st.integers(1, 15))
    machine = Machine(fronts, renderers, queue=data.draw(st.sampled_from([40, 10_000])))
    (one,) = asked = clients(kind, data.draw(numbers), 1)
    for flood in data.draw(st.lists(floods, min_size=1, max_size=4)):
        asked += clients(*flood)
    machine.run(asked, 60.0)
    assert longest_gap(one, 60.0) < 2 * TIMEOUT + KINDS[kind].seconds
