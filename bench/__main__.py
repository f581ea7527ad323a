"""``python -m bench``: which scripts there are, and one, some or all of them run in turn.

Rule: a script is a process of its own, as if it were started by hand, and what it prints is shown
while it runs. One that cannot run here, for want of a tool or a package, says so, and the next one
follows; the last lines tell which these were.

    python -m bench
    python -m bench cold hits --quick
    python -m bench all --out results
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = {  # in the order of a whole run: what --quick gives to each; figures are then only a hint
    "handover": [],
    "cold": ["--pairs", "1", "--seconds", "2", "--shrink", "fast"],
    "actions": ["--rounds", "2"],
    "video": ["--rounds", "2"],
    "windows": ["--rounds", "2", "--pictures", "small"],
    "denials": ["--runs", "1"],
    "bodies": ["--runs", "1", "--seconds", "1"],
    "observed": ["--runs", "1"],
    "pages": ["--runs", "3"],
    "keeping": ["--rounds", "1", "--seconds", "1"],
    "hits": ["--pairs", "1", "--seconds", "1"],
    "overload": ["--seconds", "3", "--scenes", "small", "--times", "10"],
    "lanes": ["--seconds", "5"],
    "memory": ["--requests", "400", "--rounds", "1"],
    "chains": ["--rounds", "1"],
    "srcset": ["--rounds", "1"],
    "streaming": ["--rounds", "1"],
    "automatic": ["--rounds", "1"],
    "quality": ["--rounds", "1"],
    "goals": ["--rounds", "1", "--formats", "jpg"],
    "scaling": ["--runs", "1"],
    "fronts": ["--rounds", "2", "--seconds", "1"],
    "masters": ["--rounds", "1", "--source", "24 MP JPEG"],
    "estimates": ["--only", "1000x1000"],
    "peers": ["--rounds", "1", "--seconds", "2"],
}


def question(name: str) -> str:
    """What a script answers: the first sentence of its docstring."""
    words = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
    return " ".join(words.partition("?")[0].split()) + "?"


def run(name: str, quick: bool, out: Path | None) -> bool:
    """Run a script; its tables, runs and picture go to ``out``, where that is given."""
    command = [sys.executable, str(HERE / f"{name}.py"), *(SCRIPTS[name] if quick else [])]
    drawn = out is not None and find_spec("matplotlib") is not None
    if out is not None:
        command += ["--json", str(out / f"{name}.json")]
        command += ["--chart", str(out / f"{name}.png")] if drawn else []
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    said = ""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        for line in process.stdout:
            said += line
            print(line, end="", flush=True)
    if out is not None:
        shown = f"\n![{question(name)}]({name}.png)\n" if drawn and not process.returncode else ""
        (out / f"{name}.md").write_text(f"# {question(name)}\n\n{said}{shown}")
    return process.returncode == 0


def main() -> int:
    """Run what is asked for, or say what there is; 1 if something could not be run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="names, or: all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write .md, .json and .png there")
    parser.add_argument("--quick", action="store_true", help="short: it works, the figures do not")
    asked = parser.parse_args()
    if not asked.scripts:
        print("\n".join(f"{name:10} {question(name)}" for name in SCRIPTS))
        return 0
    names = list(SCRIPTS) if asked.scripts == ["all"] else asked.scripts
    if unknown := [name for name in names if name not in SCRIPTS]:
        parser.error(f"no script {', '.join(unknown)}; there are: {', '.join(SCRIPTS)}")
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        if find_spec("matplotlib") is None:
            print("without pictures: matplotlib is missing: pip install '.[bench]'\n")
    failed = []
    for name in names:
        begun = time.monotonic()
        print(f"## {name}: {question(name)}\n", flush=True)
        if not run(name, asked.quick, asked.out):
            failed.append(name)
        print(f"({name}: {time.monotonic() - begun:.0f} s)\n", flush=True)
    if failed:
        print(f"not run to their end: {', '.join(failed)}; what they lack is said above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
