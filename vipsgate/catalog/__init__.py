"""Bucket documents, their versions, and uploads in parts, which vipsgate keeps in the store itself.

RULE: may wait; reads and writes through the store's own protocol, and knows no HTTP.
"""
