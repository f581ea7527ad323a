"""What a callback says, whom it may reach, and its body."""

import base64
import json
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import AccessDenied, InvalidArgument
from vipsgate.gate import callback
from vipsgate.gate.callback import JSON_TYPE, Template

HOSTS = (
    *("app.example.com", "*.hooks.example.com", "app.example.com:8000"),
    *("*.deep.example.com:8443", "10.0.0.5:8000", "127.0.0.1", "[::1]:8000", "169.254.169.254"),
)


def encoded(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def said(url="http://app.example.com/", body="a=${bucket}", **more):
    return {"callbackUrl": url, "callbackBody": body, **more}


def parse(given, variables=None, fields=None, hosts=HOSTS):
    sent = {"callback": given if isinstance(given, str) else encoded(given)}
    if variables is not None:
        sent["callback-var"] = variables if isinstance(variables, str) else encoded(variables)
    return callback.parse(sent, fields or {}, hosts)


READS = {  # the URL as a client writes it -> as it is called, and whether it is listed itself
    "http://app.example.com/": ("http://app.example.com/", True),
    "app.example.com/test.php": ("http://app.example.com/test.php", True),
    "https://app.example.com": ("https://app.example.com/", True),
    "HTTP://APP.Example.com/A%20b?x=%E4%B8%AD&y=(1)": (
        "http://app.example.com/A%20b?x=%E4%B8%AD&y=(1)",
        True,
    ),
    "http://app.example.com:80/a": ("http://app.example.com/a", True),
    "https://app.example.com:8000?b=/@c": ("https://app.example.com:8000/?b=/@c", True),
    "https://a.b.hooks.example.com/a@b": ("https://a.b.hooks.example.com/a@b", False),
    "http://x.deep.example.com:8443": ("http://x.deep.example.com:8443/", False),
    "10.0.0.5:8000/a": ("http://10.0.0.5:8000/a", True),
    "http://[::1]:8000/a": ("http://[::1]:8000/a", True),
    "http://[0:0:0:0:0:0:0:1]:8000/a": ("http://[::1]:8000/a", True),
    "http://169.254.169.254/latest": ("http://169.254.169.254/latest", True),
}
DENIED = [  # right URLs, to others than those that are allowed
    *("http://example.com/", "http://hooks.example.com/", "http://evilhooks.example.com/"),
    *("http://app.example.com.evil.org/", "http://app.example.com:8001/", "https://10.0.0.5/"),
    *(
        "http://app.example.com:443/",
        "https://app.example.com:80/",
        "http://deep.example.com:8443/",
    ),
    *(
        "http://x.deep.example.com/",
        "http://10.0.0.6:8000/",
        "http://localhost/",
        "http://127.0.0.2/",
    ),
    *("http://[::ffff:127.0.0.1]/", "http://[::127.0.0.1]/", "http://[::1]/", "http://[::]:8000/"),
    *(
        "http://0.0.0.0/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://metadata/",
        "javascript:1",
    ),
    "http://app.example.com/;http://example.com/",
]
MALFORMED = [
    *("", ";", "http://", "http:///a", "//app.example.com/", "ftp://app.example.com/"),
    *("file:///etc/passwd", "gopher://app.example.com/", "http:app.example.com"),
    # a user, and what readers of URLs take for one
    *("http://app.example.com@example.org/", "http://a:b@app.example.com/"),
    *("http://app.example.com:80@example.org/", "http://example.org\\@app.example.com/"),
    *(
        "http://example.org#@app.example.com/",
        "http://app.example.com#a",
        "http://app.example.com\\a",
    ),
    *(
        "http://app.example.com%2eexample.org/",
        "http://app.example.com%00/",
        "http://app.example.com/\n",
    ),
    *("http://app.example.com /", "http://app.example.com/a b", "http://app.example.com/\u4e2d"),
    *(
        "http://app.example.com\t/",
        "http://app.example.com\r\nHost: a/",
        "http://app..example.com/",
    ),
    *("http://.app.example.com/", "http://app.example.com./", "http://-a.example.com/"),
    # letters that only look like those of ASCII, or become them in lower case
    *(
        "http://hoo\u212as.example.com/",
        "http://hook\u017f.example.com/",
        "http://app\u3002example.com/",
    ),
    # addresses in other numbers
    *("http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0/"),
    *("http://0177.0.0.1/", "http://127.0.0.01/", "http://127.0.0.0x1/", "http://127.0.0.1./"),
    *(
        "http://\u2460\u2461.0.0.1/",
        "http://[::1%25lo]:8000/",
        "http://[fe80::1%eth0]/",
        "http://[v1.a]/",
    ),
    *("http://[::1/", "http://::1/", "http://[127.0.0.1]/", "http://[]/"),
    *("http://app.example.com:/", "http://app.example.com:0/", "http://app.example.com:65536/"),
    *("http://app.example.com:+80/", "http://app.example.com:8 0/", "http://*.hooks.example.com/"),
    *("http://app.example.com/${bucket}", ";".join(["http://app.example.com/"] * 6)),
]


@pytest.mark.parametrize("url", READS)
def test_a_url_is_read(url):
    (read,) = parse(said(url)).urls
    assert (read.text, read.listed) == READS[url]


@pytest.mark.parametrize("url", DENIED)
def test_a_server_that_is_not_listed(url):
    with pytest.raises(AccessDenied, match="callbackUrl"):
        parse(said(url))


@pytest.mark.parametrize("url", MALFORMED)
def test_a_url_that_is_none(url):
    with pytest.raises(InvalidArgument, match="callbackUrl"):
        parse(said(url))


@given(st.text(max_size=40), st.sampled_from(["http://", "https://", "", "//"]))
@settings(max_examples=times(200), deadline=None)
def test_no_text_leads_anywhere_else(text, scheme):
    """Whatever is put before, behind or into a name that is allowed."""
    for url in (scheme + text, f"{scheme}{text}app.example.com", f"{scheme}app.example.com{text}"):
        try:
            urls = parse(said(url)).urls
        except (InvalidArgument, AccessDenied):
            continue
        assert {one.host for one in urls} <= {"app.example.com"} | {"127.0.0.1", "169.254.169.254"}


def test_several_servers_in_their_order():
    urls = parse(said("http://app.example.com/1; 10.0.0.5:8000/2;")).urls
    assert [url.path for url in urls] == ["/1", "/2"]


REFUSED = {
    "no Base64": "???",
    "no padding": "e30",
    "not ASCII": "\u4e2d",
    "no UTF-8": base64.b64encode(b'{"callbackBody": "\xff"}').decode(),
    "no JSON": encoded("callbackUrl=a"),
    "empty": "",
    "a list": encoded([1]),
    "a string": encoded('"a"'),
    "nested": encoded("[" * 3000),
    "a long number": encoded('{"callbackUrl": ' + "1" * 3500 + "}"),
    "half a character": encoded('{"callbackUrl": "app.example.com", "callbackBody": "\\ud800"}'),
    "twice": encoded(
        '{"callbackUrl": "app.example.com", "callbackBody": "a", "callbackBody": "b"}'
    ),
    "too long": encoded(said(body="a" * 4000)),
    "another name": said(callbackMethod="PUT"),
    "another case": {"callbackurl": "http://app.example.com/", "callbackBody": "a"},
    "no body": {"callbackUrl": "http://app.example.com/"},
    "no URL": {"callbackBody": "a"},
    "empty body": said(body=""),
    "a number": said(callbackBody=1),
    "null": said(callbackHost=None),
    "an object": said(callbackBody={"a": "b"}),
    "another type": said(callbackBodyType="text/plain"),
    "type with charset": said(callbackBodyType="application/json; charset=utf-8"),
    "SNI as text": said(callbackSNI="true"),
    "SNI as number": said(callbackSNI=1),
    "host with a line": said(callbackHost="a\r\nX: y"),
    "host with a path": said(callbackHost="a/b"),
    "unknown variable": said(body="a=${nobody}"),
    "unknown case": said(body="a=${Bucket}"),
    "upper case": said(body="a=${x:A}"),
    "no name": said(body="a=${}"),
    "not closed": said(body="a=${bucket"),
    "nested variable": said(body="a=${x:${bucket}}"),
    "many": said(body="${size}" * 101),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_that_is_malformed(name):
    with pytest.raises(InvalidArgument, match="The callback is invalid"):
        parse(REFUSED[name])


OTHER_VARIABLES = {
    "no prefix": {"a": "b"},
    "upper case": {"x:A": "b"},
    "a number": {"x:a": 1},
    "null": {"x:a": None},
    "an object": {"x:a": {}},
    "empty name": {"x:": "b"},
    "a brace": {"x:a}": "b"},
    "a list": ["x:a"],
    "no Base64": "???",
    "half a character": encoded('{"x:a": "\\ud800"}'),
    "twice": encoded('{"x:a": "b", "x:a": "c"}'),
    "too long": {"x:a": "b" * 4000},
    "a field, too": {"x:field": "b"},
}


@pytest.mark.parametrize("name", OTHER_VARIABLES)
def test_variables_that_are_malformed(name):
    with pytest.raises(InvalidArgument, match="The callback-var is invalid"):
        parse(said(), OTHER_VARIABLES[name], {"x:field": "a"})


def test_variables_without_a_callback():
    with pytest.raises(InvalidArgument, match="callback-var"):
        callback.parse({"callback-var": encoded({"x:a": "b"})}, {}, HOSTS)


def test_fields_of_a_form_are_bounded():
    assert parse(said(), None, {"x:a": "b" * 5000}).variables == {"x:a": "b" * 5000}
    with pytest.raises(InvalidArgument, match="x:"):
        parse(said(), None, {"x:a": "\u4e2d" * 2000})


def test_all_that_can_be_said():
    read = parse(
        said(
            callbackHost="Other:81", callbackBodyType=JSON_TYPE, callbackSNI=True, body="[${size}]"
        ),
        {"x:a": "\u4e2d", "x:b": ""},
        {"x:c": "d"},
    )
    assert (read.host, read.template) == ("Other:81", Template("[${size}]", JSON_TYPE))
    assert read.variables == {"x:a": "\u4e2d", "x:b": "", "x:c": "d"}


VALUES = {"bucket": 'a"b\\c', "object": "\u4e2d &=%/+\n", "size": 10, "x:a": "${size}"}
FILLED = {  # template -> of a form
    "bucket=${bucket}&a=${x:a}": "bucket=a%22b%5Cc&a=%24%7Bsize%7D",
    "object=${object}&size=${size}&none=${x:none}": (
        f"object={quote(VALUES['object'], safe='')}&size=10&none="
    ),
    "$ ${size}$ $(size) {size}": "$ 10$ $(size) {size}",
}
JSONS = {  # template -> what is read from it
    '{"bucket":${bucket},"size":${size}}': {"bucket": VALUES["bucket"], "size": 10},
    '{"bucket":"${bucket}","size":"${size}"}': {"bucket": VALUES["bucket"], "size": "10"},
    '{"a":"x ${object}\\" ${x:a}"}': {"a": f'x {VALUES["object"]}" ${{size}}'},
    '[${x:none}, "${x:none}", ${imageInfo.width}]': ["", "", ""],
    "${x:a}": "${size}",
    '{"${x:a}": "\\\\${bucket}"}': {"${size}": f"\\{VALUES['bucket']}"},
    "[-${size}, 1${size}]": [-10, 110],
}
NO_JSON = [
    *("bucket=${bucket}", '{"a":${bucket}', "${bucket}${bucket}", '"a ${bucket}', "1${bucket}"),
    *('{"a":"\\${bucket}"}', '["\\u00${size}"]', '["\\u000${x:a}"]', '["\\u000${x:a}0"]'),
    *("0${size}", "[${size}${size}]", "1${imageInfo.width}", "{${imageInfo.width}:1}", "NaN"),
    *('["\n"]', "{'a':1}", "[" * 3000),
]


@pytest.mark.parametrize("text", FILLED)
def test_the_body_of_a_form(text):
    assert parse(said(body=text)).template.fill(VALUES) == FILLED[text]


@pytest.mark.parametrize("text", JSONS)
def test_a_body_of_json(text):
    template = parse(said(body=text, callbackBodyType=JSON_TYPE)).template
    assert json.loads(template.fill(VALUES)) == JSONS[text]


@pytest.mark.parametrize("text", NO_JSON)
def test_a_body_that_is_no_json(text):
    with pytest.raises(InvalidArgument, match="not json format"):
        parse(said(body=text, callbackBodyType=JSON_TYPE))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PARTS = st.sampled_from(
    [*'[]{},:"\\u0a1-.', "${x:a}", "${size}", '"${bucket}"', '"', "\\", "${imageInfo.height}", "e"]
)


@given(TEXTS, TEXTS, st.integers(0, 10**12))
@settings(max_examples=times(200), deadline=None)
def test_a_form_says_what_the_values_are(first, second, size):
    values = {"bucket": first, "x:a": second, "size": size}
    body = Template("a=${bucket}&b=${x:a}&c=${size}&d=${bucket}").fill(values)
    assert parse_qsl(body, keep_blank_values=True, strict_parsing=True) == [
        *(("a", first), ("b", second), ("c", str(size)), ("d", first))
    ]


@given(st.lists(PARTS, max_size=8).map("".join), TEXTS, st.integers(0, 10**12), st.booleans())
@settings(max_examples=times(1000), deadline=None)
def test_a_body_that_passes_is_json_with_any_values(text, value, size, picture):
    try:
        template = parse(said(body=text, callbackBodyType=JSON_TYPE)).template
    except InvalidArgument:
        return
    height = size if picture else ""
    json.loads(
        template.fill({"x:a": value, "bucket": value, "size": size, callback.HEIGHT: height})
    )
