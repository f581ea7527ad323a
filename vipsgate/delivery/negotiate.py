"""Selects the formats that a picture may have, by the client's Accept, the process and the bucket.

The accepted formats become a word of the canonical process text (:mod:`..image.automatic`). So
cache keys, ETags, the renderers' protocol, single flights and remembered plans need no field for
them.
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
    """Return the process for a client, and the formats of which its Accept selects.

    Args:
        process: The process as requested, with styles expanded; ``None`` for none.
        bucket: The document of the bucket.
        header: The client's Accept.
        limits: Limits of pictures.
        switch: Whether the bucket's ``auto_format`` applies to a process that names no format.

    Returns:
        The process, and the formats; none if Accept does not matter.
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
