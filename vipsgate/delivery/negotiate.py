"""Which formats a picture may have: by the client's Accept, the process and the bucket; pure.

Two designs were weighed. A job with the class beside its text would have had to bring it through
cache keys, tags, the renderers' protocol, joined work and the plans that are remembered. As the
class is a word of the canonical text (:mod:`..image.automatic`), none of them knows of it.
"""

from __future__ import annotations

from ..buckets import Bucket
from ..gate import accept
from ..image import accepting, automatic
from ..image.config import Limits
from ..image.process import Process


def chosen(
    process: Process | None, bucket: Bucket, header: str, limits: Limits, *, switch: bool = True
) -> tuple[Process | None, tuple[str, ...]]:
    """The process for this client, and the formats that it had the choice of; none for no choice.

    Args:
        process: As the caller, or a style, has it.
        bucket: The document of its bucket.
        header: The client's Accept.
        limits: Of every picture.
        switch: Whether the bucket's ``auto_format`` counts where the process names no format.
    """
    if process is None:
        return process, ()
    if accepting.is_open(process):
        offered = bucket.auto_format or automatic.OFFERED
    elif switch and bucket.auto_format and accepting.names_none(process):
        offered = bucket.auto_format
    else:
        return process, ()
    taken = accept.formats(header, offered)
    result = accepting.accepted_by(process, automatic.word(taken), limits)
    return result, () if result is process else offered
