"""All rows of the tables of plans, run through real pixels: the bytes obey the plan."""

import runpy
from pathlib import Path

import pytest

TABLES = Path(__file__).parents[2] / "image/actions/test_tables.py"
plans = runpy.run_path(str(TABLES))["plans"]


@pytest.mark.parametrize(("text", "source", "result", "formats"), plans())
def test_renders(text, source, result, formats, table):
    table.renders(source, text, result, formats)
