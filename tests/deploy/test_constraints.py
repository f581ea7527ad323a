"""deploy/constraints.txt: exact versions of all that is needed, within pyproject's ranges."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRAS = ("heif", "video")  # that the image has


@pytest.fixture(scope="module")
def pinned(deploy):
    """Name -> version."""
    rows = (deploy / "constraints.txt").read_text().splitlines()
    found = {}
    for row in rows:
        if not row.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.+!]*)", row).groups()
            assert canonicalize_name(name) not in found, name
            found[canonicalize_name(name)] = Version(version)
    return found


@pytest.fixture(scope="module")
def project(deploy):
    return tomllib.loads((deploy.parent / "pyproject.toml").read_text())["project"]


def test_within_the_ranges_of_pyproject(pinned, project):
    rows = list(project["dependencies"])
    for extra in EXTRAS:
        rows += project["optional-dependencies"][extra]
    for requirement in map(Requirement, rows):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name}: add it to deploy/constraints.txt"
        assert requirement.specifier.contains(pinned[name]), requirement


def test_nothing_is_left_open(pinned, project):
    """What the dependencies themselves need, as they are installed here."""
    ahead = [*project["dependencies"]]
    for extra in EXTRAS:
        ahead += project["optional-dependencies"][extra]
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
