"""Metrics, access log and traces of requests.

RULE: records and never decides; a failure in here never affects an answer. A
:class:`~.record.RequestRecord` is filled in while a request is processed;
:class:`~.recorder.Recorder` passes it on when there is an answer.
"""
