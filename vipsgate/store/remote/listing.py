"""The keys of a bucket in an object store's order, common prefixes folded, in bounded memory.

Stores fold by themselves, but obstore then holds all that is found; and they fold at ``/`` only.
So names come as a stream from behind some name, and where many have the same common prefix the
stream is begun again behind that. What S3 says is behind a name is not held against the order of
bytes, for SeaweedFS goes folder by folder; others may tell what comes before it, too.
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

PAGE = 1000  # names that stores tell at a time
FOLD = 1000  # names of one common prefix that are passed over before the stream is begun anew
END = "\U0010ffff"  # behind every other character
CONTROL = 0x1F  # the last character that no name of obstore's has


class Walk:
    """One way through a bucket.

    Args:
        client: To the store.
        base: What stands before the keys of the bucket; empty, or with a ``/`` at its end.
        prefix: What keys begin with.
        delimiter: Where they are folded behind the prefix; empty for nowhere.
        after: Only what comes behind this.
        trust: Whether the store begins where it is told to.
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
        """Keys with what the listing says of them, common prefixes with ``None``."""
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
                    if passed < FOLD or start == folded + END:  # it begins where it likes
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

        if _nameable(self._folder) != self._folder:  # no name begins so
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
    """A text before all that begin with the prefix, and behind nearly all that come before them."""
    if not prefix:
        return ""
    code = ord(prefix[-1]) - 1
    if code <= CONTROL or 0xD800 <= code <= 0xDFFF:  # no character
        return prefix[:-1]
    return prefix[:-1] + chr(code) + END


def _nameable(text: str) -> str:
    """As much of the beginning of a text as a name of obstore's can have, no ``/`` at its end."""
    names: list[str] = []
    for name in text.split("/"):
        end = next((at for at, sign in enumerate(name) if sign <= "\x1f" or sign == "\x7f"), None)
        if name[:end] not in ("", ".", ".."):
            names.append(name[:end])
        if end is not None or name in ("", ".", ".."):
            break
    return "/".join(names)
