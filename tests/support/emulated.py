"""Our own emulator, as other projects have it by its plugin, for the tests of clients.

There is one for a process of the tests; its settings are ``oss_config`` in ``pyproject.toml``. It
is not reset in between: each test has buckets of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vipsgate.emulator.client import Emulator

from .server import faults


@dataclass(frozen=True, slots=True)
class Emulated:
    """A running emulator.

    Attributes:
        oss: What the plugin gives.
        host: An address, so clients name buckets in the path.
        port: Where it listens.
        root: The folder of its buckets.
    """

    oss: Emulator
    host: str
    port: int
    root: Path


@pytest.fixture(scope="session")
def emulated(oss_server: Emulator) -> Iterator[Emulated]:
    """The emulator; whatever clients send it, it has no fault of its own."""
    url = urlsplit(oss_server.endpoint)
    yield Emulated(oss_server, url.hostname or "", url.port or 0, oss_server.folder / "buckets")
    assert not faults(oss_server.log)
    assert not [request for request in oss_server.requests if request.status == 500]
