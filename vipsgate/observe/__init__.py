"""Seen from outside: what each request came to, counted, written down, and traced.

RULE: notes and never decides; what fails in here fails no answer. A :class:`~.visit.Visit` is
filled in on a request's way, :class:`~.watch.Watch` hands it on when the answer is there.
"""
