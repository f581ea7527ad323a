"""One request to another server, through an address that has been checked.

The resolver that hands addresses to the connection is the one that checks them, so a name that has
another address a moment later changes nothing. The other design, to look a name up and check it
before a library looks it up again, asks twice and trusts the answer that it has not checked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .address import Url, literal, may_connect

AGENT = "vipsgate"
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
Judge = Callable[[str, int, str], bool]  # host, port, address


class ForbiddenError(Exception):
    """A host has no address that may be connected to."""


async def lookup(host: str, port: int) -> Sequence[str]:
    """The addresses of a host.

    Raises:
        OSError: It has none.
    """
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


class Resolver(AbstractResolver):
    """Looks a host up for a connection, and keeps what may not be connected to from it.

    Args:
        lookup: Looks up a host's addresses.
        judge: Says whether an address of a host may be connected to.
    """

    def __init__(self, lookup: Lookup, judge: Judge) -> None:
        self._lookup, self._judge = lookup, judge

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses that may be connected to.

        Raises:
            ForbiddenError: There are others only, or none.
            OSError: There is no such host.
        """
        addresses = await self._lookup(host, port)
        allowed = [one for one in addresses if self._judge(host, port, one)]
        if not allowed:
            raise ForbiddenError(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed
        ]

    async def close(self) -> None: ...


def open_session(
    resolver: Resolver, *, reuse: bool, connect: float | None = None
) -> aiohttp.ClientSession:
    """Where requests are sent from: without cookies, proxies or a decoder; close it.

    Args:
        resolver: Whose addresses are connected to.
        reuse: Whether connections may be used again.
        connect: Seconds for one; ``None`` for no limit of its own.
    """
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, force_close=not reuse, limit=0
    )
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),
    )


@asynccontextmanager
async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: Url,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send one request; a redirect is an answer like any other.

    Raises:
        ForbiddenError: Nobody may connect there.
        aiohttp.ClientError: There is no connection, or no HTTP.
    """
    if literal(url.host) and not may_connect(url, url.host):  # aiohttp looks no address up
        raise ForbiddenError(url.host)
    sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
    async with session.request(
        method, URL(url.text, encoded=True), data=body, headers=sent, allow_redirects=False
    ) as response:
        yield response
