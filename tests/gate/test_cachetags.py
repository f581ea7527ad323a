"""Cache tags: words that every CDN takes, and an operator can compute."""

import re
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.buckets import CacheTags
from vipsgate.gate import cachetags

ALL = ("bucket", "folder", "source", "style")
# Akamai's, the narrowest list there is, without what a shell or a regular expression reads
TAKEN = re.compile(r"[A-Za-z0-9._-]{1,128}")
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_what_is_said():
    tags = CacheTags(headers=("Cache-Tag", "Surrogate-Key"), of=ALL)
    said = cachetags.headers(tags, "photos", ("a/b/cat 猫.jpg", "logo.png"), ("thumb",))
    cat = cachetags.digest("a/b/cat 猫.jpg")
    words = [
        *("b.photos", "s.photos.thumb", f"k.photos.{cat}"),
        f"k.photos.{cachetags.digest('logo.png')}",
        *(f"f.photos.{cachetags.digest(folder)}" for folder in ("a/", "a/b/")),
    ]
    assert said == {"Cache-Tag": ",".join(words), "Surrogate-Key": " ".join(words)}
    assert cachetags.headers(CacheTags(), "photos", ("a",), ()) == {}


def test_a_shell_computes_it():
    command = "printf %s 'a/b/cat 猫.jpg' | sha256sum | cut -c1-32"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == cachetags.digest("a/b/cat 猫.jpg")


@settings(max_examples=times(100))
@given(KEYS, st.integers(0, 80), st.lists(st.just("S" * 64), max_size=3))
def test_bounded_and_taken_by_all(key, others, styles):
    keys = [key, *(f"{key}/{count}" for count in range(others))]
    said = cachetags.headers(CacheTags(headers=("xkey",), of=ALL), "b" * 63, keys, styles)
    words = said["xkey"].split(" ")
    assert len(words) <= cachetags.MAX_TAGS
    assert len(set(words)) == len(words)
    assert all(map(TAKEN.fullmatch, words))
    assert len(said["xkey"]) < 8000


def test_what_has_too_many_has_its_bucket():
    tags = CacheTags(headers=("xkey",), of=("source",))
    words = cachetags.headers(tags, "photos", map(str, range(99)), ())["xkey"].split()
    assert words[0] == "b.photos"


@given(KEYS, st.integers(0, 40))
def test_a_prefix_s_tag_is_on_all_that_begin_so(key, length):
    prefix = key[:length]
    of_key = cachetags.headers(CacheTags(headers=("xkey",), of=ALL), "photos", (key,), ())
    for chosen in (ALL, ("bucket", "source")):
        assert cachetags.of_prefix("photos", prefix, chosen) in of_key["xkey"].split()
