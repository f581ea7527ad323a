"""The plugin in test suites of others, which pytest's own ``pytester`` runs."""

import json
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

pytest_plugins = "pytester"
ROOT = Path(__file__).parents[3]
PLUGIN = "vipsgate.emulator.plugin"
CLIENT = """
    import urllib.request

    def get(url):
        with urllib.request.urlopen(url) as answer:
            return answer.read()
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run pytest in another process on these files, with no plugins but those that are named."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def run(*arguments, ini="", plugins=(PLUGIN,), **files):
        pytester.makepyfile(**{name: textwrap.dedent(text) for name, text in files.items()})
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        chosen = [word for name in plugins for word in ("-p", name)]
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *chosen, *arguments)

    return run


def test_pip_installs_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"vipsgate": PLUGIN}
    assert any(line.startswith("pytest ") for line in project["optional-dependencies"]["emulator"])


def test_importing_the_plugin_is_cheap():
    """A suite that does not use it pays for no more than the standard library."""
    code = f"""
        import sys, pytest
        before = set(sys.modules)
        import {PLUGIN}
        print(*sorted(set(sys.modules) - before))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    loaded = [name for name in run.stdout.split() if name.partition(".")[0] != "__future__"]
    assert loaded == ["vipsgate", "vipsgate.emulator", "vipsgate.emulator.plugin"]


def test_a_suite_that_does_not_use_it_starts_nothing(suite, pytester):
    test = """
        import sys

        def test_nothing():
            assert "vipsgate.emulator.client" not in sys.modules

        def test_own(oss):
            assert oss == "the suite's own"
    """
    conftest = """
        import pytest

        @pytest.fixture
        def oss():
            return "the suite's own"
    """
    suite("--strict-markers", "--strict-config", conftest=conftest, test_one=test).assert_outcomes(
        passed=2
    )


def test_each_worker_of_xdist_has_a_server_of_its_own(suite, pytester):
    test = (
        CLIENT
        + """
    import json, os, pathlib
    import pytest

    @pytest.mark.parametrize("number", [1, 2])
    def test_state_is_of_one_test(oss, number):
        assert oss.requests == []
        assert list((oss.folder / "buckets").iterdir()) == []
        name = oss.bucket("photos", acl="public-read-write")
        request = urllib.request.Request(f"{oss.endpoint}/{name}/a.txt", b"hello", method="PUT")
        urllib.request.urlopen(request).close()
        assert get(f"{oss.endpoint}/{name}/a.txt") == b"hello"
        assert [item.call for item in oss.requests] == ["PutObject", "GetObject"]
        oss.clock.advance(days=1)
        oss.faults.error(503)

    def test_note(oss):
        about = {"endpoint": oss.endpoint, "pid": oss.pid, "folder": str(oss.folder)}
        file = pathlib.Path(__file__).with_suffix("." + os.environ["PYTEST_XDIST_WORKER"])
        file.write_text(json.dumps(about))
    """
    )
    result = suite(
        *("-n", "2", "--dist", "loadfile"),
        plugins=(PLUGIN, "xdist.plugin", "xdist.looponfail"),
        test_one=test,
        test_two=test,
    )
    result.assert_outcomes(passed=6)
    notes = [json.loads(file.read_text()) for file in pytester.path.glob("test_*.gw*")]
    assert len(notes) == len({note["endpoint"] for note in notes}) == 2
    for note in notes:
        assert not os.path.exists(f"/proc/{note['pid']}")
        assert not os.path.exists(note["folder"])


def test_the_scope_and_the_seed_of_the_configuration(suite, pytester):
    bucket = pytester.mkdir("seed") / "photos"
    (bucket / "dir").mkdir(parents=True)
    (bucket / "dir" / "a.txt").write_text("seeded")
    documents = pytester.path / "seed" / ".vipsgate" / "buckets"
    documents.mkdir(parents=True)
    (documents / "photos.json").write_text('{"acl": "public-read-write"}')
    (pytester.path / "more.toml").write_text('[server]\nregion = "eu-central-1"\n')
    test = (
        CLIENT
        + """
    def test_first(oss):
        assert oss.region == "eu-central-1"
        assert get(f"{oss.endpoint}/photos/dir/a.txt") == b"seeded"
        url = f"{oss.endpoint}/photos/dir/a.txt"
        urllib.request.urlopen(urllib.request.Request(url, b"changed", method="PUT")).close()

    def test_second_goes_on(oss):
        assert get(f"{oss.endpoint}/photos/dir/a.txt") == b"changed"
    """
    )
    ini = "oss_scope = module\noss_seed = seed\noss_config = more.toml\n"
    suite(ini=ini, test_one=test, test_two=test).assert_outcomes(passed=4)
    assert (bucket / "dir" / "a.txt").read_text() == "seeded"


@pytest.mark.parametrize(
    ("ini", "named"),
    [
        ("oss_scope = forever", "oss_scope = forever: expects one of function"),
        ("oss_seed = nowhere", "EmulatorError: the emulator did not start: *nowhere is not a f*"),
    ],
)
def test_what_cannot_be_is_refused_by_name(suite, ini, named):
    result = suite(ini=ini, test_one="def test_one(oss): pass")
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{named}*"])
