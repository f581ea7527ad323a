"""What a process of the tests reports to the one that prints: what a test did, and what went wrong.

pytest-xdist writes, sends and reads three reports of each test, for its set-up, its call and its
tear-down, and a word of its begin and of its end; that is more than a test of a millisecond costs
besides. Of a set-up or a tear-down that passed nobody prints anything, so only those are sent that
have something to tell: an error, a skip, text that was written, or a time that ``--durations``
lists. Begin and end are printed with ``-v``, and sent there.
"""

import pytest
from _pytest.runner import runtestprotocol

LONG_S = 0.005  # pytest's own --durations-min


def tells(report: pytest.TestReport) -> bool:
    """Whether somebody prints something of it."""
    return (
        report.when == "call"
        or not report.passed
        or bool(report.sections or report.user_properties)
        or report.duration >= LONG_S
    )


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test as pytest does, and report the parts that :func:`tells` names."""
    if not hasattr(item.config, "workerinput"):
        return None
    where = {"nodeid": item.nodeid, "location": item.location}
    named = item.config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) > 0
    if named:
        item.ihook.pytest_runtest_logstart(**where)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if tells(report):
            item.ihook.pytest_runtest_logreport(report=report)
    if named:
        item.ihook.pytest_runtest_logfinish(**where)
    return True
