"""One emulator for all tests here, as its plugin gives it: reset behind each of them."""

import pytest

from vipsgate import emulator


@pytest.fixture(scope="session")
def server():
    with emulator.run() as running:
        yield running


@pytest.fixture
def oss(server):
    yield server
    server.reset()
