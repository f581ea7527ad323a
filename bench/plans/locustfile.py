"""Locust: load for a synthetic bucket, by one of four plans.

    locust -f bench/plans/locustfile.py --headless -u 8 -r 8 -t 10s --host http://127.0.0.1:8080
    PLAN=cold SIZE=4000x3000 locust -f bench/plans/locustfile.py --host http://127.0.0.1:8080

    BUCKET   load                                 PLAN     mix (cold, hits, mix, srcset)
    SEEDS    50, pictures that hits are of        SIZE     1200x800, of a source
    FIRST    a seed that nobody has used

It ends with status 1 if a single request has failed.
"""

from __future__ import annotations

import itertools
import os
import random
import time

import gevent
from locust import HttpUser, constant, task

BUCKET, PLAN = os.environ.get("BUCKET", "load"), os.environ.get("PLAN", "mix")
SIZE, SEEDS = os.environ.get("SIZE", "1200x800"), int(os.environ.get("SEEDS", "50"))
FIRST = int(os.environ.get("FIRST", time.time_ns() // 1000))
WIDTHS = (320, 640, 960, 1280, 1600)
PATIENCE = 60.0  # seconds for an answer
NEW = itertools.count(FIRST)  # seeds of pictures that nobody has asked for


def photo(seed: int, width: int) -> str:
    return f"/{BUCKET}/photo-{SIZE}-{seed}.jpg?x-oss-process=image/resize,w_{width}"


def hit(seed: int) -> tuple[str, ...]:
    """The paths that hits are for."""
    filled = "resize,m_fill,w_300,h_300/format,webp"
    return (
        photo(seed, 400),
        f"/{BUCKET}/photo-{SIZE}-{seed}.jpg?x-oss-process=image/{filled}",
        f"/{BUCKET}/alpha-400x300-{seed}.png?x-oss-process=image/resize,w_200",
        f"/{BUCKET}/photo-400x300-{seed}.jpg",
    )


def one_hit() -> list[str]:
    return [random.choice(hit(random.randint(1, SEEDS)))]


# a plan -> the paths that are asked for at once
PLANS = {
    "cold": lambda: [photo(next(NEW), 400)],
    "hits": one_hit,
    "mix": lambda: [photo(next(NEW), 400)] if random.random() < 0.1 else one_hit(),
    "srcset": lambda: [photo(seed, width) for seed in [next(NEW)] for width in WIDTHS],
}
if PLAN not in PLANS:
    raise SystemExit(f"PLAN is one of {', '.join(PLANS)}")
WARMING = iter(range(1, SEEDS + 1)) if PLAN in ("hits", "mix") else iter(())


class Visitor(HttpUser):
    """Asks without a pause; what hits are of is asked for once before, by whoever comes first."""

    wait_time = constant(0)

    def on_start(self) -> None:
        for seed in WARMING:
            for path in hit(seed):
                self.ask(path, "warming")

    @task
    def page(self) -> None:
        paths = PLANS[PLAN]()
        if len(paths) == 1:
            self.ask(paths[0], PLAN)
        else:
            gevent.joinall([gevent.spawn(self.ask, path, PLAN) for path in paths])

    def ask(self, path: str, name: str) -> None:
        """Those of one plan count together, as their paths have no end."""
        with self.client.get(path, name=name, timeout=PATIENCE, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
