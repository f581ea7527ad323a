"""``vipsgate demo``: create a bucket of pictures, serve it, and print URLs to click."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from ..demo.tour import TOUR
from ..settings import load
from . import serve


@click.command("demo")
@click.option("--port", type=int, default=8080, show_default=True, help="Public port.")
@click.option(
    "--admin-port",
    type=int,
    default=8081,
    show_default=True,
    help="Port of health, metrics and console.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("vipsgate-demo"),
    show_default=True,
    help="Where the demo bucket is made, unless it is there.",
)
def command(port: int, admin_port: int, folder: Path) -> None:
    """Create a bucket of pictures, serve it, and print URLs to click."""
    from ..demo import BUCKET

    if not folder.exists():
        click.echo(f"vipsgate: painting a bucket of pictures in {folder} ...", err=True)
        # in a separate process, because the one that serves must not load libvips
        subprocess.run([sys.executable, "-m", "vipsgate.demo", str(folder)], check=True)
    rows: dict[str, dict[str, Any]] = {
        "server": {"port": port, "admin_port": admin_port},
        "store": {"url": folder.resolve().as_uri()},
    }

    def show(address: str, console: str) -> None:
        click.echo(f"  {'the console, with a key of this run':<42} {console}")
        for stop in TOUR:
            click.echo(f"  {stop.title:<42} {stop.url(f'{address}/{BUCKET}')}")

    serve.run(lambda: load(None, rows), show)
