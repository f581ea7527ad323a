"""A worker whose source is still being fetched makes the same of it, and waits for no more."""

import asyncio
import functools
import io
import os
import struct
import threading
import time
import zlib

import pytest
from PIL import Image

from vipsgate import errors
from vipsgate.image import group
from vipsgate.image.config import Limits, Rendering
from vipsgate.store.arrival import Arrival
from vipsgate.store.base import Object
from vipsgate.worker import fontfiles, main
from vipsgate.worker.interrupt import Interrupt
from vipsgate.worker.jobs import Worker
from vipsgate.worker.protocol import Batch, Coming, Job, Output

LIMITS = Limits(source_bytes=8 << 20)
PIECES = 12  # that a file comes in


@functools.cache
def photo(kind, **options):
    noise = Image.effect_noise((720, 540), 60).convert("RGB").resize((600, 420))
    file = io.BytesIO()
    noise.save(file, kind, **options)
    return file.getvalue()


def turned(data):
    """With an orientation behind the pixels."""
    block = Image.Exif()
    block[0x0112] = 6
    body = b"eXIf" + block.tobytes()[6:]
    more = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:-12] + more + data[-12:]


def jpeg():
    return photo("JPEG", quality=95)


FILES = {  # name -> makes its bytes
    "baseline JPEG": jpeg,
    "progressive JPEG": lambda: photo("JPEG", quality=95, progressive=True),
    "JPEG without an end": lambda: jpeg()[:-2],
    "PNG": lambda: photo("PNG"),
    "PNG turned behind its pixels": lambda: turned(photo("PNG")),
    "WebP": lambda: photo("WEBP"),
    "GIF": lambda: photo("GIF"),
    "JPEG that is cut off": lambda: jpeg()[: len(jpeg()) // 2],
    "PNG that is cut off": lambda: photo("PNG")[:90_000],
    "JPEG that is bent": lambda: jpeg()[:90_000] + b"\xff\xc4\0\5oh no" * 9 + jpeg()[99_000:],
    "no picture": lambda: b"no picture" * 50_000,
}
STREAMED = ("baseline JPEG", "progressive JPEG", "PNG")
PROCESSES = (
    "image/resize,w_200",
    "image/resize,w_9",
    "image/crop,w_100,h_50",
    "image/info",
    "image/average-hue",
)


@pytest.fixture(scope="module")
def worker():
    return Worker(LIMITS, Rendering(), fontfiles.find().fonts, Interrupt())


@pytest.fixture
def descriptors():
    """No thread stays behind, and no descriptor but the pipe of the last picture."""
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    yield
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= files + 1


def outcome(worker, source, process, coming=None):
    batch = Batch(1, (Job("render", process, source),), None, coming)
    [task] = worker.tasks(batch)
    result = main.outcome_of(worker, task, Interrupt())
    if isinstance(result, Output):
        data = os.pread(result.descriptor, result.size + 1, 0)
        os.close(result.descriptor)
        return data
    return result.code, result.message


class Fetched:
    """A file that comes in pieces, as the store brings it."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.file = os.memfd_create("coming")
        self.loop = asyncio.new_event_loop()
        self.arrival = self.loop.run_until_complete(self._arrival())
        self.bell = self.arrival.bell()
        self.told = Coming(len(data), self.bell.reader)

    async def _arrival(self):
        return Arrival(Object(len(self.data), '"E"', 0.0), self.file)

    def more(self, count):
        async def advance():
            self.at += os.pwrite(self.file, self.data[self.at : self.at + count], self.at)
            self.arrival.advance(count)

        self.loop.run_until_complete(advance())

    def close(self):
        self.bell.close()
        self.loop.close()
        os.close(self.file)


def slowly(coming, until):
    """Bring it up to there, in a thread of its own."""

    def bring():
        while coming.at < until:
            time.sleep(0.002)
            coming.more(min(until - coming.at, -(-len(coming.data) // PIECES)))

    thread = threading.Thread(target=bring)
    thread.start()
    return thread


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", FILES)
def test_the_answer_is_that_of_the_whole(worker, descriptors, monkeypatch, name, process):
    data, early = FILES[name](), []
    real = group.Group._write_early
    monkeypatch.setattr(
        group.Group, "_write_early", lambda *given: early.append(real(*given)) or early[-1]
    )
    whole = os.memfd_create("whole")
    os.write(whole, data)
    expected = outcome(worker, whole, process)
    os.close(whole)
    coming = Fetched(data)
    thread = slowly(coming, len(data))
    assert outcome(worker, coming.file, process, coming.told) == expected
    thread.join()
    coming.close()
    if process.startswith("image/resize"):
        assert (True in early) == (name in STREAMED)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_what_stops_in_the_middle_frees_the_worker(worker, descriptors, name, share):
    data = FILES[name]()
    coming = Fetched(data)
    until = int(share * len(data))
    thread = slowly(coming, until)

    def stop():
        thread.join()
        os.close(coming.bell._writer)  # as at the end of the front, or when it gives up

    ender = threading.Thread(target=stop)
    ender.start()
    code, message = outcome(worker, coming.file, "image/resize,w_200", coming.told)
    assert (code, message) == ("ServiceUnavailable", "The source has not arrived.")
    ender.join()
    coming.bell._writer = -1
    os.close(coming.bell.reader)
    coming.bell.reader = -1
    coming.close()


def test_descriptors_do_not_add_up(worker):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(8):
        coming = Fetched(jpeg())
        coming.more(len(coming.data))
        assert isinstance(outcome(worker, coming.file, "image/resize,w_9", coming.told), bytes)
        coming.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_source_that_is_too_large_is_refused_at_once(worker, descriptors):
    coming = Fetched(jpeg())
    code, _ = outcome(worker, coming.file, "image/resize,w_9", Coming(9 << 20, coming.bell.reader))
    coming.close()
    assert code == errors.ImageTooLarge("").code


def test_a_header_that_is_refused_waits_for_nothing_more(worker, descriptors):
    coming = Fetched(jpeg())
    coming.more(100_000)
    result = outcome(worker, coming.file, "image/crop,x_5000,y_0", coming.told)
    coming.close()
    assert result[0] != "ServiceUnavailable"
