"""What all commands share: the option for the configuration, and how wrong usage ends."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="VIPSGATE_CONFIG",
    help="Read vipsgate.toml from here.",
)


class Usage(click.ClickException):
    """Wrong usage or configuration."""

    exit_code = 2
