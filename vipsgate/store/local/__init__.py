"""Buckets as folders on a local disk.

RULE: :mod:`.store` is the entry point, or :mod:`vipsgate.store.threaded` for files that may block.
Names on the disk are created and removed only through descriptors of folders (:mod:`.paths`), under
the bucket's lock.
"""
