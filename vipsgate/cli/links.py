"""URLs of an object, for the commands that print some: where they lead, and who signs them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from ..settings import Settings
from .shared import Usage

if TYPE_CHECKING:
    from ..console.urls import Place
    from ..gate.sign import Credential


def place(endpoint: str | None, bucket: str, key: str, settings: Settings) -> Place:
    """Return where the public finds the bucket.

    Args:
        endpoint: As it was typed; ``None`` for the address of the configuration.
        bucket: The bucket's name.
        key: Of one of its objects, which the URL has to lead to.
        settings: Domains and endpoint of the server.

    Raises:
        Usage: The endpoint leads to another bucket, or to none.
        OssError: There can be no such bucket or object.
    """
    from ..console.urls import Place

    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    endpoint = (endpoint or f"http://{host}:{server.port}").rstrip("/")
    return Place(endpoint, bucket, _bucket_in_path(endpoint, bucket, key, settings))


def signer(access_key_id: str | None, settings: Settings) -> Credential:
    """Return the key pair that signs: that of an id, or the first one.

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
    """Return whether a URL below the endpoint has to name the bucket, as the server will read it.

    It need not if the host does.

    Raises:
        Usage: Neither leads to the object.
        OssError: There can be no such bucket or object.
    """
    from ..gate import target

    parts = urlsplit(endpoint)
    bare = endpoint == f"{parts.scheme}://{parts.netloc}"
    if not (bare and parts.netloc and parts.scheme in ("http", "https")):
        raise Usage(f"--endpoint = {endpoint!r}: is http://HOST[:PORT] or https://HOST[:PORT]")
    for within, path in ((True, f"/{bucket}/{key}"), (False, f"/{key}")):
        result = target.resolve(
            quote(path), parts.netloc, settings.domains(), settings.server.endpoint
        )
        if (result.bucket, result.key) == (bucket, key):
            return within
    raise Usage(f"--endpoint = {endpoint!r}: leads to another bucket than {bucket}")
