"""The scripts of bench/: one table knows them all, and one that cannot run stops no other."""

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.__main__")


@pytest.fixture
def chart(monkeypatch):
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is missing: pip install '.[bench]'")
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("chart")


@pytest.fixture
def estimates(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("estimates")


MEASURED = (
    "jpg photo 1000x1000 -> resize,w_300",
    "jpg progressive 444 noise 2000x2000 -> resize,w_300",
    "png interlaced alpha photo 1000x1000 -> rotate,90",
    "png alpha photo 8000x500 -> blur,r_3,s_2",
    "tiff noise 1000x1000 -> quality,lossless/format,webp",
    "tiff alpha noise 1000x1000 -> format,webp",
    "tiff alpha noise 1000x1000 -> format,heic",
    "tiff noise 1000x1000 -> quality,Q_95/format,avif",
    "tiff noise 2000x2000 -> interlace,1/format,jpg",
    "bmp alpha photo 1000x1000 -> format,bmp",
    "webp lossless alpha noise 1000x1000 -> resize,w_300",
    "webp photo 1000x1000x4 -> resize,w_300",
    "gif photo 1000x1000x4 -> rotate,33",
)


@pytest.mark.slow
@pytest.mark.parametrize("case", MEASURED)
def test_a_picture_takes_no_more_memory_than_is_foreseen(case, estimates, tmp_path):
    source, process = case.split(" -> ")
    found = estimates.measure(estimates.made(tmp_path, source), process)
    assert found["memory"] <= found["foreseen"]


def test_every_script_is_in_the_table_and_in_its_readme(bench):
    written = (BENCH / "README.md").read_text()
    scripts = {
        path.stem
        for path in BENCH.glob("*.py")
        if path.stem != "__main__" and re.search(r"^def main\(", path.read_text(), re.MULTILINE)
    }
    assert set(bench.SCRIPTS) == scripts
    assert set(re.findall(r"^\| `(\w+)\.py` \|", written, re.MULTILINE)) == scripts


def test_it_lists_each_script_with_its_question(bench):
    command = [sys.executable, "-m", "bench"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert list(lines) == list(bench.SCRIPTS)
    assert all(text.endswith("?") and len(text) > 20 for text in lines.values())


def test_one_that_lacks_a_tool_says_so_and_the_next_one_runs(bench, monkeypatch, tmp_path, capfd):
    begin = '"""Does it?"""\nimport sys\nfrom pathlib import Path\n'
    (tmp_path / "lacking.py").write_text(begin + "raise SystemExit('install the tool')")
    note = "Path(sys.argv[sys.argv.index('--json') + 1]).write_text(' '.join(sys.argv[1:3]))"
    (tmp_path / "able.py").write_text(begin + note + "\nprint('| a table |')")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(bench, "SCRIPTS", {"lacking": [], "able": ["--rounds", "1"]})
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["bench", "all", "--quick", "--out", str(out)])
    assert bench.main() == 1
    said = capfd.readouterr().out
    assert "install the tool" in said
    assert "| a table |" in said
    assert "not run to their end: lacking;" in said
    assert (out / "able.md").read_text().startswith("# Does it?\n\n| a table |\n")
    assert (out / "able.json").read_text() == "--rounds 1"


def test_charts_are_drawn_whatever_is_missing_in_them(chart, tmp_path):
    runs = {"one": [[1.0, 2.0, 3.0], []], "other": [[0.001], [1234.5]]}
    chart.bars(tmp_path / "bars.png", "A title", "ms", ["a", "b"], runs, "Aim: none")
    course = {"one": [(0.1, 1.0), (100.0, 900.0)], "other": []}
    chart.lines(tmp_path / "lines.png", "A title", "x", "y", course, log_x=True, log_y=True)
    for name in ("bars", "lines"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("value", "written"),
    [(1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012"), (0, "0")],
)
def test_numbers_on_charts_have_three_digits(chart, value, written):
    assert chart.number(value) == written
