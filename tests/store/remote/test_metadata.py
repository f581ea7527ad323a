"""What is kept with an object of an object store: as attributes, and back again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import MetadataTooLarge
from vipsgate.store.base import PLAIN, Properties
from vipsgate.store.remote import metadata
from vipsgate.store.remote.metadata import CLOSED, LABEL, Label

WRITES = {
    # properties, attributes besides the label, what the label says besides the length
    "nothing": (PLAIN, {}, {"type": ""}),
    "a type": (Properties("image/jpeg"), {"Content-Type": "image/jpeg"}, {}),
    "no type of ASCII": (Properties("x/é"), {}, {"type": "x/é"}),
    "an ACL": (Properties("a/b", "private"), {"Content-Type": "a/b"}, {"acl": "private"}),
    "headers": (
        Properties("a/b", headers={"cache-control": "no-cache", "expires": "never"}),
        {"Content-Type": "a/b", "Cache-Control": "no-cache"},
        {"headers": {"expires": "never"}},
    ),
    "metadata": (
        Properties("a/b", meta={"author": "Li Bai", "city-2": "x"}),
        {"Content-Type": "a/b", "author": "Li Bai", "city-2": "x"},
        {},
    ),
    "metadata that no header can carry": (
        Properties("a/b", meta={"a": "西湖", "b": "", "c": "two  blanks", "d": " x", "e_": "y"}),
        {"Content-Type": "a/b"},
        {"meta": {"a": "西湖", "b": "", "c": "two  blanks", "d": " x", "e_": "y"}},
    ),
    "a symlink": (
        Properties("a/b", kind="Symlink", target="dir/西 湖.jpg"),
        {"Content-Type": "a/b"},
        {"kind": "Symlink", "target": "dir/西 湖.jpg"},
    ),
    "metadata of our own name": (
        Properties("a/b", meta={LABEL: "x"}),
        {"Content-Type": "a/b"},
        {"meta": {LABEL: "x"}},
    ),
}


@pytest.mark.parametrize("what", WRITES)
def test_writes_and_reads(what):
    properties, attributes, rest = WRITES[what]
    told = Label(properties, '"AB-2"', 5, 7.5)
    made = metadata.write(told, 9, "s3")
    text = made.pop(LABEL)
    assert made == attributes
    assert json.loads(text) == {"of": 9, "etag": "AB-2", "crc": 5, "time": 7.5, **rest}
    assert text.isascii()
    assert " " not in text
    assert metadata.read({**made, LABEL: text, "Storage-Class": "COLD"}, 9) == told


def test_azures_names_are_identifiers():
    properties = Properties("a/b", meta={"city-2": "x", "city_2": "y"})
    made = metadata.write(Label(properties), 0, "az")
    assert made["city_2"] == "y"
    assert "city-2" not in made
    assert metadata.read(made, 0).properties == properties


FOREIGN = {
    # what another client has put there
    "nothing": ({}, PLAIN),
    "the store's own type": ({"Content-Type": "binary/octet-stream"}, PLAIN),
    "a type": ({"Content-Type": "image/png"}, Properties("image/png")),
    "headers": (
        {"Content-Type": "a/b", "Cache-Control": "no-store", "who": "me"},
        Properties("a/b", headers={"cache-control": "no-store"}, meta={"who": "me"}),
    ),
    "not JSON": ({LABEL: "{"}, CLOSED),
    "no length": ({LABEL: "{}"}, CLOSED),
    "an ACL that there is not": ({LABEL: '{"of": 9, "acl": "all"}'}, CLOSED),
    "not a text": ({LABEL: '{"of": 9, "etag": 5}'}, CLOSED),
    "not an object": ({LABEL: "[]"}, CLOSED),
    "other bytes by now": (
        {LABEL: '{"of": 8, "acl": "private", "etag": "AB", "crc": 5}'},
        Properties(acl="private"),
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_reads_what_others_have_put(what):
    attributes, properties = FOREIGN[what]
    assert metadata.read(attributes, 9) == Label(properties)


def test_too_much():
    with pytest.raises(MetadataTooLarge, match="2048"):
        metadata.write(Label(Properties(meta={"a": "x" * 2048})), 0, "s3")
    metadata.write(Label(Properties(headers={"cache-control": "x" * 4000})), 0, "s3")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.builds(
        Properties,
        texts,
        st.sampled_from(metadata.ACLS),
        st.dictionaries(st.sampled_from([*metadata.NATIVE, "expires"]), texts),
        st.dictionaries(st.text("az-_09", min_size=1, max_size=5), texts, max_size=4),
        st.sampled_from(["Normal", "Multipart"]),
    ),
    st.sampled_from(["s3", "gs", "az"]),
)
def test_whatever_is_written_is_read_again(properties, kind):
    told = Label(properties, '"X"', 1)
    try:
        made = metadata.write(told, 3, kind)
    except MetadataTooLarge:
        return
    assert metadata.read(made, 3) == told
