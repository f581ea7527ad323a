"""Fixtures that all tests may use; what they do stands in :mod:`support`."""

import gc
import os
import sys

import pytest

# Whatever the environment says, bytecode is written: else each of some hundred servers, and each
# of its renderers, compiles all of its modules again, and so does each process of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from hypothesis import settings  # noqa: E402

pytest.register_assert_rewrite("support")

from support.console import console, nobody, owner  # noqa: E402, F401
from support.examples import times  # noqa: E402
from support.objectstores import azurite, listening, middleman, moto, seaweedfs, stores, weed  # noqa: E402, F401
from support.pictures import bodies, font, guide, photo, root, saved  # noqa: E402, F401
from support.server import canary, serving, site  # noqa: E402, F401
from support.smuggling import pytest_generate_tests  # noqa: E402, F401
from support.videos import film, number  # noqa: E402, F401

# how long an example takes is the machine's business: no test has an opinion on it
settings.register_profile("vipsgate", deadline=None, max_examples=times(100))
settings.load_profile("vipsgate")


def pytest_collection_finish() -> None:
    """Thousands of tests, as they wait for their turn, are nothing to search for garbage."""
    gc.collect()
    gc.freeze()
