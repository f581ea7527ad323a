"""Objects that somebody writes over while they are read: an ETag stands for its bytes."""

import asyncio
import base64
import itertools
import os

import pytest
from support.served import BUCKET, running

from vipsgate.cache.memory import Memory
from vipsgate.cache.tiers import Cache
from vipsgate.store.local import attribute_cache
from vipsgate.store.local.store import LocalStore

LARGE = 300_000  # bytes: no longer read at once
LOGO = base64.urlsafe_b64encode(b"logo.png").decode().rstrip("=")
MARKED = f"a.jpg?x-oss-process=image/watermark,image_{LOGO}"
KINDS = {  # request -> the file that is written to, headers, and which bytes are answered
    "small": ("small.bin", {}, slice(None)),
    "a part of a small one": ("small.bin", {"Range": "bytes=3-9"}, slice(3, 10)),
    "a part of a large one": ("large.bin", {"Range": "bytes=5-99"}, slice(5, 100)),
}


@pytest.fixture
async def served(tmp_path):
    async with running(LocalStore(tmp_path), cache=Cache(Memory(1 << 20), None)) as served:
        await served.rule(acl="public-read")
        folder = tmp_path / BUCKET
        for name, size in (("a.jpg", 9), ("logo.png", 9), ("small.bin", 99), ("large.bin", LARGE)):
            (folder / name).write_bytes(b"0" * size)
        yield served


def writes(monkeypatch, file, times):
    """Have the file written over, with other bytes each time, before so many reads of it."""
    pread, digits = os.pread, itertools.cycle("123456789")

    def read(descriptor, size, at):
        nonlocal times
        if os.path.samestat(os.fstat(descriptor), file.stat()) and times:
            times -= 1
            with file.open("r+b") as there:
                there.write(next(digits).encode() * file.stat().st_size)
        return pread(descriptor, size, at)

    monkeypatch.setattr(os, "pread", read)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_object(served, tmp_path, monkeypatch, kind):
    name, headers, part = KINDS[kind]
    file = tmp_path / BUCKET / name
    before = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    writes(monkeypatch, file, 1)
    answer = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert answer.body == file.read_bytes()[part] != before.body
    assert answer.headers["ETag"] != before.headers["ETag"]
    after = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert (answer.body, answer.headers["ETag"]) == (after.body, after.headers["ETag"])
    writes(monkeypatch, file, 99)
    answer = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")


async def test_an_object_that_is_known(served, tmp_path, monkeypatch):
    """The same where it is answered at once."""
    line, file = f"/{BUCKET}/small.bin", tmp_path / BUCKET / "small.bin"
    await served.ask("GET", line)
    monkeypatch.setattr(attribute_cache, "SECONDS", 0.0)
    for _ in range(3):
        await asyncio.sleep(0.01)
        before = await served.ask("GET", line)
    assert served.services.fastpath.knows(
        f"GET {line} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n".encode()
    )
    writes(monkeypatch, file, 1)
    answer = await served.ask("GET", line)
    assert answer.body == file.read_bytes() == b"1" * 99
    assert answer.headers["ETag"] != before.headers["ETag"]


async def test_what_is_laid_on_a_picture(served, tmp_path):
    """It counts in the picture's ETag as it was opened."""
    logo, renderers = tmp_path / BUCKET / "logo.png", served.services.renderers
    render, left = renderers.render, 0

    async def late(job, content=""):
        nonlocal left
        if left:
            left -= 1
            with logo.open("r+b") as file:
                file.write(f"{left:09}".encode())
        return await render(job, content)

    renderers.render, left = late, 1
    assert (await served.ask("GET", f"/{BUCKET}/{MARKED}")).status == 200
    assert len(renderers.jobs) == 2
    (tmp_path / BUCKET / "a.jpg").write_bytes(b"another")
    left = 99
    answer = await served.ask("GET", f"/{BUCKET}/{MARKED}")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    left = 0
    assert (await served.ask("GET", f"/{BUCKET}/{MARKED}")).status == 200
