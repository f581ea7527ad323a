"""Lists the keys of a bucket in an object store's order, with common prefixes, in bounded memory.

Stores can fold common prefixes themselves, but then obstore holds the whole result; and they fold
at ``/`` only. So names are listed as a stream that begins after a given name; if many of them have
the same common prefix, a new stream is begun after that. A store with S3's API is trusted to list
only names after the given one, in its own order, as SeaweedFS lists folder by folder; other stores
may list names before it, too, which are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ...buckets import INTERNAL
from ..local.listing import common
from .client import StoreClient
from .names import key_of, name_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

PAGE = 1000  # names in one answer of a store
FOLD = 1000  # names of one common prefix that are skipped before a new stream is begun
END = "\U0010ffff"  # sorts after every other character
CONTROL = 0x1F  # the last character that no name of obstore's has


class Walk:
    """One way through a bucket.

    Args:
        client: The client of the store.
        base: The prefix of all names in the bucket; empty, or with a ``/`` at its end.
        prefix: What keys begin with.
        delimiter: Keys that contain it after the prefix are folded; empty to fold none.
        after: Only keys and common prefixes after this text are listed.
        trust: Whether the store lists only names after the given one.
    """

    def __init__(
        self,
        client: StoreClient,
        base: str,
        prefix: str,
        delimiter: str,
        after: str,
        *,
        trust: bool,
    ) -> None:
        self._trust = trust
        self._client, self._base, self._prefix = client, base, prefix
        self._delimiter, self._after = delimiter, after
        self._folder = (base + prefix[: prefix.rfind("/") + 1]).removesuffix("/")

    async def entries(self) -> AsyncIterator[tuple[str, ObjectMeta | None]]:
        """Yield keys with their entries of the listing, and common prefixes with ``None``."""
        folded = common(self._after, self._prefix, self._delimiter)
        start = max(self._after, _before(self._prefix), folded and folded + END, key=str.encode)
        while True:
            passed, again = 0, False
            name = self._base + name_of(start)
            offset = _nameable(name)
            exact = self._trust and offset == name
            async for meta in self._stream(offset):
                key = key_of(meta["path"].removeprefix(self._base))
                if folded and key.startswith(folded):
                    passed += 1
                    if passed < FOLD or start == folded + END:  # the store lists earlier names, too
                        continue
                    start, again = folded + END, True
                    break
                if not key.startswith(self._prefix):
                    if key.encode() > self._prefix.encode():
                        return
                    continue
                if INTERNAL in key.split("/"):
                    continue
                if not exact and key.encode() <= start.encode():
                    continue
                passed, folded = 0, common(key, self._prefix, self._delimiter)
                yield (folded, None) if folded else (key, meta)
            if not again:
                return

    async def _stream(self, offset: str) -> AsyncIterator[ObjectMeta]:
        import obstore

        if _nameable(self._folder) != self._folder:  # no name has this prefix
            return
        stream = obstore.list(
            self._client.store,
            self._folder or None,
            offset=offset or None,
            chunk_size=PAGE,
        )
        async for chunk in self._client.pieces(stream):
            for meta in chunk:
                yield meta


def _before(prefix: str) -> str:
    """Return a text that sorts just before all texts that begin with the prefix, or nearly so."""
    if not prefix:
        return ""
    code = ord(prefix[-1]) - 1
    if code <= CONTROL or 0xD800 <= code <= 0xDFFF:  # no character
        return prefix[:-1]
    return prefix[:-1] + chr(code) + END


def _nameable(text: str) -> str:
    """Return the longest prefix of a text that a name in obstore can have; no final ``/``."""
    names: list[str] = []
    for name in text.split("/"):
        end = next((at for at, sign in enumerate(name) if sign <= "\x1f" or sign == "\x7f"), None)
        if name[:end] not in ("", ".", ".."):
            names.append(name[:end])
        if end is not None or name in ("", ".", ".."):
            break
    return "/".join(names)
