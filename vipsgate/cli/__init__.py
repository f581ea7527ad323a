"""The commands: ``vipsgate serve``, ``demo``, ``render``, ``sign``, ``bucket``, ``check``."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

from .. import __version__
from ..demo.tour import TOUR
from ..errors import OssError
from ..settings import Settings, SettingsError, load
from .bucket import bucket
from .shared import CONFIG, Usage, address


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vipsgate")
def main() -> None:
    """A self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing."""


@main.command()
@click.argument("root", required=False)
@CONFIG
@click.option("--host", help="Address of the public port.  [127.0.0.1]")
@click.option("--port", type=int, help="Public port, 0 picks a free one.  [8080]")
@click.option("--admin-port", type=int, help="Port of health.  [8081]")
@click.option("--renderers", type=int, help="Renderer processes.  [one per usable CPU]")
@click.option("--reuse-port", is_flag=True, default=None, help="Share the port with others.")
@click.option("--cache-dir", help="Folder of the derivative cache.")
@click.option("--no-cache", is_flag=True, help="Keep no derivatives.")
def serve(root: str | None, config: Path | None, **flags: Any) -> None:
    """Serve the buckets, which are the folders below ROOT; or ROOT is s3://, gs:// or az://."""
    server = ("host", "port", "admin_port", "renderers", "reuse_port")
    rows = {
        "server": {name: flags[name] for name in server},
        "store": {"url": address(root)},
        "cache": {"dir": flags["cache_dir"], "enabled": False if flags["no_cache"] else None},
    }
    _serve(lambda: load(config, rows), lambda address: None)


@main.command()
@click.option("--port", type=int, default=8080, show_default=True, help="Public port.")
@click.option("--admin-port", type=int, default=8081, show_default=True, help="Port of health.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("vipsgate-demo"),
    show_default=True,
    help="Where the demo bucket is made, unless it is there.",
)
def demo(port: int, admin_port: int, folder: Path) -> None:
    """Make a bucket of pictures, serve it, and print URLs to click."""
    from ..demo import BUCKET

    if not folder.exists():
        click.echo(f"vipsgate: painting a bucket of pictures in {folder} ...", err=True)
        # in a process of its own: the one that serves must not know libvips
        subprocess.run([sys.executable, "-m", "vipsgate.demo", str(folder)], check=True)
    rows: dict[str, dict[str, Any]] = {
        "server": {"port": port, "admin_port": admin_port},
        "store": {"url": folder.resolve().as_uri()},
    }

    def show(address: str) -> None:
        for stop in TOUR:
            click.echo(f"  {stop.title:<42} {stop.url(f'{address}/{BUCKET}')}")

    _serve(lambda: load(None, rows), show)


