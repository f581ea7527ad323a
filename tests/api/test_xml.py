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


KEY = "<Object><Key>a</Key></Object>"
TOO_MUCH = {  # 100 KB of each are refused long before their end
    "<Delete>": "<a/>",
    "<Delete><!-- -->": "<a>",
    "<Delete><?a?>": "<Object/>",
    "<Delete><a/>": "<!---->",
    "<Delete><b/>": "<?a?>",
    f"<Delete>{KEY}": '<a b="" c=""/>',
    "<Delete><Object><Key>": "<![CDATA[]]>",
    "<Delete><c/>": '<a xmlns:b="c"/>',
}


@pytest.mark.parametrize("head", TOO_MUCH)
def test_ends_where_a_document_has_more_than_its_call_needs(head):
    piece = TOO_MUCH[head].encode()
    data = head.encode() + piece * (200_000 // len(piece)) + b"\xff not XML"
    with pytest.raises(MalformedXML, match="more than 4000 elements"):
        xml.read_delete(data)


@pytest.mark.parametrize("name", ["a{}", "xmlns:a{}"])
def test_a_tag_has_an_end(name):
    attributes = " ".join(f'{name.format(number)}="b"' for number in range(60_000))
    with pytest.raises(MalformedXML, match="tag or comment of more than 65536 bytes"):
        xml.read_delete(f"<Delete {attributes}/>".encode())


@pytest.mark.parametrize("sign", ["a", "é", "西", "\U00020000", "&#233;", "\n", "]", "&amp;"])
@pytest.mark.parametrize("before", range(5))
def test_a_text_may_be_of_any_length(sign, before):
    text = "x" * before + sign * 200_000 + "x"
    (key,) = xml.read_delete(f"<Delete><Object><Key>{text}</Key></Object></Delete>".encode()).keys
    assert key == text.replace("&#233;", "é").replace("&amp;", "&")


def test_the_largest_documents():
    """With all that a client may say of each key and part."""
    name = "西" * 300
    text = f"<Object><Key>{name}</Key><VersionId>null</VersionId></Object>" * 1000
    assert xml.read_delete(f"<Delete><Quiet>true</Quiet>{text}</Delete>".encode()).keys == (
        (name,) * 1000
    )
    parts = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{number:032X}"</ETag></Part>'
        for number in range(1, 10_001)
    )
    document = f'<CompleteMultipartUpload xmlns="http://a.b">{parts}</CompleteMultipartUpload>'
    assert len(xml.read_parts(document.encode())) == 10_000


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


KEY_TEXTS = st.text(KEY_SIGNS, min_size=1) | st.text("\0\1\7\x1f\x7f?@A_\t\n", min_size=1)


@given(KEY_TEXTS)
def test_a_key_may_have_control_characters(key):
    raw = key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    texts = [raw]
    for form in ("&#x{:02X};", "&#{};", "&#x{:x};", "&#00{:03};"):
        own = (form.format(ord(sign)) if sign < " " or sign == "\x7f" else sign for sign in raw)
        texts.append("".join(own))
    for text in texts:
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
