"""The requests to the public port, and their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_REQUESTS = 10_000  # requests that are remembered; the oldest are forgotten first
POLL_INTERVAL = 0.005  # seconds between two checks whether requests have been answered
SETTLE_SECONDS = 1.0  # most seconds to wait for requests in progress


@dataclass(slots=True, eq=False)
class Request:
    """One request; its status and all after it are known when it has been answered.

    Attributes:
        method: HTTP method.
        bucket: Bucket of the request; empty if there is none.
        key: Key of the request; empty if there is none.
        call: Name of OSS's call, ``PutObject``; empty if it is none.
        query: Decoded parameters, in order.
        headers: Headers; names are in lower case.
        status: HTTP status of the answer; 0 if there is none, or it was cut off.
        code: OSS's error code; empty if there was no error.
        fault: Number of the fault that was applied; 0 for none.
        ended: Whether it has been answered, or will never be.
    """

    method: str
    bucket: str
    key: str
    call: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    status: int = 0
    code: str = ""
    fault: int = 0
    ended: bool = False


class Requests:
    """The requests, the oldest first."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=MAX_REQUESTS)

    def add(self, request: Request) -> None:
        """Add a request that has just arrived."""
        self._requests.append(request)

    def clear(self) -> None:
        """Forget all requests."""
        self._requests.clear()

    async def settled(self) -> Sequence[Request]:
        """Return all requests, after waiting until they have been answered.

        This is needed because a client may have read an answer before its handler has ended. A
        request that takes more than :data:`SETTLE_SECONDS`, such as a delayed one, is returned
        unfinished.
        """
        requests = list(self._requests)
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while not all(item.ended for item in requests):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(POLL_INTERVAL)
        return requests
