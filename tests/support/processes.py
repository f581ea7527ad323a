"""How many processes run the tests, and which tests each of them runs.

Most tests with servers wait, for a server, for another process or for time: with one process for
each CPU a quarter of the machine does nothing. Those of a file in ``tests/e2e`` share a server, so
that one process runs all of them. Others share nothing that takes long: a process that is done
takes over half of what another one has left, and none works alone at the end.
"""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import WorkStealingScheduling

from vipsgate.settings import usable_cpus

FEWEST, MOST = 2, 12  # each of them imports all test modules


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are CPUs."""
    cpus = usable_cpus()
    return max(FEWEST, min(MOST, cpus + cpus // 2))


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> WorkStealingScheduling | None:
    """Share out single tests where none of ``tests/e2e`` is among them; else whole files."""
    e2e = config.rootpath / "tests" / "e2e"
    ignored = map(Path.resolve, map(Path, config.getoption("ignore") or ()))
    named = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    among = any(path == e2e or e2e in path.parents or path in e2e.parents for path in named)
    return None if among and e2e not in ignored else WorkStealingScheduling(config, log)
