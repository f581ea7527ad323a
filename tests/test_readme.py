"""The READMEs say what the code says: their tables, paths, links, commands and examples."""

import dataclasses
import importlib.machinery
import importlib.util
import json
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path

import click
import pydantic
import pytest

import vipsgate
from vipsgate import cli, settings
from vipsgate.buckets import Bucket
from vipsgate.demo.tour import TOUR
from vipsgate.image.actions import ACTIONS
from vipsgate.settings import Server, Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    name: (ROOT / name).read_text()
    for name in (
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
        *("deploy/README.md", "tests/README.md", "bench/README.md"),
        *("vipsgate/emulator/README.md", "tests/e2e/clients/README.md"),
        "deploy/frontend/README.md",
    )
}
README, OPERATION = DOCUMENTS["README.md"], DOCUMENTS["deploy/README.md"]
MAPS = {"README.md": README, "vipsgate/__init__.py": vipsgate.__doc__}
PACKAGES = {path.parent.name for path in (ROOT / "vipsgate").glob("*/__init__.py")}
FILE = re.compile(r"`((?:vipsgate|tests|bench|deploy|\.ci)/[\w./-]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
STEP = re.compile(r"^ +(?:HTTP )?-> (\w+(?:[./]\w+)*) ", re.MULTILINE)
COMMAND = re.compile(r"\bvipsgate ([a-z]+)((?: +(?:--[a-z-]+|[^\s`-][^\s`]*))*)")
TYPED = re.compile(r"(?:`|^    (?:\S*/|.*&& \S*/)?)vipsgate ([a-z]+)", re.MULTILINE)
SAYS = {"ready"}  # what the server itself prints begins like a command
MAX_LINES = 200  # of README.md, which is to be read in five minutes


@pytest.fixture(scope="module")
def readme():
    loader = importlib.machinery.SourceFileLoader("readme", str(ROOT / ".ci" / "readme"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("readme", loader))
    loader.exec_module(module)
    return module


# -- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_made_from_the_code(readme, name):
    assert readme.filled(DOCUMENTS[name]) == DOCUMENTS[name], "run .ci/readme"


def test_every_table_stands_in_one_document(readme):
    for mark in readme.TABLES:
        assert sum(f"<!-- {mark} -->" in text for text in DOCUMENTS.values()) == 1, mark


def test_every_picture_of_the_tour_is_there(readme):
    expected = {readme.name(number) for number, stop in enumerate(TOUR) if stop.picture}
    assert {path.name for path in readme.PICTURES.iterdir()} == expected


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_has_a_row_and_a_module_of_its_name(name):
    assert f"| `{name}" in README
    assert ACTIONS[name].__module__.endswith("." + name.replace("-", "_"))


def models(kind, path=()):
    """Each class of settings that a type has in it, with the names that lead there."""
    if isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or issubclass(kind, pydantic.BaseModel)
    ):
        hints = typing.get_type_hints(kind, include_extras=True)
        names = getattr(kind, "model_fields", ()) or [
            item.name for item in dataclasses.fields(kind)
        ]
        yield kind, path, tuple(names)
        for name in names:
            yield from models(hints[name], (*path, name))
    for part in typing.get_args(kind):
        by_name = isinstance(typing.get_origin(kind), type) and issubclass(
            typing.get_origin(kind), Mapping
        )
        yield from models(part, (*path, "*") if by_name else path)


MODELS = {".".join(path): (kind, names) for kind, path, names in models(Settings) if path}


def test_the_classes_of_settings_are_found():
    assert {*MODELS} >= {"server", "limits", "image", "credentials", "buckets.*"}
    assert MODELS["buckets.*"][0] is Bucket
    assert {*MODELS} >= {"buckets.*.styles.*", "buckets.*.protection.rules", "buckets.*.referer"}


def sections():
    """Heading, without its brackets -> the rows below it, key -> cells."""
    tables = {}
    for line in (
        OPERATION.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0].split("\n")
    ):
        if heading := re.fullmatch(r"#### `\[+([\w.]+)\]+`", line):
            rows = tables[re.sub(r"\b[A-Z]+\b", "*", heading[1])] = {}
        elif row := re.match(r"\| `(\w+)` \|", line):
            rows[row[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]
    return tables


@pytest.mark.parametrize("path", MODELS)
def test_every_setting_has_a_row_with_its_meaning(path):
    rows = sections()[path]
    assert tuple(rows) == MODELS[path][1]
    for values, _, meaning, *_ in rows.values():
        assert values
        assert meaning.endswith(".")


def test_no_section_is_made_up():
    assert sections().keys() == MODELS.keys()


def test_a_setting_without_a_meaning_is_refused(readme):
    class More(Server):
        surprise: int = 0

    class WithMore(Settings):
        server: More = More()

    with pytest.raises(readme.UndescribedError, match="surprise"):
        readme.settings(WithMore)


ENVIRONMENT = [
    (path, key, cells[1], cells[3])
    for path, rows in sections().items()
    for key, cells in rows.items()
    if len(cells) > 3
]


@pytest.mark.parametrize(
    ("section", "key", "default", "variable"), ENVIRONMENT, ids=[row[3] for row in ENVIRONMENT]
)
def test_the_environment_has_it_under_this_name(section, key, default, variable, monkeypatch):
    value = json.loads(default.strip("`"))
    monkeypatch.setenv(variable.strip("`"), value if isinstance(value, str) else json.dumps(value))
    read = getattr(getattr(settings.load(None, {}), section), key)
    assert (list(read) if isinstance(read, tuple) else read) == value
    monkeypatch.setenv(variable.strip("`"), "nonsense")
    if not isinstance(value, str):
        with pytest.raises(settings.SettingsError, match=f"{section}.{key}"):
            settings.load(None, {})


@pytest.mark.parametrize("number", range(OPERATION.count("```toml")))
def test_an_example_of_a_configuration_is_one(number, tmp_path):
    text = re.findall(r"```toml\n(.*?)```", OPERATION, re.DOTALL)[number]
    file = tmp_path / "vipsgate.toml"
    file.write_text(text)
    for section in tomllib.loads(text):
        assert getattr(settings.load(file, {}), section)


def test_changes_are_sorted_as_in_keep_a_changelog():
    text = DOCUMENTS["CHANGELOG.md"]
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", one) for one in versions[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


def test_every_renamed_setting_is_announced():
    for old, new in settings.RENAMED.items():
        assert f"| `{old}` | `{new}` |" in DOCUMENTS["CHANGELOG.md"]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    sorted({(name, path) for name, text in DOCUMENTS.items() for path in FILE.findall(text)}),
)
def test_every_path_it_names_exists(name, path):
    folders = (ROOT, ROOT / "deploy" / "nginx")  # where nginx's own files are in vipsgate/, too
    assert "NAME" in path or any((folder / path).exists() for folder in folders)


