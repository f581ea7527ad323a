"""Callbacks that are sent: one POST to a server that the operator has allowed.

Each POST has a connection of its own, so none is left behind by a client that leaves, and follows
no redirect, which could lead anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import orjson

from ..outgoing.address import Url, may_connect
from ..outgoing.exchange import ForbiddenError, Lookup, Resolver, lookup, open_session, send

SECONDS = 5.0  # for one server, from the wait for a turn to the last byte; OSS guide
MOST = 64  # under way at a time
MAX_ANSWER = 1 << 20  # bytes


class CallbackError(Exception):
    """A server has not been told, or has not answered as it should; the client reads why."""


class Callbacks:
    """All that are under way.

    Args:
        lookup: Looks up a host's addresses.
        seconds: For each; see :data:`SECONDS`.
        most: How many; others wait, of their own seconds.
    """

    def __init__(self, lookup: Lookup = lookup, seconds: float = SECONDS, most: int = MOST) -> None:
        self.lookup, self.seconds = lookup, seconds
        self._turns = asyncio.Semaphore(most)

    async def post(self, url: Url, headers: Mapping[str, str], body: bytes) -> bytes:
        """The JSON that a server answers with.

        Raises:
            CallbackError: It does not, or not in time, or nobody may connect to it.
        """
        resolver = Resolver(self.lookup, lambda host, port, address: may_connect(url, address))
        try:
            async with (
                asyncio.timeout(self.seconds),
                self._turns,
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


async def _answer(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that a client may be given (OSS guide, Callback)."""
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
