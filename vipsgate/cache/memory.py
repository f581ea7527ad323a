"""The least recently used leave first when the bytes are more than may be."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from .entry import CacheKey, Entry

OVERHEAD = 512  # bytes that an entry takes besides its body: keys, tables, objects
MAX_SHARE = 8  # one entry takes at most this part of the budget, so that none empties it


class Memory:
    """Entries by cache key, within a budget.

    Args:
        budget: Bytes.

    Attributes:
        used: Bytes.
    """

    def __init__(self, budget: int) -> None:
        self.used = 0
        self._budget = budget
        self._entries: OrderedDict[CacheKey, Entry] = OrderedDict()
        self._of_source: defaultdict[tuple[str, str], set[CacheKey]] = defaultdict(set)

    def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry, which is the most recently used one now."""
        entry = self._entries.get(cache_key)
        if entry is not None:
            self._entries.move_to_end(cache_key)
        return entry

    def put(self, cache_key: CacheKey, entry: Entry) -> None:
        """Keep it, if it is not too large; the caller's stays open."""
        weight = entry.size + OVERHEAD
        if weight * MAX_SHARE > self._budget or cache_key in self._entries:
            return
        self._entries[cache_key] = entry.in_memory()
        self._of_source[cache_key.bucket, cache_key.key].add(cache_key)
        self.used += weight
        while self.used > self._budget:
            self._drop(next(iter(self._entries)))

    def purge(self, bucket: str, key: str) -> int:
        """Remove all entries of an object, and return how many there were."""
        places = list(self._of_source.get((bucket, key), ()))
        for cache_key in places:
            self._drop(cache_key)
        return len(places)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._of_source.clear()
        self.used = 0

    def _drop(self, cache_key: CacheKey) -> None:
        self.used -= self._entries.pop(cache_key).size + OVERHEAD
        source = (cache_key.bucket, cache_key.key)
        self._of_source[source].discard(cache_key)
        if not self._of_source[source]:
            del self._of_source[source]
