"""``video/snapshot``: takes one picture of a video, and decodes no more of it than is needed.

RULE: only :mod:`.decode` and :mod:`.seek` import PyAV, inside of functions that only a worker
calls; :mod:`.snapshot` parses the text of the request without it.
"""
