"""XML in and out: what is refused of a document, and that everything written can be read."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.api import xml
from vipsgate.errors import MalformedXML

BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]>
<Delete><Object><Key>&c;</Key></Object></Delete>"""
OUTSIDE = """<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>
<Delete><Object><Key>&b;</Key></Object></Delete>"""
REFUSED = {
    "": "no element",
    "<Delete>": "no element found",
    "<Other/>": "its root is 'Other'",
    "<Delete/>": "0 objects",
    "<Delete><Object/></Delete>": "has no Key",
    "<Delete><Object><Key/></Object></Delete>": "has no Key",
    "<Delete>" + "<Object><Key>a</Key></Object>" * 1001 + "</Delete>": "1001 objects",
    "<Delete><Quiet>maybe</Quiet><Object><Key>a</Key></Object></Delete>": "Quiet is 'maybe'",
    BOMB: "DTDForbidden",
    OUTSIDE: "DTDForbidden",
    "\xff\xfe<": "",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_refuses(text):
    with pytest.raises(MalformedXML) as caught:
        xml.read_delete(text.encode("latin-1"))
    assert REFUSED[text] in caught.value.message


def test_reads_delete_with_and_without_a_namespace():
    for head in ("<Delete>", '<Delete xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com">'):
        text = f"{head}<Quiet>true</Quiet><Object><Key>a b</Key></Object></Delete>"
        assert xml.read_delete(text.encode()) == xml.Delete(("a b",), True)


KEY_SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufffe\uffff")


@given(st.text(KEY_SIGNS, min_size=1))
def test_a_key_may_have_control_characters(key):
    raw = key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    numbers = "".join(f"&#x{ord(sign):02X};" if sign < " " else sign for sign in raw)
    for text in (raw, numbers):
        document = f"<Delete><Object><Key>{text}</Key></Object></Delete>"
        assert xml.read_delete(document.encode()).keys == (key,)


@given(st.binary())
def test_nothing_but_a_document_or_a_refusal(data):
    for read in (xml.read_delete, xml.read_parts):
        with pytest.raises(MalformedXML):
            read(data)


@pytest.mark.parametrize(
    "text",
    [
        "<CompleteMultipartUpload/>",
        "<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>"
        "</CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>a</ETag></Part>"
        "</CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>١</PartNumber><ETag>a</ETag></Part>"
        "</CompleteMultipartUpload>",
    ],
)
def test_refuses_parts(text):
    with pytest.raises(MalformedXML):
        xml.read_parts(text.encode())


@given(st.lists(st.text()), st.booleans())
def test_what_is_deleted_is_named_so_that_it_can_be_read(keys, encoding):
    root = ElementTree.fromstring(xml.deleted(xml.Delete(keys), encoding=encoding))
    assert len(root.findall("Deleted")) == len(keys)


def test_times():
    assert xml.iso(1767225600.0) == "2026-01-01T00:00:00.000Z"
    assert xml.iso(1767225600.999) == "2026-01-01T00:00:00.000Z"
