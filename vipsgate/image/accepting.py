"""A process for a client that takes these formats: the class of :mod:`.automatic` in its text."""

from __future__ import annotations

from dataclasses import replace

from .actions.format import AUTO, Format
from .automatic import last_format
from .config import Limits
from .process import Process


def is_open(process: Process) -> bool:
    """Is it left to the client's Accept what is written?"""
    last = last_format(process.actions)
    named = last is not None and last.value == AUTO and not last.accept
    return named and process.answer is None


def names_none(process: Process) -> bool:
    """Does it make a picture of a picture, and leave the format as it is?"""
    if process.answer is not None:
        return False
    return bool(process.actions) and last_format(process.actions) is None


def accepted_by(process: Process, kind: str, limits: Limits) -> Process:
    """The same for a client of that class; a process that names no format gets ``format,auto``.

    Where it has as many actions as it may have it stays as it is.
    """
    chosen = Format(value=AUTO, accept=kind)
    last = last_format(process.actions)
    if last is None:
        inner = sum(len(need.actions) for action in process.actions for need in action.needs())
        room = len(process.actions) + inner < limits.actions
        return replace(process, actions=(*process.actions, chosen)) if room else process
    actions = tuple(chosen if action is last else action for action in process.actions)
    return replace(process, actions=actions)
