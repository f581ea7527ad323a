"""Seen from outside: what each request came to, counted, written down, and traced.

RULE: notes and never decides; what fails in here fails no answer. A
:class:`~.record.RequestRecord` is filled in on a request's way, :class:`~.recorder.Recorder` hands
it on when the answer is there.
"""
