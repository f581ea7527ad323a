"""How many processes run the tests.

Most tests with servers wait, for a server, for another process or for time: with one process for
each CPU a quarter of the machine does nothing.
"""

from vipsgate.settings import usable_cpus

FEWEST, MOST = 2, 12  # each of them imports all test modules


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are CPUs."""
    cpus = usable_cpus()
    return max(FEWEST, min(MOST, cpus + cpus // 2))
