"""Where do the bytes live?

RULE: may wait; knows buckets and keys, no pictures and no callers.
"""
