"""Address and signer of an object's URLs, for the commands that print URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from ..settings import Settings
from .shared import Usage

if TYPE_CHECKING:
    from ..console.urls import Place
    from ..gate.sign import Credential


def place(endpoint: str | None, bucket: str, key: str, settings: Settings) -> Place:
    """Return the public address of a bucket.

    Args:
        endpoint: The endpoint from the command line; ``None`` for that of the configuration.
        bucket: The bucket's name.
        key: The key of one of its objects, by which the address is checked.
        settings: The settings, with domains and endpoint of the server.

    Raises:
        Usage: The endpoint leads to another bucket, or to none.
        OssError: The name of the bucket or object is not valid.
    """
    from ..console.urls import Place

    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    endpoint = (endpoint or f"http://{host}:{server.port}").rstrip("/")
    return Place(endpoint, bucket, _bucket_in_path(endpoint, bucket, key, settings))


def signer(access_key_id: str | None, settings: Settings) -> Credential:
    """Return the key pair with an id, or without an id the first one.

    Raises:
        Usage: There is none.
    """
    from ..gate.sign import Credential

    known = [c for c in settings.credentials if access_key_id in (None, c.access_key_id)]
    if not known:
        named = f" with access_key_id = {access_key_id!r}" if access_key_id else ""
        raise Usage(f"no [[credentials]]{named} to sign with")
    return Credential(**known[0].model_dump())


def _bucket_in_path(endpoint: str, bucket: str, key: str, settings: Settings) -> bool:
    """Return whether a URL below the endpoint has the bucket in its path, not in its host.

    Raises:
        Usage: The server finds the object in neither way.
        OssError: The name of the bucket or object is not valid.
    """
    from ..gate import target

    parts = urlsplit(endpoint)
    bare = endpoint == f"{parts.scheme}://{parts.netloc}"
    if not (bare and parts.netloc and parts.scheme in ("http", "https")):
        raise Usage(f"--endpoint = {endpoint!r}: expects http://HOST[:PORT] or https://HOST[:PORT]")
    for within, path in ((True, f"/{bucket}/{key}"), (False, f"/{key}")):
        result = target.resolve(
            quote(path), parts.netloc, settings.domains(), settings.server.endpoint
        )
        if (result.bucket, result.key) == (bucket, key):
            return within
    raise Usage(f"--endpoint = {endpoint!r}: leads to another bucket than {bucket}")
