"""Forms, read piece by piece: what browsers send is read, what has two meanings is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import OssError
from vipsgate.web.formdata import FIELD_BYTES, HEAD_BYTES, File, Form, boundary_of

HEAD = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\na\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="c.jpg"\r\n\r\n'


async def read(body, size=0, limit=b"x"):
    """Fields, file and bytes of a form that comes in pieces of this size."""

    async def pieces():
        for at in range(0, len(body), size or max(1, len(body))):
            yield body[at : at + (size or len(body))]

    form = Form(pieces(), limit)
    fields, file = await form.fields()
    return dict(fields), file, b"".join([data async for data in form.content()])


def part(disposition, value=b"v", more=b""):
    return b"--x\r\nContent-Disposition: %b\r\n%b\r\n%b\r\n" % (disposition, more, value)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\r\n--", b"\r\n--y", b"--x", b"\r\n-\r\n--\r\n", b"\0\xff" * 99]
)
async def test_the_bytes_of_the_file(data, size):
    for end in (b"\r\n--x--\r\n", b"\r\n--x--"):
        fields, file, content = await read(HEAD + FILE + data + end, size)
        assert (fields, file, content) == ({"key": "a"}, File("c.jpg", ""), data)


@given(
    st.dictionaries(
        st.text(
            st.characters(codec="utf-8", exclude_characters='"\\\r\n\0', exclude_categories=["C"]),
            min_size=1,
        ).filter(lambda name: name.lower() != "file"),
        st.binary(max_size=50).map(lambda data: data.decode("latin-1")),
        max_size=5,
    ),
    st.binary(max_size=300),
    st.integers(1, 40),
)
async def test_what_is_written_is_read(fields, data, size):
    limit = b"--------------------------4f1d9c"
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (limit, name.encode(), value.encode())
        for name, value in fields.items()
    )
    body += b'--%b\r\ncontent-disposition: FORM-DATA; NAME="File"\r\n\r\n%b\r\n--%b--' % (
        limit,
        data,
        limit,
    )
    names = {name.lower() for name in fields}
    if len(names) < len(fields):  # two of them are one
        with pytest.raises(OssError, match="given 2 times"):
            await read(body, size, limit)
        return
    wanted = {name.lower(): value for name, value in fields.items()}
    assert await read(body, size, limit) == (wanted, File("", ""), data)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'form-data; name="file"; filename="a.jpg"', "a.jpg"),
        (b"form-data; name=file; filename=a.jpg", "a.jpg"),
        (b'form-data;name="file";filename="a.jpg"', "a.jpg"),
        (b'form-data; filename="a.jpg"; name="file"', "a.jpg"),
        (b'form-data; name="file"; filename="C:\\dir\\a.jpg"', "a.jpg"),
        (b'form-data; name="file"; filename="/etc/a.jpg"', "a.jpg"),
        (b'form-data; name="file"; filename="../../a.jpg"', "a.jpg"),
        (b'form-data; name="file"; filename="a;b=c.jpg"', "a;b=c.jpg"),
        (b'form-data; name="file"; filename="a\\"b.jpg"', 'a"b.jpg'),
        (b'form-data; name="file"; filename="a%22b.jpg"', "a%22b.jpg"),
        ('form-data; name="file"; filename="\u897f.jpg"'.encode(), "\u897f.jpg"),
        (b"form-data; name=\"file\"; filename*=utf-8''%E8%A5%BF.jpg", "\u897f.jpg"),
        (b'form-data; name="file"; filename=""', ""),
        (b'form-data; name="file"', ""),
        (b'form-data; name="file"; size=3', ""),
    ],
)
async def test_the_name_of_the_file(disposition, name):
    body = HEAD + part(disposition) + b"--x--"
    assert (await read(body))[1] == File(name, "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedPOSTRequest"),
        (b"--x", "MalformedPOSTRequest"),
        (b"--x--", "IncorrectNumberOfFilesInPOSTRequest"),
        (HEAD + b"--x--\r\n", "IncorrectNumberOfFilesInPOSTRequest"),
        (b"preamble\r\n" + HEAD + FILE + b"\r\n--x--", "MalformedPOSTRequest"),
        (b"\r\n" + HEAD + FILE + b"\r\n--x--", "MalformedPOSTRequest"),
        (b"--y\r\n", "MalformedPOSTRequest"),
        (HEAD.replace(b"\r\n", b"\n") + FILE + b"\r\n--x--", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--x", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--x-", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--x--epilogue", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--x--\r\n\r\n", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--x --\r\n", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\r\n--xy\r\n--x--", "MalformedPOSTRequest"),
        (HEAD + FILE + b"abc\n--x--", "MalformedPOSTRequest"),
        (HEAD + FILE + b"--x--", "MalformedPOSTRequest"),  # no CRLF before the boundary
        (HEAD + FILE + b"a\r\n" + FILE + b"b\r\n--x--", "IncorrectNumberOfFilesInPOSTRequest"),
        (HEAD + FILE + b"a\r\n" + part(b'form-data; name="y"') + b"--x--", "InvalidArgument"),
        (HEAD + HEAD + FILE + b"a\r\n--x--", "InvalidArgument"),
        (b"--x\r\n\r\na\r\n--x--", "MalformedPOSTRequest"),
        (part(b'form-data; name=""'), "MalformedPOSTRequest"),
        (part(b"form-data"), "MalformedPOSTRequest"),
        (part(b'attachment; name="a"'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a"; name="b"'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a" b'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a\\'), "MalformedPOSTRequest"),
        (part(b'form-data; name="' + b"\\\\" * 2000), "MalformedPOSTRequest"),
        (part(b'form-data; name="a\0"'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a\nb"'), "MalformedPOSTRequest"),
        (part(b'form-data; name="a"', more=b" folded\r\n"), "MalformedPOSTRequest"),
        (part(b'form-data; name="a"', more=b"Bad Header: 1\r\n"), "MalformedPOSTRequest"),
        (
            part(b'form-data; name="a"', more=b'Content-Disposition: form-data; name="b"\r\n'),
            "MalformedPOSTRequest",
        ),
        (part(b'form-data; name="a"', more=b"A: " + b"a" * HEAD_BYTES), "MalformedPOSTRequest"),
        (part(b'form-data; name="\xff"'), "InvalidArgument"),
        (part(b"form-data; name=\"file\"; filename*=utf-8''%FF"), "InvalidArgument"),
        (part(b'form-data; name="key"', b"\xff") + FILE, "InvalidArgument"),
        (part(b'form-data; name="key"', b"x" * (FIELD_BYTES + 1)) + FILE, "FieldItemTooLong"),
        (part(b'form-data; name="key"', b"x" * 10 * FIELD_BYTES), "FieldItemTooLong"),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
async def test_what_is_refused(body, code, size):
    if size and len(body) > 5000:
        size = 999
    with pytest.raises(OssError) as refused:
        await read(body, size)
    assert refused.value.code == code


async def test_a_button_behind_the_file():
    body = HEAD + FILE + b"a\r\n" + part(b'form-data; name="Submit"', b"Upload") + b"--x--"
    assert (await read(body))[2] == b"a"


async def test_the_largest_field():
    value = b"x" * FIELD_BYTES
    body = part(b'form-data; name="key"', value) + FILE + b"\r\n--x--"
    assert (await read(body, 1000))[0] == {"key": value.decode()}


async def test_the_file_is_never_held_as_a_whole():
    async def body():
        yield HEAD + FILE
        for _ in range(1000):
            yield b"y" * 1000
            assert len(form._buffer) < 2000
        yield b"\r\n--x--"

    form = Form(body(), b"x")
    await form.fields()
    assert sum([len(data) async for data in form.content()]) == 1_000_000


@pytest.mark.parametrize(
    ("text", "boundary"),
    [
        ("multipart/form-data; boundary=x", b"x"),
        ('Multipart/Form-Data;boundary="a b"', b"a b"),
        ("multipart/form-data; charset=utf-8; boundary=x", b"x"),
        ("multipart/form-data; boundary=----WebKitFormBoundaryW0DET1iaBMeAOBg3", None),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_a_boundary(text, boundary):
    assert boundary_of(text) == (boundary or text.rpartition("=")[2].encode())


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ),
        *("multipart/form-data; boundary=x; boundary=y", 'multipart/form-data; boundary="x '),
        *('multipart/form-data; boundary="x "', "multipart/form-data; boundary=" + "x" * 71),
        *("multipart/form-data; boundary=\u00fc", 'multipart/form-data; boundary="a\\"b"'),
        "multipart/form-data boundary=x",
    ],
)
def test_no_boundary(text):
    with pytest.raises(OssError) as refused:
        boundary_of(text)
    assert refused.value.code == "MalformedPOSTRequest"
