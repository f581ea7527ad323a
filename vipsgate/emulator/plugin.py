"""The pytest plugin: the fixture ``oss``, a stand-in for OSS.

Nothing is started before a test asks for the fixture. There is one server for a test process, hence
one for each worker of pytest-xdist; what a test has done to it is undone behind the test, or behind
the module, class or session that ``oss_scope`` names in pytest's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Emulator

SCOPES = ("function", "class", "module", "package", "session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what pytest's configuration may have."""
    parser.addini(
        "oss_scope", f"Behind what `oss` is reset: {', '.join(SCOPES)}.", default=SCOPES[0]
    )
    parser.addini("oss_seed", "A folder whose sub-folders are buckets to begin with.", default="")
    parser.addini("oss_config", "A vipsgate.toml with further settings.", default="")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    """Return the scope of ``oss``.

    Raises:
        UsageError: The configuration names another one.
    """
    scope = config.getini("oss_scope")
    if scope not in SCOPES:
        raise pytest.UsageError(f"oss_scope = {scope}: expects one of {', '.join(SCOPES)}")
    return scope


@pytest.fixture(scope="session")
def oss_server(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    """Start the server behind ``oss``, and end it with the session."""
    from . import run

    seed, config = (pytestconfig.getini(name) for name in ("oss_seed", "oss_config"))
    folder = pytestconfig.rootpath
    with run(folder / seed if seed else None, config=folder / config if config else None) as oss:
        yield oss


@pytest.fixture(scope=_scope)
def oss(oss_server: Emulator) -> Iterator[Emulator]:
    """Give a stand-in for OSS, and reset it afterwards; see :class:`.client.Emulator`."""
    yield oss_server
    oss_server.reset()
