"""What each action reads, refuses, plans and renders: the rows of all their tables.

A table stands in the action's own module, ``test_NAME.py``, which says what else is true of it:

``READS``: a text -> the canonical one that it means.
``REFUSES``: a text -> the error, its EC, a part of its message.
``PLANS``: a text and a source -> words for the result; a still holds in all of ``FORMATS``, too.
``KINDS``: the same, of what only some formats have.
"""

import runpy
from pathlib import Path

import pytest

from vipsgate.image.actions import ACTIONS

HERE = Path(__file__)
LONGEST = 60  # characters of a text in an id
TABLES = {
    path.stem.removeprefix("test_"): runpy.run_path(str(path))
    for path in sorted(HERE.parent.glob("test_*.py"))
    if path != HERE
}


def texts(name):
    """The rows of that table of all actions: a text, and what holds of it."""
    return [
        pytest.param(text, row, id=text[:LONGEST])
        for tables in TABLES.values()
        for text, row in tables[name].items()
    ]


def plans():
    """A text, a source, words for the result, and further formats in which they are true."""
    return [
        pytest.param(text, source, result, formats, id=f"{text[:LONGEST]} of {source}")
        for tables in TABLES.values()
        for name in ("PLANS", "KINDS")
        for (text, source), result in tables.get(name, {}).items()
        for formats in [tables.get("FORMATS", ()) if name == "PLANS" and is_still(source) else ()]
    ]


def first_of_each(rows):
    """The first row of each action."""
    firsts = {}
    for row in rows:
        firsts.setdefault(row.values[0].partition(",")[0], row)
    return list(firsts.values())


def is_still(source):
    """Is it one picture, ``png 40x20``, and not several, ``gif 20x10x3``?"""
    return source.split()[1].count("x") == 1


def test_every_action_has_tables():
    assert set(TABLES) == {name.replace("-", "_") for name in ACTIONS}
    for name, tables in TABLES.items():
        assert tables["READS"], name
        assert tables["REFUSES"], name


@pytest.mark.parametrize(("text", "canonical"), texts("READS"))
def test_reads(text, canonical, table):
    table.reads(text, canonical)


@pytest.mark.parametrize(("text", "error"), texts("REFUSES"))
def test_refuses(text, error, table):
    table.refuses(text, error)


@pytest.mark.parametrize(("text", "source", "result", "formats"), plans())
def test_plans(text, source, result, formats, table):
    table.plans(source, text, result)


@pytest.mark.parametrize(("text", "source", "result", "formats"), first_of_each(plans()))
def test_renders(text, source, result, formats, table):
    """One of each action; all of them are in tests/e2e/pixels/test_tables.py."""
    table.renders(source, text, result, formats)
