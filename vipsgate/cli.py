"""The commands: ``vipsgate serve``, ``demo``, ``render``, ``check``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .settings import Settings, SettingsError, load


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vipsgate")
def main() -> None:
    """A self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing."""


@main.command()
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="Read vipsgate.toml from here.")
@click.option("--host", help="Address of the public port.  [127.0.0.1]")
@click.option("--port", type=int, help="Public port, 0 picks a free one.  [8080]")
@click.option("--admin-port", type=int, help="Port of health and metrics.  [8081]")
@click.option("--renderers", type=int, help="Renderer processes.  [one per usable CPU]")
@click.option("--reuse-port", is_flag=True, default=None, help="Share the port with others.")
@click.option("--cache-dir", help="Folder of the derivative cache.")
@click.option("--no-cache", is_flag=True, help="Keep no derivatives.")
def serve(root: Path | None, config: Path | None, **flags: Any) -> None:
    """Serve the buckets below the folder ROOT."""
    from . import server

    if config is None and "VIPSGATE_CONFIG" in os.environ:
        config = Path(os.environ["VIPSGATE_CONFIG"])
    rows = {
        "server": {
            name: flags[name] for name in ("host", "port", "admin_port", "renderers", "reuse_port")
        },
        "store": {"url": root.resolve().as_uri() if root else None},
        "cache": {"dir": flags["cache_dir"], "enabled": False if flags["no_cache"] else None},
    }

    def read() -> Settings:
        return load(config, rows)

    try:
        settings = read()
        server.check(settings)
    except SettingsError as error:
        raise Usage(str(error)) from None
    if not settings.credentials:
        server.note("no credentials are configured, so buckets without a document are public-read")
    _run(settings, read)


def _run(settings: Settings, read: Any) -> None:
    import uvloop

    from . import server
    from .renderers import StartError

    logging.basicConfig(level=logging.INFO, format="vipsgate: %(levelname)s: %(message)s")
    try:
        uvloop.run(server.run(settings, read))
    except (StartError, OSError) as error:
        click.echo(f"vipsgate: cannot start: {error}", err=True)
        sys.exit(1)


class Usage(click.ClickException):
    """Wrong usage or configuration."""

    exit_code = 2
