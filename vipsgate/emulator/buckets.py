"""The emulator's folder: creates buckets, and resets all of them.

A reset moves all buckets into another folder, which is deleted while the next test runs, so that it
takes the same time however many objects there are.
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
    """A temporary folder that contains the store.

    Args:
        seed: A folder whose sub-folders are the buckets at the start; ``None`` for none.

    Attributes:
        path: The temporary folder.
        root: The folder of the store in it.

    Raises:
        SettingsError: The seed contains something that is not valid as a bucket.
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
        """Copy the seed into the store, including documents (``.vipsgate/buckets``)."""
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
        """Move everything in the store to another folder, and return that."""
        old = Path(tempfile.mkdtemp(dir=self._old))
        for entry in os.listdir(self.root):
            os.rename(self.root / entry, old / entry)
        return old

    def remove(self) -> None:
        """Delete the temporary folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_seed(seed: Path) -> None:
    """Refuse a folder that could be copied in part only.

    Raises:
        SettingsError: It contains something that is not valid as a bucket; hidden files are
            ignored.
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
        services: The services of its server.
        folder: The folder that contains them.
    """

    def __init__(self, services: Services, folder: Folder) -> None:
        self._services, self._folder = services, folder
        self._removing: set[asyncio.Task[None]] = set()

    async def create(self, name: str, document: Bucket) -> str:
        """Create a bucket with a unique name, and return the name.

        Args:
            name: Prefix of the name.
            document: The bucket's document.

        Raises:
            InvalidBucketName: No bucket name may begin like this.
        """
        unique = f"{name[:MAX_BASE].rstrip('-')}-{secrets.token_hex(3)}"
        check_bucket(unique)
        await self._services.store.create(unique)
        await self._services.registry.documents.change(unique, lambda _: document)
        self._services.registry.refresh()
        return unique

    def read(self, data: bytes) -> Bucket:
        """Return a bucket's document from JSON.

        Raises:
            DocumentError: The JSON is not valid as a document.
        """
        return documents.read(data, self._services.settings.limits)

    async def reset(self) -> None:
        """Restore the buckets as they were at the start, and empty the cache."""
        registry = self._services.registry
        old = self._folder.empty()
        await registry.documents.look()  # else a seed's bucket would seem to have lost its document
        self._folder.fill()
        await registry.documents.look()
        registry.refresh()
        if self._services.cache:
            self._services.cache.memory.clear()
        task = asyncio.create_task(asyncio.to_thread(shutil.rmtree, old, ignore_errors=True))
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)
