"""One request on its way, and what is found out about it.

The visit under way is found in a context variable, so that a store or a piece of shared work can
note its times without being handed a request. Work that several wait for is the first one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

GONE = 499  # status of a request whose client left before its answer was there; nginx's


@dataclass(slots=True, eq=False)
class RequestRecord:
    """What is known of a request; whoever knows more fills it in.

    Attributes:
        begun: When it came, by ``time.perf_counter``.
        identity: The answer's ``x-oss-request-id``.
        bucket: As it was asked for, empty where that cannot be told.
        key: Likewise; where a style or an old form stood in the name, without it.
        process: What is done to the object, as the caller has said it.
        exists: Whether there is such a bucket.
        style: The bucket's style that was asked for and nothing else; empty for none.
        cache: Where a picture came from, a word of ``cache.tiers``; empty for anything else.
        queue: Seconds that it waited for a renderer.
        render: Seconds that a renderer worked on it.
        code: OSS's code of a refusal.
        ec: OSS's sub-code likewise.
        rule: Which rule has denied it, see ``errors.OssError``.
        notes: What of it was not followed to the letter, ``limit=source``.
        origin: What came of asking another server for its object; empty where none was asked.
        sharing: Headers of its answer for pages of other origins.
        gone: The client has left.
        spans: Name, beginning and end of each part of the work, by ``time.perf_counter``.
    """

    begun: float
    identity: str
    bucket: str = ""
    key: str = ""
    process: str = ""
    exists: bool = False
    style: str = ""
    cache: str = ""
    queue: float = 0.0
    render: float = 0.0
    code: str = ""
    ec: str = ""
    rule: str = ""
    notes: tuple[str, ...] = ()
    origin: str = ""
    sharing: Mapping[str, str] = field(default_factory=dict)
    gone: bool = False
    spans: list[tuple[str, float, float]] = field(default_factory=list)


CURRENT: ContextVar[RequestRecord | None] = ContextVar("visit", default=None)
