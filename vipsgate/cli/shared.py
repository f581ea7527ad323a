"""Shared by all commands: the option for the configuration, and errors of usage."""

from __future__ import annotations

import errno
from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="VIPSGATE_CONFIG",
    help="Read vipsgate.toml from here.",
)


def address(root: str | None) -> str | None:
    """Return the URL of a store that the command line names by a folder or a URL."""
    return root if root is None or "://" in root else Path(root).resolve().as_uri()


class Usage(click.ClickException):
    """Usage or configuration is not valid; the exit status is 2."""

    exit_code = 2


def start_failure(error: OSError) -> str:
    """Return why a server cannot start, and what to do about it, without the error's number."""
    hint = "; choose other ones with --port and --admin-port"
    return f"{error.strerror or error}{hint if error.errno == errno.EADDRINUSE else ''}"
