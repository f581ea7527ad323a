"""What the console gives to copy is read back as what was meant."""

import shlex
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.console import urls
from vipsgate.gate import sign
from vipsgate.gate.target import KEY_BYTES, resolve

KEY = sign.Credential("key1", "secret1")
NOW = 1_767_225_600.0
PLACES = [
    urls.Place("http://127.0.0.1:8080", "photos"),
    urls.Place("https://img.example.com", "photos", in_path=False),
]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def keys():
    parts = NAMES.filter(lambda name: name not in (".", "..", ".vipsgate") and "/" not in name)
    keys = st.lists(parts, min_size=1, max_size=3).map("/".join)
    return keys.filter(lambda key: key[0] not in "/\\" and len(key.encode()) <= KEY_BYTES)


def read(url):
    parts = urlsplit(url)
    line = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return resolve(line, parts.netloc, {"img.example.com": "photos"}, "")


@pytest.mark.parametrize("place", PLACES)
@given(key=keys(), process=st.sampled_from(["", "image/resize,w_1|image/rotate,9", "style/a-b_c"]))
def test_a_url_is_of_the_object_and_its_process(place, key, process):
    url = place.plain(key, process)
    assert url.isascii()
    target = read(url)
    assert (target.bucket, target.key, target.process) == ("photos", key, process)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("version", [1, 4])
@given(key=keys())
def test_a_signed_url_is_good_for_its_time(place, version, key):
    terms = urls.Terms(NOW, 60, version, "cn-hangzhou", sign.MAX_EXPIRES)
    target = read(place.signed(KEY, key, "image/resize,w_9", terms))
    asked = sign.Request("GET", target.bucket, target.key, target.query, {})
    assert sign.verify(asked, [KEY], NOW + 59, "cn-hangzhou") == KEY


@given(file=NAMES)
def test_a_shell_reads_a_command_as_two_words(file):
    command = urls.curl("http://x/a'b", file)
    words = shlex.split(command)
    assert words[0::3] == ["curl", "http://x/a'b"]
    assert len(words) == 4
    assert not words[2].startswith("-")


def test_markdown_ends_where_it_should():
    assert urls.markdown("http://x/a)b", "a](b") == "![a\\](b](http://x/a%29b)"
