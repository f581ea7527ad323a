"""``vipsgate sign``: a signed URL of an object."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ..errors import OssError
from ..settings import SettingsError, load
from . import links
from .shared import CONFIG, Usage


@click.command("sign")
@click.argument("url", metavar="oss://BUCKET/KEY")
@click.option("--process", "text", default="", metavar="TEXT", help="image/resize,w_400")
@click.option(
    "--expires",
    "--timeout",  # as ossutil has it
    "expires",
    type=click.IntRange(1),
    default=3600,
    show_default=True,
    help="Valid seconds.",
)
@click.option("--method", default="GET", show_default=True, help="What the URL is good for.")
@click.option("--v4", is_flag=True, help="Sign with V4, for 7 days or v4_expires_max.  [V1]")
@click.option("--endpoint", metavar="URL", help="Where it leads.  [http://HOST:PORT of [server]]")
@click.option("--access-key-id", metavar="ID", help="Who signs.  [the first of [[credentials]]]")
@CONFIG
def command(
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
    from ..console.urls import Terms

    try:
        settings = load(config, {})
        server = settings.server
        bucket, _, key = url.removeprefix("oss://").partition("/")
        if not (url.startswith("oss://") and bucket and key):
            raise click.UsageError(f"{url}: is oss://BUCKET/KEY")
        credential = links.signer(access_key_id, settings)
        where = links.place(endpoint, bucket, key, settings)
        terms = Terms(time.time(), expires, 4 if v4 else 1, server.region, server.v4_expires_max)
        click.echo(where.signed(credential, key, text, terms, method.upper()))
    except (SettingsError, OssError, ValueError) as error:
        raise Usage(str(error)) from None
