"""Processes that end in the middle of a write: what is stored is the old or the new, whole."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys

import pytest

from vipsgate.errors import NoSuchKey
from vipsgate.store.base import PLAIN
from vipsgate.store.local.store import LocalStore

WRITER = """
import asyncio, sys
from pathlib import Path
from vipsgate.store.base import PLAIN
from vipsgate.store.local.store import LocalStore

async def main():
    store = LocalStore(Path(sys.argv[1]))
    print("ready", flush=True)
    for turn in range(100_000):
        async with store.draft("photos") as draft:
            for _ in range(20):
                await draft.write(bytes([turn % 256]) * 50_000)
            await draft.keep("dir/object", PLAIN)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "times",
    [
        15,
        pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
async def test_kill_9_leaves_the_old_or_the_new_one(tmp_path, times):
    store = LocalStore(tmp_path)
    await store.create("photos")
    chance = random.Random(times)
    for _ in range(times):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        await asyncio.sleep(chance.uniform(0.005, 0.06))
        writer.kill()
        writer.communicate()
        try:
            found = await store.stat("photos", "dir/object")
        except NoSuchKey:
            continue
        data = await content(store, "dir/object", found.size)
        assert len(data) == 1_000_000
        assert len(set(data)) == 1
        assert found.etag == f'"{hashlib.md5(data).hexdigest().upper()}"'
        await store.sweep()
        assert not list((tmp_path / "photos" / ".vipsgate" / "drafts").iterdir())


async def content(store, key, size):
    opened = await store.open("photos", key)
    try:
        return os.pread(opened.descriptor, size, 0)
    finally:
        opened.close()


FILLER = """
import asyncio, resource, signal, sys
from pathlib import Path
from vipsgate.errors import InsufficientStorage
from vipsgate.store.base import PLAIN
from vipsgate.store.local.store import LocalStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # the disk has room for no more

async def main():
    store = LocalStore(Path(sys.argv[1]))
    try:
        async with store.draft("photos") as draft:
            await draft.write(b"x" * 200_000)
            await draft.keep("a", PLAIN)
    except InsufficientStorage as error:
        print(error.status)

asyncio.run(main())
"""


async def test_a_full_disk_changes_nothing(tmp_path):
    store = LocalStore(tmp_path)
    await store.create("photos")
    async with store.draft("photos") as draft:
        await draft.write(b"old")
        await draft.keep("a", PLAIN)
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("507\n", "")
    assert await content(store, "a", 10) == b"old"
    assert not list((tmp_path / "photos" / ".vipsgate" / "drafts").iterdir())
