"""Derivatives: bytes by the name of what they are, in memory, on disk and in a shared bucket.

RULE: may wait; knows no pixels and no callers. A name covers everything that the bytes depend on,
so nothing here is ever out of date, and nothing is asked of a cache before the gate has passed.
"""
