"""Calls of an object store: with a timeout and a circuit breaker, and errors as OSS has them.

obstore itself retries, with growing pauses and jitter, within the timeout. If there is still no
answer, that counts as a failure of the store (:mod:`vipsgate.outgoing.breaker`). An object that is
missing, forbidden or not as expected counts as an answer.
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

SCHEMES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}  # prefixes of environment variables
# obstore does not read these from the environment if it is given other options
TRUE = ("1", "true", "yes", "on")  # as obstore has them
SWITCHES = ("allow_http", "allow_invalid_certificates")
TEXTS = ("proxy_url", "proxy_ca_certificate", "proxy_excludes")
INSTALL = "pip install 'vipsgate[cloud]'"
CONNECT = 2.0  # seconds to connect; a store is in the same building, or at least continent
MAX_TRIES = 8  # retries of one call
SILENCE, AGAIN = 0.4, 0.6  # shares of the timeout: for an answer to begin, to begin a retry
PAUSE = timedelta(milliseconds=50)  # the first pause between two attempts
MAX_PAUSE = 0.1  # the longest one, as a share of the timeout
WHOLE = timedelta(hours=6)  # for one transfer; each of its pieces has a timeout of its own
SLOWEST = 1 << 20  # bytes a second that a store receives at least
SLOW = re.compile(r"TimedOut|timed out|deadline has elapsed")
REFUSED = re.compile(r"status code: 4(?!08|29)\d\d")  # an answer, although of no use
LOST = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")

T = TypeVar("T")
log = logging.getLogger(__name__)


def connect(url: str, seconds: float) -> ObjectStore:
    """Return a client of a store at ``s3://BUCKET/PREFIX``, ``gs://...`` or ``az://CONTAINER/...``.

    Credentials, endpoint and other options come from the environment, under the names that obstore
    reads: ``AWS_...``, ``GOOGLE_...``, ``AZURE_...``.

    Args:
        url: The URL of the objects.
        seconds: The timeout of one call.

    Raises:
        ValueError: The URL or the environment is not valid, or obstore is not installed.
    """
    try:
        import obstore
        from obstore.store import from_url
    except ImportError:
        raise ValueError(f"object stores are optional: {INSTALL}") from None
    # delete objects one by one: not every store with S3's API supports the call for many
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
    """A client of an object store, which tracks the store's health.

    Args:
        store: obstore's client.
        seconds: The timeout of one call, and of each piece of a transfer.

    Attributes:
        store: obstore's client.
        trouble: The last error, in the store's words, for the operator only; empty once the store
            has answered again.
    """

    def __init__(self, store: ObjectStore, seconds: float) -> None:
        self.store = store
        self.trouble = ""
        self._seconds = seconds
        self._breaker = Breaker()

    @property
    def away(self) -> str:
        """Why no requests are sent to the store now; empty if they are."""
        return f"the store does not answer: {self.trouble}" if self._breaker.open else ""

    async def call(self, work: Callable[[], Awaitable[T]], size: int = 0) -> T:
        """Call the store; return its result.

        Args:
            work: Makes the call.
            size: Bytes that are sent with it, which extend the timeout.

        Raises:
            NoSuchKey: The object does not exist.
            PreconditionFailed: The object is not as expected.
            AccessDenied: This server has no right to do that.
            BadGateway: The store cannot be reached, or fails.
            GatewayTimeout: The store does not answer in time.
        """
        wait = self._breaker.wait(time.monotonic())
        if wait:
            raise BadGateway("The object store does not answer.", headers=_later(wait))
        try:
            async with asyncio.timeout(self._seconds + size / SLOWEST):
                result = await work()
        except Exception as error:
            raise self._refusal(error) from error
        except BaseException:  # cancelled
            self._breaker.left()
            raise
        self._answered()
        return result

    async def get(self, path: str, **options: Any) -> GetResult:
        """Return an object, with obstore's options.

        Raises:
            OssError: See :meth:`call`.
        """
        import obstore

        conditions = cast("obstore.GetOptions", options)
        return await self.call(partial(obstore.get_async, self.store, path, options=conditions))

    async def pieces(self, stream: AsyncIterator[T]) -> AsyncIterator[T]:
        """Yield the pieces of a stream, each within the timeout.

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
        """Return the error for a client; if the store failed, note that for the breaker."""
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
            return BadGateway("The object store refuses the request as malformed.")
        self._breaker.failed(time.monotonic(), random.random())
        headers = _later(self._breaker.left_to_wait(time.monotonic()))
        if isinstance(error, TimeoutError) or SLOW.search(text):
            return GatewayTimeout("The object store does not answer in time.", headers=headers)
        return BadGateway("The object store cannot be reached.", headers=headers)


def _answer(error: Exception, text: str) -> OssError | None:
    """Return the error for a client, if the store has answered; ``None`` if it has failed.

    Raises:
        Exception: The error itself, if it is not one of the store.
    """
    from obstore import exceptions

    if isinstance(error, FileNotFoundError) and not LOST.search(text):
        return NoSuchKey("The specified key does not exist.")
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return PreconditionFailed("The object has been replaced in the meantime.")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        log.error("the store refuses: %s", _first(text))
        return AccessDenied("The server itself has no right to do this in the object store.")
    if isinstance(error, exceptions.NotSupportedError):
        return Unimplemented("The object store cannot do this.")
    if isinstance(error, exceptions.BaseError | OSError):  # which a TimeoutError is, too
        return None
    raise error


def _first(text: str) -> str:
    """Return the first line of obstore's message; the rest are its internals."""
    return text.strip().partition("\n")[0].partition(": <?xml")[0]


def _later(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
