"""Objects in buckets: in a folder, in an object store, or painted on request.

RULE: may wait; knows buckets and keys, no pictures and no callers.
"""
