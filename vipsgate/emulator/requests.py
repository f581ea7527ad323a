"""The requests that have come to the public port, and what they were answered with."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_REQUESTS = 10_000  # that are remembered; the oldest are forgotten first
POLL_INTERVAL = 0.005  # seconds between two looks whether answers have been given
SETTLE_SECONDS = 1.0  # that a request under way is waited for


@dataclass(slots=True, eq=False)
class Request:
    """One request; the second half is known when it has been answered.

    Attributes:
        method: Of the request.
        bucket: That it names; empty where it names none.
        key: Likewise of an object.
        call: The name of OSS's call that it is, ``PutObject``; empty where it is none.
        query: Parameters in their order, decoded.
        headers: As they came, names in lower case.
        status: HTTP status of the answer; 0 where there is none, or it was cut off.
        code: OSS's error code; empty where there was no error.
        fault: The number of the fault that it has met; 0 for none.
        ended: Whether its answer has been given, or never will be.
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
        """Remember one that has just come."""
        self._requests.append(request)

    def clear(self) -> None:
        """Forget them all."""
        self._requests.clear()

    async def settled(self) -> Sequence[Request]:
        """Return all of them, when their answers have been given.

        A client may have read an answer before its handler has ended. One that takes longer, such
        as one that a fault delays, is returned as it is.
        """
        requests = list(self._requests)
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while not all(item.ended for item in requests):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(POLL_INTERVAL)
        return requests
