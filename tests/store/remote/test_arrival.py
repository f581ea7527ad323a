"""An object that is opened while its bytes still come: one download, however many wait for it."""

import asyncio
import os
from contextlib import closing
from datetime import UTC, datetime

import pytest

from vipsgate.errors import BadGateway, GatewayTimeout, NoSuchKey
from vipsgate.store.arrival import Arrival, Arriving
from vipsgate.store.base import Object, Opened
from vipsgate.store.remote.objects import RemoteReader
from vipsgate.store.remote.source_cache import SourceCache

PIECES = [bytes((number,)) * 1000 for number in range(5)]
DATA = b"".join(PIECES)
META = {
    "size": len(DATA),
    "e_tag": '"tag"',
    "last_modified": datetime(2026, 11, 2, tzinfo=UTC),
    "version": None,
}


class Slow:
    """A store that sends a piece when it is told so, and fails when it is told that."""

    away = ""

    def __init__(self):
        self.fetches = self.ended = 0
        self.pieces_left = asyncio.Queue()

    async def get(self, path, **options):
        if path == "missing":
            raise NoSuchKey("no")
        self.fetches += not options.get("head", False)
        return self

    meta, attributes = META, {}

    def send(self, *pieces):
        for piece in pieces:
            self.pieces_left.put_nowait(piece)

    async def stream(self, min_chunk_size):
        try:
            while (piece := await self.pieces_left.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.ended += 1

    async def pieces(self, stream):
        async for piece in stream:
            yield piece


@pytest.fixture
def store():
    return Slow()


@pytest.fixture
def reader(store):
    return RemoteReader(store, 1.0, 60.0)


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_is_there_with_its_first_piece_and_grows(store, reader):
    store.send(PIECES[0])
    opened = await reader.begin("a")
    assert isinstance(opened, Arriving)
    assert opened.object.size == len(DATA)
    while opened.arrival.arrived < 1000:
        await opened.more()
    assert os.pread(opened.descriptor, 1 << 20, 0) == PIECES[0]
    store.send(*PIECES[1:], None)
    await opened.whole()
    assert opened.arrival.complete
    assert os.pread(opened.descriptor, 1 << 20, 0) == DATA
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(opened.descriptor, b"x")  # who reads it cannot write to it
    opened.close()


async def test_one_download_is_for_all_who_ask(store, reader):
    store.send(PIECES[0])
    early = [await reader.begin("a") for _ in range(3)]
    late = asyncio.ensure_future(reader.open("a"))
    assert [item.arrival.openers for item in early] == [3, 3, 3]
    early.pop().close()
    assert early[0].arrival.openers == 2
    store.send(*PIECES[1:], None)
    for item in early:
        await item.whole()
        assert os.pread(item.descriptor, 1 << 20, 0) == DATA
        item.close()
    with closing(await late) as opened:
        assert type(opened) is Opened
        assert opened.read() == DATA
    assert store.fetches == 1


async def test_it_ends_when_nobody_waits(store, reader):
    before = len(os.listdir("/proc/self/fd"))
    store.send(PIECES[0])
    first, second = await reader.begin("a"), await reader.begin("a")
    first.close()
    await settle()
    assert not store.ended
    second.close()
    await settle()
    assert store.ended == 1
    assert len(os.listdir("/proc/self/fd")) == before
    store.send(*PIECES, None)
    with closing(await reader.open("a")) as opened:  # another download
        assert opened.read() == DATA
    assert store.fetches == 2


async def test_who_comes_as_the_last_one_leaves_has_a_download_of_its_own(store, reader):
    store.send(PIECES[0])
    (await reader.begin("a")).close()
    again = asyncio.ensure_future(reader.begin("a"))
    await settle()
    store.send(*PIECES, None)
    opened = await again
    if isinstance(opened, Arriving):
        await opened.whole()
    assert os.pread(opened.descriptor, 1 << 20, 0) == DATA
    opened.close()


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ([GatewayTimeout("late")] * 3, GatewayTimeout),
        ([BadGateway("cut")] * 3, BadGateway),
        ([None], BadGateway),  # too few bytes
        ([*PIECES, b"more", None], BadGateway),  # too many
    ],
)
async def test_what_fails_in_the_middle_fails_for_all_and_is_not_kept(tmp_path, store, end, error):
    cache = SourceCache(tmp_path / "vipsgate" / "sources", 1 << 20, "here")
    reader = RemoteReader(store, 1.0, 60.0, cache)
    before = len(os.listdir("/proc/self/fd"))
    store.send(*PIECES[:2])
    opened, other = await reader.begin("a"), asyncio.ensure_future(reader.open("a"))
    while opened.arrival.arrived < 2000:
        await opened.more()
    store.send(*end)
    with pytest.raises(error):
        await opened.whole()
    with pytest.raises(error):
        await opened.more()
    with pytest.raises(error):
        await other
    opened.close()
    await settle()
    assert len(os.listdir("/proc/self/fd")) == before
    assert [name for _, _, files in os.walk(tmp_path) for name in files] == []


