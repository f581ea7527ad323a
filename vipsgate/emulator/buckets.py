"""The emulator's folder: the buckets that tests begin with, and all of it anew.

A reset renames what there is into another folder and takes that away beside the next test, so that
it takes the same time however much was put.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ..buckets import BUCKET, INTERNAL, Bucket
from ..catalog import documents
from ..delivery.services import Services
from ..gate.target import check_bucket
from ..settings import SettingsError

MAX_BASE = 56  # characters of a name, with room for what makes it unique (OSS guide, Bucket naming)


class Folder:
    """A temporary folder with the store in it.

    Args:
        seed: A folder whose sub-folders are buckets to begin with; ``None`` for none.

    Attributes:
        path: It.
        root: The folder of the store in it.

    Raises:
        SettingsError: The seed has something that can be no bucket.
    """

    def __init__(self, seed: Path | None) -> None:
        self._seed = seed
        if seed:
            check_seed(seed)
        self.path = Path(tempfile.mkdtemp(prefix="vipsgate-emulator-"))
        self.root, self._old = self.path / "buckets", self.path / "old"
        self.root.mkdir()
        self._old.mkdir()

    def fill(self) -> None:
        """Copy the seed into the store, its documents (``.vipsgate/buckets``) included."""
        if self._seed is None:
            return
        for entry in self._seed.iterdir():
            if entry.name == INTERNAL:
                shutil.copytree(
                    entry / "buckets", self.root / INTERNAL / "buckets", dirs_exist_ok=True
                )
            elif BUCKET.fullmatch(entry.name):
                ignored = shutil.ignore_patterns(INTERNAL)
                shutil.copytree(entry, self.root / entry.name, ignore=ignored)

    def empty(self) -> Path:
        """Rename all that is in the store, and return the folder where it is now."""
        old = Path(tempfile.mkdtemp(dir=self._old))
        for entry in os.listdir(self.root):
            os.rename(self.root / entry, old / entry)
        return old

    def remove(self) -> None:
        """Take all of it away."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_seed(seed: Path) -> None:
    """Refuse a folder that would be copied in part.

    Raises:
        SettingsError: It has something that can be no bucket; hidden files are passed over.
    """
    if not seed.is_dir():
        raise SettingsError(f"--seed: {seed} is not a folder")
    for entry in seed.iterdir():
        if not (entry.name.startswith(".") or (entry.is_dir() and BUCKET.fullmatch(entry.name))):
            raise SettingsError(
                f"--seed: {entry} is not a bucket: a folder with a name of 3-63 of a-z, 0-9 and -"
            )


class Buckets:
    """The buckets of the emulator.

    Args:
        services: Of its server.
        folder: Where they are.
    """

    def __init__(self, services: Services, folder: Folder) -> None:
        self._services, self._folder = services, folder
        self._removing: set[asyncio.Task[None]] = set()

    async def create(self, name: str, document: Bucket) -> str:
        """Make a bucket whose name nobody else has, and return the name.

        Args:
            name: How it begins.
            document: Its settings.

        Raises:
            InvalidBucketName: No name begins so.
        """
        unique = f"{name[:MAX_BASE].rstrip('-')}-{secrets.token_hex(3)}"
        check_bucket(unique)
        await self._services.store.create(unique)
        await self._services.registry.documents.change(unique, lambda _: document)
        self._services.registry.refresh()
        return unique

    def read(self, data: bytes) -> Bucket:
        """Return the settings of a bucket from JSON.

        Raises:
            DocumentError: They are none.
        """
        return documents.read(data, self._services.settings.limits)

    async def reset(self) -> None:
        """Have the buckets as they were at the start, and nothing cached."""
        registry = self._services.registry
        old = self._folder.empty()
        await registry.documents.look()  # before a bucket of the seed seems to have lost its own
        self._folder.fill()
        await registry.documents.look()
        registry.refresh()
        if self._services.cache:
            self._services.cache.memory.clear()
        task = asyncio.create_task(asyncio.to_thread(shutil.rmtree, old, ignore_errors=True))
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)
