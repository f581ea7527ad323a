"""What vipsgate keeps in the store itself: bucket documents, and uploads in parts.

RULE: may wait; reads and writes through the store's own protocol, and knows no HTTP.
"""
