"""File formats: which there are, how a file is recognised, what its header says, how it is written.

RULE: bytes in, a :class:`~vipsgate.image.frame.Header` or pixels out; one module for each format.
Nothing here plans or knows an action. :mod:`.codecs` is the one table of formats.
"""
