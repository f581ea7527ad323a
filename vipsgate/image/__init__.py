"""From a process text and a file to a picture: actions, plan, pipeline, formats.

RULE: text, arithmetic and lazy libvips. Nothing here waits, opens a file or uses a socket; a source
comes as bytes, and a result is written to a descriptor. Parsing and planning run without libvips:
pyvips is imported by :mod:`.load` and :mod:`.render`, which only a renderer imports, and inside
functions that only a renderer calls.
"""