@main.command()
@click.argument("src", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("dst", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--process", "text", required=True, metavar="TEXT", help="image/resize,w_400")
@click.option("--explain", is_flag=True, help="Print the plan as JSON instead of rendering.")
@CONFIG
def render(src: Path, dst: Path | None, text: str, explain: bool, config: Path | None) -> None:
    """Process the picture or video SRC into DST: the same pipeline, without HTTP.

    Objects of watermarks are looked for in the folder of SRC.
    """
    from ..image import plan, process, reports
    from ..image import render as pixels
    from ..image.formats import probe
    from ..image.prepared import Beside, Studio
    from ..image.video import decode
    from ..worker import fontfiles

    if (dst is None) is not explain:
        raise click.UsageError("give DST, or --explain instead of it")
    try:
        settings = load(config, {})
        pixels.prepare()
        found = fontfiles.find(settings.image.fonts_dir)
        found.install()
        asked = process.parse(text, settings.limits)
        if asked.snapshot:
            if not dst:
                raise click.UsageError("--explain is for pictures")
            studio, never = Studio(settings.limits, settings.image, found.fonts), bool
            with src.open("rb") as file:
                wanted = file.fileno(), asked.snapshot
                _replace(dst, lambda made: decode.answer(*wanted, made, studio, never))
            return
        source = probe.probe(src.read_bytes())
        made = plan.make(source.header, asked.actions, settings.limits, settings.image)
        beside = {key: Beside(key, (src.parent / key).read_bytes) for key in asked.needs()}
        studio = Studio(settings.limits, settings.image, found.fonts, objects=beside)
        if explain:
            click.echo(json.dumps({"process": str(asked), **made.explain()}, indent=2))
        elif dst and asked.answer:
            said = reports.ANSWERS[asked.answer](source, studio)
            _replace(dst, lambda descriptor: os.write(descriptor, said))
        elif dst:
            _replace(dst, lambda descriptor: pixels.render(source, made, descriptor, studio))
            if missing := found.fonts.missing(asked.writes()):
                click.echo(f"no font has {missing} of the characters", err=True)
    except SettingsError as error:
        raise Usage(str(error)) from None
    except (OssError, OSError, RuntimeError) as error:
        code = f"{error.code}: " if isinstance(error, OssError) else ""
        raise click.ClickException(f"{code}{error}") from None


@main.command()
@click.argument("url", metavar="oss://BUCKET/KEY")
@click.option("--process", "text", default="", metavar="TEXT", help="image/resize,w_400")
@click.option(
    "--expires", type=click.IntRange(1), default=3600, show_default=True, help="Valid seconds."
)
@click.option("--method", default="GET", show_default=True, help="What the URL is good for.")
@click.option("--v4", is_flag=True, help="Sign with V4, for 7 days at most.  [V1]")
@click.option("--endpoint", metavar="URL", help="Where it leads.  [http://HOST:PORT of [server]]")
@click.option("--access-key-id", metavar="ID", help="Who signs.  [the first of [[credentials]]]")
@CONFIG
def sign(
    url: str,
    text: str,
    expires: int,
    method: str,
    v4: bool,
    endpoint: str | None,
    access_key_id: str | None,
    config: Path | None,
) -> None:
    """Print a signed URL of the object KEY, which is written as it is, not encoded."""
    from ..gate.sign import Credential, sign_url

    try:
        settings = load(config, {})
        server = settings.server
        bucket, _, key = url.removeprefix("oss://").partition("/")
        if not (url.startswith("oss://") and bucket and key):
            raise click.UsageError(f"{url}: is oss://BUCKET/KEY")
        known = [c for c in settings.credentials if access_key_id in (None, c.access_key_id)]
        if not known:
            named = f" with access_key_id = {access_key_id!r}" if access_key_id else ""
            raise Usage(f"no [[credentials]]{named} to sign with")
        host = f"[{server.host}]" if ":" in server.host else server.host
        endpoint = endpoint or f"http://{host}:{server.port}"
        click.echo(
            sign_url(
                Credential(**known[0].model_dump()),
                bucket,
                key,
                now=time.time(),
                process=text,
                expires=expires,
                method=method.upper(),
                version=4 if v4 else 1,
                region=server.region,
                endpoint=endpoint,
                bucket_in_path=_bucket_in_path(endpoint, bucket, key, settings),
            )
        )
    except (SettingsError, OssError, ValueError) as error:
        raise Usage(str(error)) from None


@main.command()
@CONFIG
def check(config: Path | None) -> None:
    """Say what works here; exit with 1 when something promised does not."""
    from rich.console import Console
    from rich.table import Table

    from .findings import findings

    table = Table("what", "works", "detail")
    failed = False
    try:
        for found in findings(load(config, {})):
            failed |= found.works is False
            works = {True: "yes", False: "NO", None: "absent"}[found.works]
            table.add_row(found.what, works, found.detail)
    except SettingsError as error:
        raise Usage(str(error)) from None
    Console(markup=False).print(table)  # a detail may have brackets
    sys.exit(failed)


main.add_command(bucket)


def _bucket_in_path(endpoint: str, bucket: str, key: str, settings: Settings) -> bool:
    """Has a URL there to name the bucket, or does its host? As the server will read it.

    Raises:
        Usage: Neither leads to the object.
        OssError: There can be no such bucket or object.
    """
    from ..gate import target

    parts = urlsplit(endpoint)
    bare = endpoint.rstrip("/") == f"{parts.scheme}://{parts.netloc}"
    if not (bare and parts.netloc and parts.scheme in ("http", "https")):
        raise Usage(f"--endpoint = {endpoint!r}: is http://HOST[:PORT] or https://HOST[:PORT]")
    for within, path in ((True, f"/{bucket}/{key}"), (False, f"/{key}")):
        found = target.resolve(
            quote(path), parts.netloc, settings.domains(), settings.server.endpoint
        )
        if (found.bucket, found.key) == (bucket, key):
            return within
    raise Usage(f"--endpoint = {endpoint!r}: leads to another bucket than {bucket}")


def _serve(read: Callable[[], Settings], show: Callable[[str], None]) -> None:
    """Run the server in this process until it is told to stop."""
    import uvloop

    from ..build import store_of
    from ..errors import OssError
    from ..renderers.pool import StartError
    from ..server import main as server

    logging.basicConfig(level=logging.INFO, format="vipsgate: %(levelname)s: %(message)s")
    try:
        settings = read()
        store_of(settings)
        if not settings.credentials:
            server.note("no credentials, so buckets without a document are public-read")
        uvloop.run(server.run(settings, read, show))
    except SettingsError as error:
        raise Usage(str(error)) from None
    except (StartError, OssError, OSError) as error:
        raise click.ClickException(f"cannot start: {error}") from None


def _replace(path: Path, write: Callable[[int], object]) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        write(descriptor)
        os.fchmod(descriptor, 0o644)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(descriptor)
