"""The cache of derivatives, in memory, on disk and in a shared bucket.

RULE: may wait; knows no pixels and no callers. The name of an entry covers everything that its
bytes depend on, so no entry is ever out of date. Access is checked before the cache is used.
"""
