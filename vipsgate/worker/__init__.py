"""The process that renders: takes jobs and descriptors, returns pictures.

RULE: libvips, and neither asyncio nor the network. In its sandbox (:mod:`.sandbox`), a worker
opens no files but Python's and the fonts'. One that hangs is killed by the front, one that takes
too much memory is replaced. :mod:`.main` is the process, :mod:`.jobs` does the work,
:mod:`.interrupt` stops it; :mod:`.protocol` is all that it shares with the front.
"""
