"""``vipsgate serve``: serves the buckets of a folder or of an object store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..settings import Settings, SettingsError, load
from .shared import CONFIG, Usage, address, start_failure


@click.command("serve")
@click.argument("root", required=False)
@CONFIG
@click.option("--host", help="Address of the public port.  [127.0.0.1]")
@click.option("--port", type=int, help="Public port, 0 picks a free one.  [8080]")
@click.option("--admin-port", type=int, help="Port of health, metrics and console.  [8081]")
@click.option("--fronts", type=int, help="Front processes.  [one for each four usable CPUs]")
@click.option("--renderers", type=int, help="Renderer processes.  [one per usable CPU]")
@click.option("--reuse-port", is_flag=True, default=None, help="Share the port with others.")
@click.option("--cache-dir", help="Folder of the derivative cache.")
@click.option("--no-cache", is_flag=True, help="Keep no derivatives.")
def command(root: str | None, config: Path | None, **flags: Any) -> None:
    """Serve the buckets in ROOT: the folders in a folder, or s3://, gs:// or az://."""
    server = ("host", "port", "admin_port", "fronts", "renderers", "reuse_port")
    rows = {
        "server": {name: flags[name] for name in server},
        "store": {"url": address(root)},
        "cache": {"dir": flags["cache_dir"], "enabled": False if flags["no_cache"] else None},
    }
    run(lambda: load(config, rows), _show)


def _show(address: str, console: str) -> None:
    if "#" in console:  # a key for this run, for the user of this terminal
        click.echo(f"vipsgate: console {console}", err=True)


def run(read: Callable[[], Settings], show: Callable[[str, str], None]) -> None:
    """Run the server in this process until it is told to stop."""
    from ..server import child, parent

    logging.basicConfig(level=logging.INFO, format="vipsgate: %(levelname)s: %(message)s")
    try:
        settings = read()
        if not settings.credentials:
            _note("no credentials, so buckets without a document are public-read")
        if settings.front_count() > 1:
            parent.run(settings, read, show)
        else:
            _alone(settings, read, show)
    except SettingsError as error:
        raise Usage(str(error)) from None
    except child.FrontError as error:
        raise click.ClickException(f"cannot start: {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot start: {start_failure(error)}") from None


def _alone(
    settings: Settings, read: Callable[[], Settings], show: Callable[[str, str], None]
) -> None:
    """Run as the only front.

    Raises:
        FrontError: The front cannot be started.
    """
    import uvloop

    from ..build import store_of
    from ..errors import OssError
    from ..renderers.workers import StartError
    from ..server import main as server
    from ..server.child import FrontError

    try:
        store_of(settings)
        uvloop.run(server.run(settings, read, show))
    except (StartError, OssError) as error:
        raise FrontError(str(error)) from None


def _note(text: str) -> None:
    """Print a note for the user who starts the server, to standard error."""
    click.echo(f"vipsgate: {text}", err=True)
