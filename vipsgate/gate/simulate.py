"""Access of each kind of caller, simulated: who passes, and which rule stops the others.

Callers with a role are taken to sign in the URL; one who signs in a header is not asked for a
Referer.
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
    """What each kind of caller would be told; ``None`` where the answer is the picture.

    Args:
        target: The object, and what is to be done with it.
        bucket: The bucket's document.
        objects: The object itself, then those that are laid on it.
        referer: As it would be sent; empty for none.
        missing: What is said where there is no such object, with no ``objects`` then.
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
    """What a caller is told of the objects whom the bucket has let pass; see :func:`verdicts`."""
    try:
        access.check_source(grant, target, Seen(target.key))
        if missing:
            grant.check_acl("")
            return missing
        access.check_objects(grant, target, objects)
    except OssError as error:
        return error
    return None
