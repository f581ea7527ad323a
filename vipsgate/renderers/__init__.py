"""The pool of worker processes, as the front sees it.

RULE: asyncio, and no pyvips. :mod:`.scheduler` is pure and decides which worker does which job,
with the queues of :mod:`.lanes`, the order of :mod:`.fair_share` and the bounds of
:mod:`.admission`. :mod:`.pool` takes jobs and sends them, :mod:`.workers` starts, replaces and ends
the processes, :mod:`.process` is one worker's socket and pipe. :mod:`.lending` and :mod:`.lent` are
for jobs that other fronts do; :mod:`.painting` renders pictures without a source, :mod:`.streaming`
those whose sources are still arriving.
"""
