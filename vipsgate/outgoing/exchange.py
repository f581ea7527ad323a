"""Sends one request to another server, at an address that has been checked.

The resolver that the connection uses is the one that checks addresses, so it does not matter if a
name has another address a moment later. In the alternative, to resolve and check a name before a
library resolves it again, the second result would be used unchecked.
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
    """Return the addresses of a host.

    Raises:
        OSError: It has none.
    """
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


class Resolver(AbstractResolver):
    """Resolves a host for a connection to the addresses that are allowed.

    Args:
        lookup: Resolves a host to addresses.
        judge: Returns whether an address of a host and port may be connected to.
    """

    def __init__(self, lookup: Lookup, judge: Judge) -> None:
        self._lookup, self._judge = lookup, judge

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses that may be connected to, as aiohttp expects them.

        Raises:
            ForbiddenError: No address of the host is allowed.
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
    """Return a session without cookies, proxies and decoding, which the caller has to close.

    Args:
        resolver: The resolver of all connections.
        reuse: Whether connections are kept for further requests.
        connect: Seconds to establish a connection; ``None`` for no separate limit.
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
    """Send one request and return the answer; redirects are not followed.

    Raises:
        ForbiddenError: No address of the host is allowed.
        aiohttp.ClientError: The connection fails, or the answer is not HTTP.
    """
    if literal(url.host) and not may_connect(url, url.host):  # aiohttp does not resolve addresses
        raise ForbiddenError(url.host)
    sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
    async with session.request(
        method, URL(url.text, encoded=True), data=body, headers=sent, allow_redirects=False
    ) as response:
        yield response
