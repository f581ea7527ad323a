"""Fixtures that all tests may use; what they do stands in :mod:`support`."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("support")

from support.console import console, nobody, owner  # noqa: E402, F401
from support.examples import times  # noqa: E402
from support.objectstores import azurite, listening, middleman, moto, seaweedfs, stores, weed  # noqa: E402, F401
from support.pictures import bodies, font, guide, photo, root, saved  # noqa: E402, F401
from support.served import served  # noqa: E402, F401
from support.server import canary, serving, site  # noqa: E402, F401
from support.smuggling import pytest_generate_tests  # noqa: E402, F401
from support.videos import film, number  # noqa: E402, F401

# how long an example takes is the machine's business: no test has an opinion on it
settings.register_profile("vipsgate", deadline=None, max_examples=times(100))
settings.load_profile("vipsgate")
