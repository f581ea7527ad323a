"""``video/snapshot``: one picture of a video, by seeking and decoding no more than it takes.

RULE: PyAV is imported by :mod:`.decode` and :mod:`.seek` alone, inside of functions that only a
worker calls; :mod:`.snapshot` is the text of the request, parsed without it.
"""
