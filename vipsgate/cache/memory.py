"""The least recently used leave first when the bytes are more than may be."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from .entry import CacheKey, Entry

OVERHEAD = 512  # bytes that an entry takes besides its body: keys, tables, objects
MAX_SHARE = 8  # one entry takes at most this part of the budget, so that none empties it


class Memory:
    """Bodies by place, within a budget.

    Args:
        budget: Bytes.

    Attributes:
        used: Bytes.
    """

    def __init__(self, budget: int) -> None:
        self.used = 0
        self._budget = budget
        self._kept: OrderedDict[CacheKey, Entry] = OrderedDict()
        self._of_source: defaultdict[tuple[str, str], set[CacheKey]] = defaultdict(set)

    def get(self, place: CacheKey) -> Entry | None:
        """What is kept there, and now the most recently used."""
        entry = self._kept.get(place)
        if entry is not None:
            self._kept.move_to_end(place)
        return entry

    def put(self, place: CacheKey, entry: Entry) -> None:
        """Keep it, if it is not too large; the caller's stays open."""
        weight = entry.size + OVERHEAD
        if weight * MAX_SHARE > self._budget or place in self._kept:
            return
        self._kept[place] = entry.in_memory()
        self._of_source[place.bucket, place.key].add(place)
        self.used += weight
        while self.used > self._budget:
            self._drop(next(iter(self._kept)))

    def purge(self, bucket: str, key: str) -> int:
        """Forget all that is made of an object; how many that were."""
        places = list(self._of_source.get((bucket, key), ()))
        for place in places:
            self._drop(place)
        return len(places)

    def _drop(self, place: CacheKey) -> None:
        self.used -= self._kept.pop(place).size + OVERHEAD
        source = (place.bucket, place.key)
        self._of_source[source].discard(place)
        if not self._of_source[source]:
            del self._of_source[source]