def anchors(text):
    """What a link may point at, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("name", "path", "anchor"),
    sorted({(name, *link) for name, text in DOCUMENTS.items() for link in LINK.findall(text)}),
)
def test_every_link_leads_somewhere(name, path, anchor):
    aim = (ROOT / name).parent / path if path else ROOT / name
    assert aim.exists()
    assert not anchor or anchor in anchors(aim.read_text())


@pytest.mark.parametrize(
    ("name", "command", "words"),
    sorted({(name, *found) for name, text in DOCUMENTS.items() for found in COMMAND.findall(text)}),
)
def test_every_command_and_flag_exists(name, command, words):
    known = cli.main.commands
    flags = set(re.findall(r"--[a-z-]+", words))
    if command not in known:
        assert not flags, "flags of a command that there is not"
        return  # prose: "vipsgate runs on Linux"
    options = {
        option
        for parameter in known[command].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    assert flags <= options | {"--help"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_to_be_typed_is_a_command(name):
    assert set(TYPED.findall(DOCUMENTS[name])) <= {*cli.main.commands} | SAYS


TABLE = re.compile(r"`([A-Z][A-Z0-9_]{3,})`")


@pytest.mark.parametrize("name", sorted(set(TABLE.findall(DOCUMENTS["CONTRIBUTING.md"]))))
def test_every_table_that_a_recipe_names_exists(name):
    files = (
        path.read_text() for top in ("vipsgate", "tests") for path in (ROOT / top).rglob("*.py")
    )
    assert any(re.search(rf"^{name}\b", text, re.MULTILINE) for text in files)


# -- the maps of the way ---------------------------------------------------------------------------


def module(path):
    """The file of a module, or of a package."""
    file = ROOT / "vipsgate" / path.replace(".", "/")
    return file.with_suffix(".py") if file.with_suffix(".py").exists() else file / "__init__.py"


@pytest.mark.parametrize(
    ("name", "step"), [(name, step) for name, text in MAPS.items() for step in STEP.findall(text)]
)
def test_a_map_of_the_way_names_modules_that_exist(name, step):
    assert module(step).exists()


@pytest.mark.parametrize("name", MAPS)
def test_a_map_goes_all_the_way(name):
    rooms = [re.split(r"[./]", step)[0] for step in STEP.findall(MAPS[name])]
    for room in ("gate", "api", "delivery", "image", "cache", "store", "renderers", "web"):
        assert room in rooms


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_map_of_the_code_has_a_line_for_every_package(package):
    packages = vipsgate.__doc__.partition("The packages")[2]
    assert re.search(rf"(?:^|  ) *{package} +[A-Za-z]", packages, re.MULTILINE)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_contributor_finds_every_package(package):
    assert f"| `{package}/` |" in DOCUMENTS["CONTRIBUTING.md"]


def test_readme_is_read_in_five_minutes():
    assert README.count("\n") <= MAX_LINES
