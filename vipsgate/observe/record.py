"""The record of one request, which is filled in while the request is processed.

The present record is in a context variable, so that a store, or work that several requests share,
can note its times without knowing the request. Shared work belongs to the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

GONE = 499  # nginx's status of a request whose client has left before the answer


@dataclass(slots=True, eq=False)
class RequestRecord:
    """What is known of a request.

    Attributes:
        begun: When it arrived, by ``time.perf_counter``.
        identity: The answer's ``x-oss-request-id``.
        bucket: The requested bucket; empty if it is not known.
        key: The requested key, without a style or an older form in the name; empty if it is not
            known.
        process: The process text of the request.
        exists: Whether the bucket exists.
        style: The style of the bucket, if the process is this style alone; else empty.
        cache: Where a picture came from, a word of ``cache.tiers``; empty for other answers.
        queue: Seconds for which it waited for a renderer.
        render: Seconds for which a renderer worked on it.
        code: OSS's error code of a refusal, or of the reason for which a body was cut.
        ec: OSS's sub-code of a refusal.
        rule: The rule that has denied it, see ``errors.OssError``.
        notes: What of the request was not followed exactly, ``limit=source``.
        origin: Outcome of requesting its object from another server; empty if it was not.
        sharing: CORS headers of its answer.
        gone: Whether the client has left, or the body was cut.
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
