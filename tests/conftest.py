"""Fixtures that all tests may use; what they do stands in :mod:`support`."""

import gc
import os
import sys

import pytest

# Whatever the environment says, bytecode is written: else each of some hundred servers, and each
# of its renderers, compiles all of its modules again, and so does each process of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What is collected stays: a search for garbage finds none, and takes an eighth of the time.
gc.disable()

from hypothesis import settings  # noqa: E402

pytest.register_assert_rewrite("support")

from support.console import console, nobody, owner  # noqa: E402, F401
from support.emulated import emulated  # noqa: E402, F401
from support.examples import times  # noqa: E402
from support.objectstores import azurite, listening, middleman, moto, seaweedfs, stores, weed  # noqa: E402, F401
from support.pictures import bodies, font, guide, photo, root, saved  # noqa: E402, F401
from support.processes import (  # noqa: E402
    pytest_xdist_auto_num_workers,  # noqa: F401
    pytest_xdist_make_scheduler,  # noqa: F401
)
from support.reports import pytest_runtest_protocol  # noqa: E402, F401
from support.server import canary, serving, site  # noqa: E402, F401
from support.smuggling import pytest_generate_tests  # noqa: E402, F401
from support.videos import film, number  # noqa: E402, F401

# how long an example takes is the machine's business: no test has an opinion on it
settings.register_profile("vipsgate", deadline=None, max_examples=times(100))
settings.load_profile("vipsgate")

_seen: dict[str, bool] = {}  # test -> has it run, and not only been skipped?


def pytest_runtest_logreport(report):
    """Note which tests have run, in the process that hears of all of them."""
    _seen[report.nodeid] = _seen.get(report.nodeid, False) or (
        report.when == "call" and not report.skipped
    )


def pytest_sessionfinish(session):
    """In CI, fail where a test that the conformance page names did not run with its file."""
    if not os.environ.get("CI") or hasattr(session.config, "workerinput"):
        return
    config = session.config
    if config.option.lf or config.option.keyword or any("::" in arg for arg in config.args):
        return  # a choice of tests
    from support import conformance  # which takes half a second, as every call is imported

    if left := conformance.not_run(_seen):
        print("\nnamed in tests/CONFORMANCE.md, and did not run:", *left, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_finish() -> None:
    """Thousands of tests, as they wait for their turn, are nothing to search for garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()
