"""``vipsgate emulate``: a stand-in for OSS in a temporary folder, for test suites."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from ..settings import SettingsError
from .shared import CONFIG, Usage, start_failure


@click.command("emulate")
@CONFIG
@click.option(
    "--seed",
    type=click.Path(path_type=Path),
    help="A folder whose sub-folders are buckets to begin with; it is copied.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of both ports.")
@click.option("--port", type=int, default=0, show_default=True, help="Public port, 0: a free one.")
@click.option("--admin-port", type=int, default=0, show_default=True, help="Port of control.")
@click.option("--renderers", type=int, default=1, show_default=True, help="Renderer processes.")
@click.option("--parent", type=int, default=0, help="End with the process of this number.")
def command(
    config: Path | None,
    seed: Path | None,
    host: str,
    port: int,
    admin_port: int,
    renderers: int,
    parent: int,
) -> None:
    """Serve buckets in a temporary folder, and print a line of JSON when ready.

    The line has the endpoint, the admin port and the credentials. Clock, faults and recorded
    requests are at /emulator/ on the admin port. The folder is deleted at the end.
    """
    flags = {"host": host, "port": port, "renderers": renderers}
    flags |= {"admin_host": host, "admin_port": admin_port}
    run(seed, config, flags, parent)


def run(seed: Path | None, config: Path | None, flags: dict[str, Any], parent: int) -> None:
    """Run the emulator in this process until it is told to stop."""
    import uvloop

    from ..emulator import main
    from ..emulator.buckets import Folder
    from ..errors import OssError

    logging.basicConfig(level=logging.WARNING, format="vipsgate: %(levelname)s: %(message)s")
    try:
        folder = Folder(seed)
    except SettingsError as error:
        raise Usage(str(error)) from None
    try:
        settings = main.settings_of(folder, config, flags)
        uvloop.run(main.run(folder, settings, parent, click.echo))
    except SettingsError as error:
        raise Usage(str(error)) from None
    except OssError as error:
        raise click.ClickException(f"cannot start: {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot start: {start_failure(error)}") from None
    finally:
        folder.remove()