async def test_a_transfer_that_broke_goes_on(store, reader):
    store.send(*PIECES[:2], BadGateway("cut"))
    opened = await reader.begin("a")
    store.send(*PIECES[2:], None)
    await opened.whole()
    assert os.pread(opened.descriptor, 1 << 20, 0) == DATA
    opened.close()


async def test_a_transfer_that_stops_is_given_up_within_its_time(store, reader):
    store.send(*PIECES[:2], GatewayTimeout("no piece has come in time"), *PIECES[2:], None)
    with pytest.raises(GatewayTimeout), closing(await reader.begin("a")) as opened:
        await opened.whole()
    assert store.fetches == 1


async def test_a_copy_of_the_cache_is_there_at_once(tmp_path, store):
    cache = SourceCache(tmp_path / "vipsgate" / "sources", 1 << 20, "here")
    reader = RemoteReader(store, 1.0, 60.0, cache)
    store.send(*PIECES, None)
    opened = await reader.begin("a")
    if isinstance(opened, Arriving):
        await opened.whole()
    opened.close()
    with closing(await reader.begin("a")) as opened:
        assert type(opened) is Opened
        assert opened.read() == DATA
    assert store.fetches == 1


async def test_one_that_is_missing(reader):
    with pytest.raises(NoSuchKey):
        await reader.begin("missing")


async def test_who_leaves_before_it_begins(store, reader):
    begun = asyncio.ensure_future(reader.begin("a"))
    await asyncio.sleep(0)
    begun.cancel()
    await asyncio.wait({begun})
    await settle()
    assert len(reader._opening) == 0


async def test_how_long_the_rest_takes():
    now = [10.0]
    arrival = Arrival(Object(1000, '"E"', 0.0), -1, lambda: now[0])
    assert arrival.seconds_left() == float("inf")
    now[0] = 11.0
    arrival.advance(250)
    assert arrival.seconds_left() == 3.0
    now[0] = 20.0  # nothing has come for long
    assert arrival.seconds_left() == 30.0
    arrival.advance(700)
    now[0] = 30.0
    assert arrival.seconds_left() == 10.0  # less at its pace, but it is silent
    arrival.advance(50)
    assert arrival.seconds_left() == 0.0
    assert arrival.complete


async def test_a_bell_rings_until_it_is_closed():
    arrival = Arrival(Object(1 << 30, '"E"', 0.0), -1)
    bell = arrival.bell()
    for _ in range(70_000):  # more than a pipe holds
        bell.ring()
    arrival.advance(1)
    assert len(os.read(bell.reader, 1 << 20)) == 65536
    reader = os.dup(bell.reader)
    bell.sent()
    arrival.advance(1)
    assert os.read(reader, 9) == b"\0"
    bell.close()
    bell.close()
    arrival.advance(1)
    assert os.read(reader, 9) == b""
    os.close(reader)
    gone = arrival.bell()
    gone.sent()
    arrival.advance(1)  # whoever had it is dead
    gone.close()
