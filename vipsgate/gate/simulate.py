"""Simulates the access of each kind of caller: whether it is allowed, and which rule denies it.

Callers with a role are assumed to sign in the URL; with a signature in a header, the Referer would
not be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..buckets import Bucket
from ..errors import OssError
from . import access
from .access import Seen
from .sign import Credential
from .target import Target

CALLERS: Mapping[str, Credential | None] = {
    "anonymous": None,
    "reader": Credential("reader", "", "reader"),
    "writer": Credential("writer", "", "writer"),
    "owner": Credential("owner", "", "owner"),
}


def verdicts(
    target: Target,
    bucket: Bucket,
    objects: Sequence[Seen],
    referer: str = "",
    missing: OssError | None = None,
) -> dict[str, OssError | None]:
    """Return the error that each kind of caller would get; ``None`` if it gets the picture.

    Args:
        target: The target of the request, with its process.
        bucket: The bucket's document.
        objects: The object, then its overlays.
        referer: The Referer; empty for none.
        missing: The error for a missing object; ``objects`` is empty then.
    """
    verdicts: dict[str, OssError | None] = {}
    for who, caller in CALLERS.items():
        try:
            grant = access.admit(target, {"referer": referer}, bucket, caller)
            verdicts[who] = refusal(grant, target, objects, missing)
        except OssError as error:
            verdicts[who] = error
    return verdicts


def refusal(
    grant: access.Grant, target: Target, objects: Sequence[Seen], missing: OssError | None = None
) -> OssError | None:
    """Return the error by the objects, for a caller whom the bucket allows."""
    try:
        access.check_source(grant, target, Seen(target.key))
        if missing:
            grant.check_acl("")
            return missing
        access.check_objects(grant, target, objects)
    except OssError as error:
        return error
    return None
