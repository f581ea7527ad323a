"""Adds the formats that a client accepts to a process, as a class of :mod:`.automatic`."""

from __future__ import annotations

from dataclasses import replace

from .actions.format import AUTO, Format
from .automatic import last_format
from .config import Limits
from .process import Process


def is_open(process: Process) -> bool:
    """Return whether the client's Accept selects the format of the result."""
    last = last_format(process.actions)
    named = last is not None and last.value == AUTO and not last.accept
    return named and process.answer is None


def names_none(process: Process) -> bool:
    """Return whether a process makes a picture of a picture and names no format."""
    if process.answer is not None:
        return False
    return bool(process.actions) and last_format(process.actions) is None


def accepted_by(process: Process, kind: str, limits: Limits) -> Process:
    """Return the process for a client of a class; one that names no format gets ``format,auto``.

    A process that already has the largest number of actions is returned unchanged.
    """
    chosen = Format(value=AUTO, accept=kind)
    last = last_format(process.actions)
    if last is None:
        inner = sum(len(need.actions) for action in process.actions for need in action.needs())
        room = len(process.actions) + inner < limits.actions
        return replace(process, actions=(*process.actions, chosen)) if room else process
    actions = tuple(chosen if action is last else action for action in process.actions)
    return replace(process, actions=actions)
