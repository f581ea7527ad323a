"""The way from a request that is understood to the bytes that answer it.

RULE: resolves names, asks the gate, the cache, the store and the renderers, in that order; speaks
no XML and has no row of OSS's API.
"""
