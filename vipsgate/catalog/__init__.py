"""Bucket documents, their versions, and multipart uploads, which are kept in the store itself.

RULE: may wait; reads and writes through the store's protocol, and knows no HTTP.
"""
