"""Sends callbacks: one POST each to a server that the operator has allowed.

Each POST uses a new connection, so that none stays open when a client leaves. Redirects are not
followed, as they could lead anywhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import orjson

from ..outgoing.address import Url, may_connect
from ..outgoing.exchange import ForbiddenError, Lookup, Resolver, lookup, open_session, send

SECONDS = 5.0  # for one callback, from the wait for a slot to the last byte; OSS guide
MOST = 64  # callbacks at a time
MAX_ANSWER = 1 << 20  # bytes


class CallbackError(Exception):
    """A callback was not sent, or its answer is not valid; the text is shown to the client."""


class Callbacks:
    """Sends callbacks.

    Args:
        lookup: Looks up the addresses of a host.
        seconds: Time for each callback; see :data:`SECONDS`.
        most: The most callbacks at a time, shared as in :class:`Shares`; others wait, which counts
            towards their time.
    """

    def __init__(self, lookup: Lookup = lookup, seconds: float = SECONDS, most: int = MOST) -> None:
        self.lookup, self.seconds = lookup, seconds
        self._shares = Shares(most)

    async def post(self, url: Url, headers: Mapping[str, str], body: bytes) -> bytes:
        """Send a callback, and return the JSON of the answer.

        Raises:
            CallbackError: The server may not be connected to, does not answer in time, or its
                answer is not valid.
        """
        resolver = Resolver(self.lookup, lambda host, port, address: may_connect(url, address))
        try:
            async with (
                asyncio.timeout(self.seconds),
                self._shares.turn(url.host),
                open_session(resolver, reuse=False) as session,
                send(session, "POST", url, headers, body) as response,
            ):
                return await _answer(response)
        except ForbiddenError:
            raise CallbackError("Private address is forbidden to callback.") from None
        except TimeoutError:
            raise CallbackError(f"No answer in {self.seconds:g} seconds.") from None
        except (aiohttp.ClientError, OSError, EOFError) as error:
            raise CallbackError(f"No connection, or no HTTP: {type(error).__name__}.") from None


class Shares:
    """Slots that are shared by hosts: each may have half of those that no other host has.

    So a host that does not answer leaves half of the slots to others, and two such hosts at least a
    quarter (the dynamic thresholds by which switches share their buffers; Choudhury and Hahne,
    1998). A fixed share would be too small for a single host, and too large for many.

    Args:
        most: The number of slots.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((host, waiting))
        self._share_out()
        try:
            await waiting
            yield
        finally:
            if waiting.done() and not waiting.cancelled():
                self._taken -= Counter((host,))
            self._waiting = [item for item in self._waiting if item[1] is not waiting]
            self._share_out()

    def _share_out(self) -> None:
        """Give free slots to those who have waited longest, within the shares of their hosts."""
        left = []
        for host, waiting in self._waiting:
            if not waiting.done() and self._has_room(host):
                self._taken[host] += 1
                waiting.set_result(None)
            else:
                left.append((host, waiting))
        self._waiting = left

    def _has_room(self, host: str) -> bool:
        total, own = self._taken.total(), self._taken[host]
        return total < self._most and own < max(1, (self._most - (total - own)) // 2)


async def _answer(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer.

    Raises:
        CallbackError: It may not be passed on to a client (OSS guide, Callback).
    """
    if response.status != 200:
        raise CallbackError(f"Error status : {response.status}.")
    length = response.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in response.headers:
        raise CallbackError("The answer has no Content-Length.")
    if len(length) > 9 or int(length) > MAX_ANSWER:
        raise CallbackError(f"The answer has more than {MAX_ANSWER} bytes.")
    data = await response.content.readexactly(int(length))
    try:
        orjson.loads(data)
    except ValueError:
        raise CallbackError("Response body is not valid json format.") from None
    return data
