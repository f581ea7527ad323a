"""The pool of renderer processes, as the front sees it.

RULE: asyncio, and no pyvips. :mod:`.scheduler` is pure: it decides who gets which job;
:mod:`.pool` starts, sends and kills; :mod:`.process` is one worker's socket and pipe.
"""
