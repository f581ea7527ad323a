"""Every text is there in every language, and every text that is there is used."""

import re
from pathlib import Path
from string import Formatter

import pytest

from vipsgate.buckets import ACLS
from vipsgate.console import basic, language, pages
from vipsgate.gate import simulate
from vipsgate.gate.rights import ROLES

FOLDER = Path(language.__file__).parent
SOURCES = {
    path.name: path.read_text("utf-8")
    for path in (*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html"))
}
SAME = re.compile(
    "vipsgate|libvips|Referer|ETag|Content-Type|x-oss-meta-|EXIF"
)  # in every language
TEXT = "\n".join(SOURCES.values())
ENGLISH = language.catalogue("en")
KINDS = {  # beginning of a key -> what is put behind it
    "acl.": ACLS,
    "role.": ROLES,
    "tab.": pages.TABS,
    "f.": basic.names(),
    "caller.": ("request", *simulate.CALLERS),
}


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", language.NAMES)
def test_every_language_says_the_same(name):
    texts = language.catalogue(name)
    assert texts.keys() == ENGLISH.keys()
    assert {key: fields(text) for key, text in texts.items()} == {
        key: fields(text) for key, text in ENGLISH.items()
    }
    assert all(text.strip() for text in texts.values())


def used():
    named = set(re.findall(r"""\bt\(['"]([\w.-]+)['"]\s*[,)]""", TEXT))
    named |= {
        word for word in re.findall(r"""["']([a-z]+(?:\.[\w-]+)+)["']""", TEXT) if word in ENGLISH
    }
    begun = set(re.findall(r"""\bt\(['"]([\w.-]+\.)['"] ~""", TEXT))
    assert begun <= KINDS.keys()
    return named | {begin + word for begin in begun for word in KINDS[begin]}


def test_every_text_that_a_page_names_is_there():
    assert used() <= ENGLISH.keys()


def test_every_text_is_used():
    assert ENGLISH.keys() - used() == set()


@pytest.mark.parametrize(
    ("chosen", "accepted", "answer"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en;q=0.8, zh;q=0.9", "zh"),
        ("", "fr, de", "en"),
        ("", "fr, zh;q=0.1", "zh"),
        ("", "zh;q=0, en", "en"),
        ("", "zh;q=x", "en"),
        ("en", "zh", "en"),
        ("../x", "zh", "zh"),
    ],
)
def test_the_language_of_an_answer(chosen, accepted, answer):
    assert language.choose(chosen, accepted) == answer


def test_no_page_has_a_word_of_its_own():
    """Between tags stand only values, and the name of the program."""
    for name, text in SOURCES.items():
        if name.endswith(".html"):
            bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", text, flags=re.DOTALL)
            bare = re.sub(r"<[^>]*>", " ", SAME.sub("", bare))
            assert not re.search(r"[A-Za-z]{3,}|[\u4e00-\u9fff]", bare), name
