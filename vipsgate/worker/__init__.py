"""The process that renders: takes jobs and descriptors, gives pictures.

RULE: libvips, and neither asyncio nor the network. It has no files once its sandbox is entered
(:mod:`.sandbox`), and no second chance: what hangs is killed from outside, what takes too much
memory is replaced. :mod:`.main` is the process, :mod:`.jobs` does the work, :mod:`.interrupt` stops
it; :mod:`.protocol` is all that it shares with the front.
"""
