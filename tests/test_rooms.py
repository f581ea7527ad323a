"""Each room keeps its rule; the front never has libvips.

Who may import whom is said in pyproject.toml, and held by import-linter. Here is what no single
import shows.
"""

import ast
import functools
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1] / "vipsgate"
# modules in no room
LOOSE = {"__init__", "__main__", "errors", "filetimes", "buckets", "settings", "build"}
LIBVIPS = {"pyvips", "vipsgate.image.load", "vipsgate.image.render"}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


@functools.cache
def parsed(path):
    """The syntax of a file, which nobody changes."""
    return ast.parse(path.read_text())


@functools.cache
def imported(path, *, lazily=True, typing=True):
    """The modules that a file imports, relative ones resolved.

    Args:
        path: The file.
        lazily: Also those that functions import when they are called.
        typing: Also those for type checkers only.
    """
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) + 1 - child.level]
                start = ".".join(base) if child.level else ""
                module = ".".join(part for part in (start, child.module) if part)
                yield module
                yield from (f"{module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                if typing:
                    yield from walk(child)
            elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or lazily:
                yield from walk(child)

    return frozenset(walk(parsed(path)))


def files(room):
    return sorted((ROOT / room).rglob("*.py"))


def within(name, others):
    return any(f"{name}.".startswith(f"{other}.") for other in others)


def circles(graph):
    """Groups of modules of which each imports each, at last (Tarjan's components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(name):
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph.find_modules_directly_imported_by(name):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(graph.modules):
        if name not in index:
            visit(name)
    return found


def test_the_contracts_of_the_rooms_are_kept():
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    contracts = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert f"{len(contracts['contracts'])} kept, 0 broken" in run.stdout


def test_no_modules_import_each_other_in_a_circle_not_even_for_types():
    assert circles(grimp.build_graph("vipsgate", cache_dir=None)) == []


def test_a_circle_would_be_found():
    graph = grimp.ImportGraph()
    for pair in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        graph.add_import(importer=pair[0], imported=pair[1])
    assert circles(graph) == [["a", "b", "c"]]


def test_few_modules_are_in_no_room():
    assert {path.stem for path in ROOT.glob("*.py")} == LOOSE


@pytest.mark.parametrize("room", sorted(path.parent for path in ROOT.glob("*/**/__init__.py")))
def test_a_room_says_its_rule(room):
    text = ast.get_docstring(parsed(room / "__init__.py"))
    assert "RULE" in text, room


@pytest.mark.parametrize("room", ["gate", "image"])
def test_nobody_waits(room):
    waiting = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    for path in files(room):
        lines = [n.lineno for n in ast.walk(parsed(path)) if isinstance(n, waiting)]
        assert not lines, f"{name_of(path)} waits on lines {lines}"


def reachable(start):
    """All modules of the house that are loaded when ``start`` is."""
    seen, ahead = set(), [start]
    while ahead:
        name = ahead.pop()
        if name in MODULES and name not in seen:
            seen.add(name)
            ahead += imported(MODULES[name], lazily=False, typing=False)
            ahead += [name.rpartition(".")[0]]
    return seen


@pytest.mark.parametrize("start", ["vipsgate.server.main", "vipsgate.cli", "vipsgate.__main__"])
def test_the_front_reaches_no_libvips_by_imports(start):
    for name in reachable(start):
        found = imported(MODULES[name], lazily=False, typing=False)
        assert not {other for other in found if within(other, {"pyvips", "PIL"})}, name
        assert name not in LIBVIPS


def test_the_front_loads_no_libvips():
    """Said by the interpreter itself, whatever the reading above may miss."""
    code = """
        import sys
        import vipsgate.server, vipsgate.cli
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(*sorted(loaded & {"pyvips", "_libvips", "PIL", "cffi", "numpy", "uharfbuzz"}))
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    run = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""


def test_the_parent_of_several_fronts_loads_no_http():
    code = """
        import sys
        import vipsgate.cli, vipsgate.server.parent
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(*sorted(loaded & {"aiohttp", "uvloop", "obstore", "pyvips", "PIL"}))
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    run = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""


def test_parsing_and_planning_load_no_libvips():
    code = """
        import sys
        from vipsgate.image import plan, process
        from vipsgate.image.config import Limits, Rendering
        from vipsgate.image.frame import Header
        text = "image/resize,m_pad,w_50,h_50/crop,w_9,g_se/rotate,70/auto-orient,1/interlace,1"
        asked = process.parse(text + "/quality,Q_30/format,webp", Limits())
        plan.make(Header("jpg", 400, 267, orientation=6), asked.actions, Limits(), Rendering())
        assert "pyvips" not in sys.modules
        assert "PIL" not in sys.modules
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    subprocess.run([sys.executable, "-c", lines], cwd=ROOT.parent, check=True)


def test_every_module_has_a_line_for_a_table_of_contents():
    for name, path in MODULES.items():
        text = ast.get_docstring(parsed(path))
        assert text, name
        assert text.splitlines()[0].rstrip().endswith((".", "?", ":")), name


REFERENCE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?(?P<name>[^`]+)`")


def lookup(name):
    """Is there a module of this dotted name, or something in one, a field of a class included?"""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            fields = getattr(found, "__annotations__", {})
            if part not in fields and not hasattr(found, part):
                return False
            found = getattr(found, part, None)
        return True
    return False


def meanings(name, module, package):
    """What a reference may mean where it stands: dotted names."""
    if name.startswith("."):
        parts = package.split(".")
        return [".".join([*parts[:end], name.lstrip(".")]) for end in range(len(parts), 0, -1)]
    return [name, f"{module}.{name}", f"{package}.{name}"]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_docstring_refers_to_what_there_is(module):
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    text = path.read_text()
    if names := REFERENCE.findall(text):
        own = {node.name for node in ast.walk(parsed(path)) if hasattr(node, "name")}
        others = (name for name in names if name not in own)
        lost = [name for name in others if not any(map(lookup, meanings(name, module, package)))]
        assert not lost
