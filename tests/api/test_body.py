"""Bodies that drip: a grace, then a rate; only the client's own time counts."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from vipsgate.api import call
from vipsgate.api.call import MIN_BODY_RATE, pieces
from vipsgate.errors import RequestTimeout

SHORT, LONG = 0.05, 60.0  # seconds of grace


async def body():
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()  # as if there were a connection
    return StreamReader(protocol, 1 << 16, loop=loop)


async def test_all_that_comes_is_given_on():
    reader = await body()
    for data in (b"a" * 1000, b"b", b"c" * 70_000):
        reader.feed_data(data)
    reader.feed_eof()
    found = b"".join([data async for data in pieces(reader, SHORT)])
    assert found == b"a" * 1000 + b"b" + b"c" * 70_000


@pytest.mark.parametrize("first", [b"", b"x"], ids=["nothing", "a byte"])
async def test_what_comes_too_slowly_is_refused(first):
    reader = await body()
    if first:
        reader.feed_data(first)
    with pytest.raises(RequestTimeout, match=f"{len(first)} bytes"):
        async for _ in pieces(reader, SHORT):
            pass


async def test_bytes_buy_time():
    reader = await body()
    reader.feed_data(bytes(int(MIN_BODY_RATE * LONG)))

    async def go_on():
        await asyncio.sleep(3 * SHORT)
        reader.feed_data(b"last")
        reader.feed_eof()

    task = asyncio.create_task(go_on())
    found = [data async for data in pieces(reader, SHORT)]
    assert b"".join(found).endswith(b"last")
    await task


async def test_no_more_time_is_bought_than_a_stall_may_take(monkeypatch):
    monkeypatch.setattr(call, "MAX_STALL_SECONDS", 2 * SHORT)
    reader = await body()
    reader.feed_data(bytes(int(MIN_BODY_RATE * LONG)))
    with pytest.raises(RequestTimeout):
        async for _ in pieces(reader, SHORT):
            pass


async def test_the_time_in_which_bytes_are_stored_does_not_count():
    reader = await body()
    reader.feed_data(b"x")
    seen = 0
    async for data in pieces(reader, SHORT):
        seen += len(data)
        await asyncio.sleep(2 * SHORT)  # a slow disk
        if seen < 4:
            reader.feed_data(b"x")
        else:
            reader.feed_eof()
    assert seen == 4
