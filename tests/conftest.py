"""Fixtures that all tests may use; what they do stands in :mod:`support`."""

from hypothesis import settings
from support.objectstores import azurite, listening, middleman, moto, seaweedfs, stores, weed  # noqa: F401
from support.pictures import bodies, font, guide, photo, root, saved  # noqa: F401
from support.server import canary, serving, site  # noqa: F401
from support.smuggling import pytest_generate_tests  # noqa: F401
from support.videos import film, number  # noqa: F401

# how long an example takes is the machine's business: no test has an opinion on it
settings.register_profile("vipsgate", deadline=None)
settings.load_profile("vipsgate")
