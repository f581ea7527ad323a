"""deploy/README.md has the arithmetic that deploy/sizing.py makes of the measured figures."""

import re
import runpy
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def sizing(deploy):
    return runpy.run_path(str(deploy / "sizing.py"))


def test_the_tables_are_those_of_the_readme(deploy, sizing):
    text = (deploy / "README.md").read_text()
    part = re.search(r"<!-- sizing -->\n(.*)<!-- /sizing -->", text, re.DOTALL)[1]
    assert part == sizing["tables"](sizing["Load"]()) + "\n"


def test_the_figures_are_those_that_were_measured(deploy, sizing):
    """As far as bench/README.md still says them; it is made anew on other machines."""
    load = sizing["Load"]()
    assert load.hit_ms == pytest.approx(1000 / 9894, rel=0.02)
    assert load.cold_ms == pytest.approx(10.94 + 0.55, rel=0.01)
    # 162 pictures a second on 2 cores, where the machine did nothing else
    assert load.cores * 1000 / load.cold_ms == pytest.approx(162, rel=0.1)


def test_by_hand(sizing):
    load = sizing["Load"](hits=0.5, hit_ms=0, cold_ms=10, cores=1, used=1, peak=1)
    assert load.rate == 200
    assert load.daily == 200 * 86400
    assert load.cold_daily == 100 * 86400


def test_other_numbers(deploy):
    command = [sys.executable, deploy / "sizing.py", "--hits", "0.99", "--cores", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "99% of them hits" in done.stdout
