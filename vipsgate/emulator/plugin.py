"""The pytest plugin: the fixture ``oss``, a stand-in for OSS.

Nothing is started before a test uses the fixture. There is one server for each test process, hence
one for each worker of pytest-xdist. It is reset after each test, or after each class, module or
session if ``oss_scope`` in pytest's configuration says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import Emulator

SCOPES = ("function", "class", "module", "package", "session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of pytest's configuration."""
    parser.addini(
        "oss_scope", f"After what `oss` is reset: {', '.join(SCOPES)}.", default=SCOPES[0]
    )
    parser.addini("oss_seed", "A folder whose sub-folders are buckets to begin with.", default="")
    parser.addini("oss_config", "A vipsgate.toml with further settings.", default="")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    """Return the scope of ``oss``.

    Raises:
        UsageError: The configuration has another one.
    """
    scope = config.getini("oss_scope")
    if scope not in SCOPES:
        raise pytest.UsageError(f"oss_scope = {scope}: expects one of {', '.join(SCOPES)}")
    return scope


@pytest.fixture(scope="session")
def oss_server(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    """The server behind ``oss``, which ends with the session."""
    from . import run

    seed, config = (pytestconfig.getini(name) for name in ("oss_seed", "oss_config"))
    folder = pytestconfig.rootpath
    with run(folder / seed if seed else None, config=folder / config if config else None) as oss:
        yield oss


@pytest.fixture(scope=_scope)
def oss(oss_server: Emulator) -> Iterator[Emulator]:
    """A stand-in for OSS, which is reset afterwards; see :class:`.client.Emulator`."""
    yield oss_server
    oss_server.reset()
