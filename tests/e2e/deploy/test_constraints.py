"""deploy/constraints.txt: exact versions of all that is needed, within pyproject's ranges."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def pinned(deploy):
    """Name -> version."""
    found = {}
    for row in (deploy / "constraints.txt").read_text().splitlines():
        if not row.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.+!]*)", row).groups()
            assert canonicalize_name(name) not in found, name
            found[canonicalize_name(name)] = Version(version)
    return found


@pytest.fixture(scope="module")
def rows(deploy):
    """What pyproject wants, with the extras that the image has."""
    project = tomllib.loads((deploy.parent / "pyproject.toml").read_text())["project"]
    extras = re.search(r"ARG EXTRAS=(.*)", (deploy / "docker" / "Dockerfile").read_text())[1]
    found = list(project["dependencies"])
    for extra in extras.split(","):
        found += project["optional-dependencies"].get(extra, ())
    return found


def test_within_the_ranges_of_pyproject(pinned, rows):
    for requirement in map(Requirement, rows):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name}: add it to deploy/constraints.txt"
        assert requirement.specifier.contains(pinned[name]), requirement


def test_nothing_is_left_open(pinned, rows):
    """What the dependencies themselves need, as they are installed here."""
    ahead = [*rows]
    seen = set()
    while ahead:
        requirement = Requirement(ahead.pop())
        extras = requirement.extras or {""}
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name}: add it to deploy/constraints.txt"
        for extra in extras:
            if (name, extra) not in seen:
                seen.add((name, extra))
                for row in importlib.metadata.requires(name) or ():
                    asked = Requirement(row).marker
                    if asked is None or asked.evaluate({"extra": extra}):
                        ahead.append(row.partition(";")[0])
