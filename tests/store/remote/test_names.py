"""Names of keys in an object store: none ends in a slash, none is another key's, all in order."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.store.remote.names import key_of, name_of

signs = st.characters(min_codepoint=0x20, exclude_categories=["Cs"])  # keys are UTF-8
texts = st.text("/ !ab", max_size=6) | st.text(signs, max_size=6)


@given(texts, texts)
@settings(max_examples=times(500))
def test_names_are_in_the_order_of_their_keys(one, other):
    for key in (one, other):
        assert key_of(name_of(key)) == key
        assert not name_of(key).endswith("/")
    names = sorted({name_of(key) for key in (one, other)}, key=str.encode)
    assert [key_of(name) for name in names] == sorted({one, other}, key=str.encode)


def test_only_a_last_part_without_a_letter_is_longer():
    rows = {"a/": "a/ ", "a/ ": "a/  ", "a": "a", " ": " ", "a ": "a ", "a/ b": "a/ b", "a/b ": 0}
    assert {key: name_of(key) for key in rows} == rows | {"a/b ": "a/b "}
