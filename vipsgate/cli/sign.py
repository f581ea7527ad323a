"""``vipsgate sign``: a signed URL of an object."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import click

from ..buckets import Bucket, CdnSigning
from ..errors import OssError
from ..settings import Settings, SettingsError, load
from .shared import CONFIG, Usage

if TYPE_CHECKING:
    from ..gate.sign import CdnKey, Credential


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
    """Print a signed URL of the object KEY, which is written as it is, not encoded."""
    from ..gate.sign import sign_url

    try:
        settings = load(config, {})
        server = settings.server
        bucket, _, key = url.removeprefix("oss://").partition("/")
        if not (url.startswith("oss://") and bucket and key):
            raise click.UsageError(f"{url}: is oss://BUCKET/KEY")
        if kind and (v4 or access_key_id):
            raise Usage("--cdn signs with the bucket's key: neither --v4 nor --access-key-id")
        host = f"[{server.host}]" if ":" in server.host else server.host
        endpoint = endpoint or f"http://{host}:{server.port}"
        click.echo(
            sign_url(
                _of_cdn(kind, bucket, settings) if kind else _of_oss(access_key_id, settings),
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
                v4_expires_max=server.v4_expires_max,
            )
        )
    except (SettingsError, OssError, ValueError) as error:
        raise Usage(str(error)) from None


def _of_oss(access_key_id: str | None, settings: Settings) -> Credential:
    """Who signs: the first, or the one that is named.

    Raises:
        Usage: There is nobody.
    """
    from ..gate.sign import Credential

    known = [c for c in settings.credentials if access_key_id in (None, c.access_key_id)]
    if not known:
        named = f" with access_key_id = {access_key_id!r}" if access_key_id else ""
        raise Usage(f"no [[credentials]]{named} to sign with")
    return Credential(**known[0].model_dump())


def _of_cdn(kind: str, bucket: str, settings: Settings) -> CdnKey:
    """The key of a bucket, declared in the configuration or described in its store.

    Raises:
        Usage: It has none of this type.
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
        result = target.resolve(
            quote(path), parts.netloc, settings.domains(), settings.server.endpoint
        )
        if (result.bucket, result.key) == (bucket, key):
            return within
    raise Usage(f"--endpoint = {endpoint!r}: leads to another bucket than {bucket}")
