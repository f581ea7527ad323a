"""The pool of worker processes, as the front sees it.

RULE: asyncio, and no pyvips. :mod:`.scheduler` is pure and decides which worker does which job,
with the queues of :mod:`.lanes` and the bounds of :mod:`.admission`; :mod:`.pool` starts, sends and
kills; :mod:`.process` is one worker's socket and pipe; :mod:`.painting` has pictures painted, and
:mod:`.streaming` those made whose sources still come.
"""
