"""README says what the code says."""

import importlib.machinery
import importlib.util
import re
from pathlib import Path

import pytest

from vipsgate.demo.tour import TOUR
from vipsgate.image.actions import ACTIONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def readme():
    loader = importlib.machinery.SourceFileLoader("readme", str(ROOT / ".ci" / "readme"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("readme", loader))
    loader.exec_module(module)
    return module


def test_its_tables_are_made_from_the_code(readme):
    assert readme.filled(README) == README, "run .ci/readme"


def test_every_picture_of_the_tour_is_there(readme):
    expected = {readme.name(number) for number, stop in enumerate(TOUR) if stop.picture}
    assert {path.name for path in readme.PICTURES.iterdir()} == expected


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_has_a_row_and_a_module_of_its_name(name):
    assert f"| `{name}" in README
    assert ACTIONS[name].__module__.endswith("." + name.replace("-", "_"))


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:vipsgate|tests|bench|deploy|\.ci)/[\w./-]+)`", README)))
)
def test_every_path_it_names_exists(path):
    if "NAME" not in path:
        assert (ROOT / path).exists()


def test_its_map_of_the_way_names_modules_that_exist():
    for room in re.findall(r"-> ((?:gate|image|store)/\w+)", README):
        assert (ROOT / "vipsgate" / f"{room}.py").exists()
