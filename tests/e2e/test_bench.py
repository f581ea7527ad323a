"""The scripts of bench/: one table knows them all, and one that cannot run stops no other."""

import importlib
import os
import re
import subprocess
import sys
import time
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


# --- peers.py: what it reads from /proc, and where we stand

STAT = "7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 {} 20 0 3 0 100 1000000 250 18446744073709551615"


@pytest.fixture
def processes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("processes")


@pytest.fixture
def standing(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("standing")


@pytest.fixture
def family(tmp_path):
    """A /proc in which 7 has the children 8 and 9, of which 9 has 10, and 11 is a stranger's."""
    children = {7: ["8 ", "9 "], 8: [""], 9: ["10 "], 10: [""], 11: [""]}
    for pid, threads in children.items():
        for number, text in enumerate(threads):
            task = tmp_path / str(pid) / "task" / str(pid + number)
            task.mkdir(parents=True)
            (task / "children").write_text(text)
        (tmp_path / str(pid) / "stat").write_text(STAT.format("100 50 30 20"))
        (tmp_path / str(pid) / "status").write_text(
            f"Name:\tx\nVmHWM:\t   {pid}000 kB\nVmRSS:\t1 kB\n"
        )
        (tmp_path / str(pid) / "smaps_rollup").write_text(
            f"0-f ---p 0 00:00 0 [rollup]\nRss: 90 kB\nPss:   {pid}00 kB\nPss_Anon: 1 kB\n"
        )
    return tmp_path


def test_cpu_and_memory_of_a_tree_of_processes(processes, family):
    assert processes.tree(7, family) == [7, 8, 9, 10]
    assert processes.cpu(7, family) == 4 * 200 / processes.TICK
    assert processes.cpu(8, family) == 200 / processes.TICK
    assert processes.proportional(7, family) == pytest.approx(3400 * 1024 / 1e6)
    assert processes.peaks(7, family) == pytest.approx(34000 * 1024 / 1e6)
    (family / "10" / "stat").unlink()  # it has just ended
    assert processes.cpu(7, family) == 3 * 200 / processes.TICK


def test_fields_of_proc(processes):
    assert processes.usage(STAT.format("1 2 3 4")) == processes.Usage(3, 7)
    text = "Pss_Anon:   5 kB\nPss:   7 kB\nVmHWM:\t9 kB\n"
    found = [processes.kilobytes(text, name) for name in ("Pss", "VmHWM", "VmSwap")]
    assert found == [7, 9, 0]


def test_this_process_takes_cpu_and_memory(processes):
    pid, before = os.getpid(), processes.cpu(os.getpid())
    spent = time.process_time() + 0.05
    with processes.Highest(lambda: processes.proportional(pid), 0.01) as memory:
        while time.process_time() < spent:
            pass
    assert 0 < memory.value <= processes.peaks(pid)
    assert processes.cpu(pid) - before >= 0.03


STANDS = {
    # likeness, bytes, rate of fast, of balanced, of the other -> ours that is compared, ratio
    "both are as good, the faster one": ((75, 10, 40), (77, 10, 20), (75, 10, 20), "fast", 2.0),
    "half a point is equal": ((74.5, 10, 40), (77, 10, 20), (75, 10, 20), "fast", 2.0),
    "only the slower one": ((74.4, 10, 40), (77, 10, 20), (75, 10, 20), "balanced", 1.0),
    "as good by more bytes": ((75, 13, 40), (77, 10, 20), (75, 10, 20), "balanced", 1.0),
    "a little larger": ((75, 12, 40), (77, 10, 20), (75, 10, 20), "fast", 2.0),
    "neither": ((70, 10, 40), (74, 10, 20), (75, 10, 20), "", 0.0),
}


@pytest.mark.parametrize("case", STANDS)
def test_compared_is_the_fastest_of_ours_that_is_as_good(case, standing):
    *rows, ours, ratio = STANDS[case]
    results = {
        name: standing.Result(score, size, [rate, rate, 2 * rate], [10.0, 10.0, 10.0])
        for name, (score, size, rate) in zip(("fast", "balanced", "other"), rows, strict=True)
    }
    got = standing.beside(results, ("fast", "balanced"), "other")
    assert (got.ours, got.ratio) == (ours, ratio)


def test_the_verdict_names_the_best_of_the_others(standing):
    def row(score, rate, cpu=10.0):
        return standing.Result(score, 1000, [rate], [cpu])

    ours = ("fast", "balanced")
    results = {"fast": row(70, 40), "balanced": row(76, 25, 8.0), "one": row(76, 20, 12.0)}
    assert standing.verdict("small", results, ours, 1.2) == [
        "small: balanced makes 1.25 times the pictures of one, the best of those it is as good as, "
        "at 0.67 of its CPU; aim 1.2: reached"
    ]
    said = standing.verdict("small", results | {"two": row(60, 35)}, ours, 1.2)
    assert said[0].startswith("small: fast makes 1.14 times the pictures of two")
    assert said[0].endswith("aim 1.2: NOT reached")
    said = standing.verdict("small", results | {"best": row(90, 1)}, ours, 1.2)
    assert said[0].endswith("aim 1.2: NOT reached")
    assert said[1] == "small: none of ours is as good as best (90.0, 1.0 a second)"
    assert standing.verdict("small", {"fast": row(70, 40)}, ours, 1.2) == []


def test_every_rival_is_asked_for_the_format_of_the_job(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    rivals, pictures = (importlib.import_module(name) for name in ("rivals", "pictures"))
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    programs = dict.fromkeys(("thumbor", "imgproxy", "imagor"), str(program))
    for job, wanted in pictures.FORMATS.items():
        task = rivals.Task(tmp_path, tmp_path, 1, wanted, programs)
        for name in ("thumbor", "imgproxy", "imagor"):
            start = rivals.RIVALS[name].start(task)
            assert start.command[0] == str(program)
            assert wanted.format in start.path.format(f"{job}-00.x").replace(f"{job}-00", "")
        ours = rivals.RIVALS["vipsgate, fast"].start(task).path
        assert ours.endswith(wanted.process)
        assert pictures.path(job, 3) == ours.format(pictures.file(tmp_path, job, 3).name)
    missing = rivals.Task(tmp_path, tmp_path, 1, wanted, {"imagor": str(tmp_path / "none")})
    assert rivals.RIVALS["imagor"].start(missing) is None
