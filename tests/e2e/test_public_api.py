"""What an application imports: the names, their types, and what it costs to have them."""

import doctest
import inspect
import io
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

import vipsgate

ROOT = Path(__file__).parents[2]
HEAVY = {"pyvips", "PIL", "pydantic", "aiohttp", "uharfbuzz", "av"}


def python(code, *arguments):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture(scope="module")
def photo():
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((600, 400)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("name", sorted({*vipsgate.__all__} - {"__version__"}))
def test_every_name_is_there_and_says_what_it_is(name):
    thing = getattr(vipsgate, name)
    assert name in dir(vipsgate)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        words = inspect.getdoc(thing)
        assert "Args:" in words
        assert "Raises:" in words
        for parameter in inspect.signature(thing).parameters:
            assert f"\n    {parameter}: " in words, parameter


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'tranform'"):
        vipsgate.tranform  # noqa: B018


USES = ("", "dir(vipsgate)", "vipsgate.sign_url", "vipsgate.OssError", "vipsgate.Limits(frames=1)")


@pytest.mark.parametrize("use", USES)
def test_the_import_brings_nothing_that_is_not_used(use):
    modules = python(f"import sys, vipsgate\n{use}\nprint(*sys.modules)").split()
    assert "vipsgate" in modules
    assert not HEAVY & {name.partition(".")[0] for name in modules}


def test_the_example_of_the_docstring(photo):
    (test,) = doctest.DocTestFinder(recurse=False).find(
        vipsgate.transform, globs={"vipsgate": vipsgate, "photo": photo}
    )
    assert len(test.examples) > 1
    assert doctest.DocTestRunner().run(test).failed == 0


WELL_TYPED = """
    from vipsgate import Credential, Limits, OssError, Picture, Rendering
    import vipsgate

    objects = {"logo.png": b""}
    limits, rendering = Limits(frames=1), Rendering(shrink="exact")
    try:
        picture: Picture = vipsgate.transform(
            b"", "image/info", objects=objects, limits=limits, rendering=rendering
        )
        data: bytes = picture.data
        area: int = picture.width * picture.height
        plan: dict[str, object] = vipsgate.explain(b"", "image/info", limits=limits)
        url: str = vipsgate.sign_url(Credential("id", "secret"), "bucket", "key", now=0.0)
    except OssError as error:
        code: str = error.code
"""
BADLY_TYPED = {
    "vipsgate.tranform": "attr-defined",
    "vipsgate.transform('a.jpg', 'image/info')": "arg-type",
    "vipsgate.transform(b'', 'image/info').bytes": "attr-defined",
    "vipsgate.explain(b'', 'image/info', limits=20)": "arg-type",
    "vipsgate.Rendering(shrink='slow')": "arg-type",
}


def test_a_type_checker_knows_the_names(tmp_path):
    assert (ROOT / "vipsgate" / "py.typed").exists()
    file = tmp_path / "application.py"
    lines = textwrap.dedent(WELL_TYPED).strip().splitlines() + list(BADLY_TYPED)
    file.write_text("\n".join(lines) + "\n")
    command = ["-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(file)]
    command += ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent"]
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = [line for line in run.stdout.splitlines() if ": error: " in line]
    begin = len(lines) - len(BADLY_TYPED) + 1
    wrong = [f"{begin + at}: {kind}" for at, kind in enumerate(BADLY_TYPED.values())]
    assert [f"{line.split(':')[1]}: {line.rpartition('[')[2][:-1]}" for line in found] == wrong, (
        run.stdout + run.stderr
    )


def test_the_settings_of_the_application_stay(photo, tmp_path):
    """Its threads, its cache of operations, its other loaders, and the file that it has open."""
    (tmp_path / "photo.jpg").write_bytes(photo)
    code = """
        import os, sys, pyvips, vipsgate

        pyvips.concurrency_set(3)
        before = pyvips.concurrency_get(), pyvips.cache_get_max()
        with open(sys.argv[1], "rb") as file:
            for process in ("image/resize,w_90/format,avif", "image/average-hue", "image/info"):
                vipsgate.transform(file.fileno(), process)
            os.fstat(file.fileno())
        assert before == (pyvips.concurrency_get(), pyvips.cache_get_max())
        drawing = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
        assert pyvips.Image.new_from_buffer(drawing, "").width == 9
    """
    python(code, str(tmp_path / "photo.jpg"))
