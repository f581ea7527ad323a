"""Cache entries in memory, within a budget: the least recently used are removed first."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from .entry import CacheKey, Entry

OVERHEAD = 512  # bytes that an entry takes besides its body: keys, tables, objects
MAX_SHARE = 8  # one entry takes at most 1/8 of the budget, so that none displaces all others


class Memory:
    """Entries by cache key, within a budget.

    Args:
        budget: Bytes that all entries may take.

    Attributes:
        used: Bytes that they take now.
    """

    def __init__(self, budget: int) -> None:
        self.used = 0
        self._budget = budget
        self._entries: OrderedDict[CacheKey, Entry] = OrderedDict()
        self._of_source: defaultdict[tuple[str, str], set[CacheKey]] = defaultdict(set)

    def get(self, cache_key: CacheKey) -> Entry | None:
        """Return the entry, or ``None``, and make it the most recently used one."""
        entry = self._entries.get(cache_key)
        if entry is not None:
            self._entries.move_to_end(cache_key)
        return entry

    def put(self, cache_key: CacheKey, entry: Entry) -> None:
        """Store a copy of an entry, unless it is too large."""
        weight = entry.size + OVERHEAD
        if weight * MAX_SHARE > self._budget or cache_key in self._entries:
            return
        self._entries[cache_key] = entry.in_memory()
        self._of_source[cache_key.bucket, cache_key.key].add(cache_key)
        self.used += weight
        while self.used > self._budget:
            self._drop(next(iter(self._entries)))

    def purge(self, bucket: str, key: str) -> int:
        """Remove all entries of an object, and return their number."""
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
