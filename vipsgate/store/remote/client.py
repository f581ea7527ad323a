"""Calls of an object store: what obstore says, in our words, within a time, and not for ever.

obstore tries again by itself, with growing pauses and jitter, as long as the time lasts. What then
is still no answer counts against the store (:mod:`vipsgate.outgoing.breaker`). That something is
not there, not allowed or not as expected is an answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...errors import (
    AccessDenied,
    BadGateway,
    GatewayTimeout,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    Unimplemented,
)
from ...outgoing.breaker import Breaker

if TYPE_CHECKING:
    import obstore
    from obstore import GetResult
    from obstore.store import ObjectStore

SCHEMES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}  # what variables of each begin with
# of these obstore itself no longer looks at the environment once it is told of others
TRUE = ("1", "true", "yes", "on")  # as obstore has them
SWITCHES = ("allow_http", "allow_invalid_certificates")
TEXTS = ("proxy_url", "proxy_ca_certificate", "proxy_excludes")
INSTALL = "pip install 'vipsgate[cloud]'"
CONNECT = 2.0  # seconds for a connection; a store is in the same building, or at least continent
MAX_TRIES = 8  # of one asking
SILENCE, AGAIN = 0.4, 0.6  # parts of the time: for one answer to begin, to begin another try
PAUSE = timedelta(milliseconds=50)  # between two tries
MAX_PAUSE = 0.1  # a part of the time likewise: the longest of them
WHOLE = timedelta(hours=6)  # for one transfer; that it moves is seen to piece by piece
SLOWEST = 1 << 20  # bytes a second that a store takes at least
SLOW = re.compile(r"TimedOut|timed out|deadline has elapsed")
REFUSED = re.compile(r"status code: 4(?!08|29)\d\d")  # an answer, if one that nobody can use
LOST = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")

T = TypeVar("T")
log = logging.getLogger(__name__)


def connect(url: str, seconds: float) -> ObjectStore:
    """A client of the store at ``s3://BUCKET/PREFIX``, ``gs://...`` or ``az://CONTAINER/...``.

    Credentials, endpoint and all else come from the environment, under the names that obstore
    reads: ``AWS_...``, ``GOOGLE_...``, ``AZURE_...``.

    Args:
        url: Where the objects are.
        seconds: For one asking.

    Raises:
        ValueError: The URL or the environment will not do, or obstore is not installed.
    """
    try:
        import obstore
        from obstore.store import from_url
    except ImportError:
        raise ValueError(f"object stores are optional: {INSTALL}") from None
    # one at a time: not every store that speaks S3 knows the call for many
    scheme = url.partition(":")[0]
    options: dict[str, Any] = {"disable_bulk_delete": True} if scheme == "s3" else {}
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=min(CONNECT, seconds)),
        "read_timeout": timedelta(seconds=SILENCE * seconds),
        "timeout": WHOLE,
        "user_agent": "vipsgate",
    }
    for name in (*SWITCHES, *TEXTS):
        value = os.environ.get(f"{SCHEMES[scheme]}{name.upper()}", "")
        if value:
            client[name] = value.lower() in TRUE if name in SWITCHES else value
    retry: Any = {
        "max_retries": MAX_TRIES,
        "retry_timeout": timedelta(seconds=AGAIN * seconds),
        "backoff": {
            "init_backoff": PAUSE,
            "max_backoff": timedelta(seconds=MAX_PAUSE * seconds),
            "base": 2,
        },
    }
    make: Any = from_url  # one of four classes, by the scheme
    try:
        store: ObjectStore = make(url, client_options=client, retry_config=retry, **options)
        return store
    except (obstore.exceptions.BaseError, ValueError, OSError) as error:
        raise ValueError(_first(str(error))) from None


class StoreClient:
    """A client of an object store, and what is known of that one's health.

    Args:
        store: What obstore offers of it.
        seconds: For one call, and for each piece of a transfer.

    Attributes:
        store: See the argument.
        trouble: What was wrong last, in the store's words, which are for the operator only; empty
            since the store has answered.
    """

    def __init__(self, store: ObjectStore, seconds: float) -> None:
        self.store = store
        self.trouble = ""
        self._seconds = seconds
        self._breaker = Breaker()

    @property
    def away(self) -> str:
        """Why the store is not asked now; empty where it is."""
        return f"the store does not answer: {self.trouble}" if self._breaker.open else ""

    async def call(self, work: Callable[[], Awaitable[T]], size: int = 0) -> T:
        """Have the store do something.

        Args:
            work: What.
            size: Bytes that are sent with it, for which there is more time.

        Raises:
            NoSuchKey: It is not there.
            PreconditionFailed: It is not as expected.
            AccessDenied: This server may not.
            BadGateway: The store cannot be had, or has a fault.
            GatewayTimeout: It does not answer.
        """
        wait = self._breaker.wait(time.monotonic())
        if wait:
            raise BadGateway("The object store does not answer.", headers=_later(wait))
        try:
            async with asyncio.timeout(self._seconds + size / SLOWEST):
                result = await work()
        except Exception as error:
            raise self._refusal(error) from error
        except BaseException:  # nobody waits any more
            self._breaker.left()
            raise
        self._answered()
        return result

    async def get(self, path: str, **options: Any) -> GetResult:
        """An object, with obstore's options.

        Raises:
            OssError: See :meth:`call`.
        """
        import obstore

        conditions = cast("obstore.GetOptions", options)
        return await self.call(partial(obstore.get_async, self.store, path, options=conditions))

    async def pieces(self, stream: AsyncIterator[T]) -> AsyncIterator[T]:
        """What a stream brings, each piece within the time.

        Raises:
            OssError: See :meth:`call`.
        """
        while (piece := await self.call(lambda: anext(stream, None))) is not None:
            yield piece

    def _answered(self) -> None:
        if self.trouble:
            log.warning("the store answers again")
            self.trouble = ""
        self._breaker.succeeded()

    def _refusal(self, error: Exception) -> OssError:
        """The error in a client's terms, noted where it is the store's fault."""
        text = str(error)
        refusal = _answer(error, text)
        if refusal is not None:
            self._answered()
            return refusal
        if not self.trouble:
            log.error("the store does not answer: %s", _first(text) or type(error).__name__)
        self.trouble = _first(text) or "it takes too long"
        if REFUSED.search(text):
            self._breaker.succeeded()
            return BadGateway("The object store does not understand this server.")
        self._breaker.failed(time.monotonic(), random.random())
        headers = _later(self._breaker.left_to_wait(time.monotonic()))
        if isinstance(error, TimeoutError) or SLOW.search(text):
            return GatewayTimeout("The object store does not answer in time.", headers=headers)
        return BadGateway("The object store cannot be had.", headers=headers)


def _answer(error: Exception, text: str) -> OssError | None:
    """What an error says that is an answer; ``None`` for one that is none.

    Raises:
        Exception: It is none of the store's.
    """
    from obstore import exceptions

    if isinstance(error, FileNotFoundError) and not LOST.search(text):
        return NoSuchKey("The specified key does not exist.")
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return PreconditionFailed("The object is another one by now.")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        log.error("the store refuses: %s", _first(text))
        return AccessDenied("The server itself has no right to do this in the object store.")
    if isinstance(error, exceptions.NotSupportedError):
        return Unimplemented("The object store cannot do this.")
    if isinstance(error, exceptions.BaseError | OSError):  # which a TimeoutError is, too
        return None
    raise error


def _first(text: str) -> str:
    """The first line of what obstore says; the rest is its insides."""
    return text.strip().partition("\n")[0].partition(": <?xml")[0]


def _later(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
