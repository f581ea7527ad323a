"""aiohttp and sockets: answers written, bodies sent, a port opened and closed.

RULE: knows no buckets and no pixels, and decides nothing.
"""
