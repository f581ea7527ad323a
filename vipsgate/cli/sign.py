"""``vipsgate sign``: prints a signed URL of an object."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..buckets import Bucket, CdnSigning
from ..errors import OssError
from ..settings import Settings, SettingsError, load
from . import links
from .shared import CONFIG, Usage

if TYPE_CHECKING:
    from ..gate.sign import CdnKey


@click.command("sign")
@click.argument("url", metavar="oss://BUCKET/KEY")
@click.option("--process", "text", default="", metavar="TEXT", help="image/resize,w_400")
@click.option(
    "--expires",
    "--timeout",  # ossutil's name
    "expires",
    type=click.IntRange(1),
    default=3600,
    show_default=True,
    help="Valid seconds.",
)
@click.option("--method", default="GET", show_default=True, help="What the URL is good for.")
@click.option("--v4", is_flag=True, help="Sign with V4, for 7 days or v4_expires_max.  [V1]")
@click.option(
    "--cdn",
    "kind",
    type=click.Choice(["A", "B", "C"]),
    help="Sign as for Alibaba Cloud CDN, with the bucket's cdn_signing.",
)
@click.option("--endpoint", metavar="URL", help="Where it leads.  [http://HOST:PORT of [server]]")
@click.option("--access-key-id", metavar="ID", help="Who signs.  [the first of [[credentials]]]")
@CONFIG
def command(
    url: str,
    text: str,
    expires: int,
    method: str,
    v4: bool,
    kind: str | None,
    endpoint: str | None,
    access_key_id: str | None,
    config: Path | None,
) -> None:
    """Print a signed URL of the object KEY; the key is given without percent-encoding."""
    from ..console.urls import Terms

    try:
        settings = load(config, {})
        server = settings.server
        bucket, _, key = url.removeprefix("oss://").partition("/")
        if not (url.startswith("oss://") and bucket and key):
            raise click.UsageError(f"{url}: expects oss://BUCKET/KEY")
        if kind and (v4 or access_key_id):
            raise Usage("--cdn signs with the bucket's key: neither --v4 nor --access-key-id")
        credential = (
            _of_cdn(kind, bucket, settings) if kind else links.signer(access_key_id, settings)
        )
        where = links.place(endpoint, bucket, key, settings)
        terms = Terms(time.time(), expires, 4 if v4 else 1, server.region, server.v4_expires_max)
        click.echo(where.signed(credential, key, text, terms, method.upper()))
    except (SettingsError, OssError, ValueError) as error:
        raise Usage(str(error)) from None


def _of_cdn(kind: str, bucket: str, settings: Settings) -> CdnKey:
    """Return a bucket's key for CDN signatures, from the configuration or the store.

    Raises:
        Usage: The bucket has no key of this type.
    """
    from ..gate.sign import CdnKey

    document = settings.buckets.get(bucket)
    if document is None and settings.store.url:
        document = asyncio.run(_described(bucket, settings))
    rules = document.cdn_signing if document else CdnSigning()
    if not rules.type:
        raise Usage(f"buckets.{bucket}.cdn_signing: is not set; --cdn needs its key")
    if rules.type != kind:
        raise Usage(f"--cdn = {kind}: buckets.{bucket}.cdn_signing.type is {rules.type}")
    return CdnKey(rules.type, rules.key, rules.valid_seconds)


async def _described(bucket: str, settings: Settings) -> Bucket | None:
    from ..build import store_of
    from ..catalog.documents import Documents

    documents = Documents(store_of(settings), settings.limits)
    await documents.look()
    return documents.known.get(bucket)
