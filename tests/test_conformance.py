"""The conformance page says what the tables say, and each of its tests exists."""

import ast
from pathlib import Path

import pytest
from support import conformance

ROOT = Path(__file__).parents[1]


def test_the_page_is_made_from_the_tables():
    assert conformance.PAGE.read_text() == conformance.page(), "run .ci/conformance"


def test_nothing_has_a_test_or_a_note_that_is_in_no_table():
    calls = {row.name for _, table in conformance.LEVELS for row in rows(table)}
    assert conformance.CALLS.keys() | conformance.NEAR.keys() <= calls
    assert conformance.PARAMETERS.keys() <= conformance.by_name("parameters").keys()
    assert conformance.HEADER_TESTS.keys() <= conformance.by_name("headers").keys()
    assert conformance.NEAR_HEADERS.keys() <= conformance.HEADER_TESTS.keys()
    assert conformance.NEAR_ACTIONS.keys() <= conformance.ACTIONS.keys()


def rows(table):
    return (row for first in table.values() for row in (first, first.copying) if row)


NAMED = conformance.named()


@pytest.mark.parametrize("path", sorted({name.partition("::")[0] for name in NAMED}))
def test_every_test_is_there(request, path):
    """Its function always; its row where this run has collected the file."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = {node.name for node in tree.body if isinstance(node, kinds)}
    collected = {item.nodeid for item in request.session.items if item.nodeid.startswith(path)}
    for name in NAMED:
        file, _, test = name.partition("::")
        if file == path:
            assert test.partition("[")[0] in functions, name
            assert not collected or conformance.is_among(name, collected), name


def test_a_test_that_was_skipped_or_left_out_has_not_run():
    name = f"tests/{conformance.CALLS['ListBuckets']}"
    file = name.partition("::")[0]
    others = {test: True for test in conformance.named() if test.startswith(file) and test != name}
    assert conformance.not_run({f"{name}[a row]": True, **others}) == []
    assert conformance.not_run({name: False, **others}) == [name]
    assert name in conformance.not_run({f"{file}::test_another": True})
    assert conformance.not_run({"tests/test_readme.py::test_a": True}) == []
