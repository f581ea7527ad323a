"""Buckets as folders on a local disk.

RULE: :mod:`.store` is the one way in, for files that block :mod:`vipsgate.store.threaded`; what
gives or takes a name on the disk does so through descriptors of folders (:mod:`.paths`), under the
bucket's lock.
"""
