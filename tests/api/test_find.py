"""Which call a request makes: what is declared is found, everything else is refused by name."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate import api
from vipsgate.errors import InvalidArgument, MethodNotAllowed, OssError, Unimplemented
from vipsgate.gate import parameters, sign
from vipsgate.gate.target import Target

TABLES = {"service": api.SERVICE, "bucket": api.BUCKET, "object": api.OBJECT}
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
WRITES = ("PUT", "POST", "DELETE")
# sub-resources that OSS and its SDKs have, and that nothing here may take for none
STRANGE = (
    "publicAccessBlock seal legalHold retention x-oss-rename transferAcceleration qosInfo "
    "resourceGroup httpsConfig metaQuery accessPoint policyStatus responseHeader rtc regions "
    "append versionId versions tagging symlink cors lifecycle website worm cleanRestoredObject "
    "metadataConfiguration overwriteConfig x-oss-async-process callback position comp"
).split()


def about(level, *query):
    names = {"service": ("", ""), "bucket": ("photos", ""), "object": ("photos", "a.jpg")}
    return Target(*names[level], tuple(query))


def row(method, level, *query, headers=()):
    return api.find(method, about(level, *query), headers)


def declared(method, level):
    """Every name that some row of this method understands."""
    rows = [(name, row) for (verb, name), row in TABLES[level].items() if verb == method]
    return {name for name, _ in rows} | {name for _, row in rows for name in row.parameters}


@pytest.mark.parametrize(
    ("level", "method", "name"),
    [(level, method, name) for level, table in TABLES.items() for method, name in table],
)
def test_a_row_is_found_by_its_name_with_all_that_it_understands(level, method, name):
    found = TABLES[level][method, name]
    query = [(name, "")] if name else []
    assert row(method, level, *query) is found
    query += [(other, "1") for other in sorted(found.parameters | sign.NAMES)]
    assert row(method, level, *query) is found


@pytest.mark.parametrize("value", ["", "x"])
@pytest.mark.parametrize("name", [*STRANGE, "madeUp", "ACL", "Acl", "x-oss-new", "X-OSS-PROCESS"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", TABLES)
def test_a_strange_name_is_refused_by_name(level, method, name, value):
    ours = name in parameters.SUB_RESOURCES or name.lower().startswith("x-oss-")
    if method in ("GET", "HEAD") and level == "object" and value and not ours:
        assert row(method, level, (name, value)) is TABLES[level][method, ""]
        return
    with pytest.raises(Unimplemented, match=name):
        row(method, level, (name, value))


@pytest.mark.parametrize("query", ["utm_source=mail", "t=123", "_=1", "v=2&w=3", "fbclid=A-b_c"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_campaigns_add_to_an_object_is_passed_over(method, query):
    pairs = [tuple(part.split("=")) for part in query.split("&")]
    assert row(method, "object", *pairs) is api.OBJECT[method, ""]
    assert row(method, "object", ("x-oss-process", "image/info"), *pairs)
    for level in ("bucket", "service"):
        with pytest.raises(Unimplemented):
            row(method, level, *pairs)
    for other in WRITES:
        with pytest.raises(Unimplemented):
            row(other, "object", *pairs)


@pytest.mark.parametrize("query", [("acl", "uploads"), ("acl", "style"), ("uploads", "uploadId")])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", TABLES)
def test_two_sub_resources_are_none_of_both(level, method, query):
    with pytest.raises(OssError, match=" and "):
        row(method, level, *((name, "") for name in query))


names = st.one_of(
    st.sampled_from(STRANGE),
    st.sampled_from(sorted(parameters.SUB_RESOURCES)),
    st.sampled_from(sorted({name for table in TABLES.values() for _, name in table})),
    st.text(string.ascii_letters + string.digits + "-_", max_size=12),
    st.text(max_size=6),
)


@given(
    st.sampled_from(sorted(TABLES)),
    st.sampled_from(METHODS),
    st.lists(st.tuples(names, st.sampled_from(["", "1", "x"])), max_size=3),
)
def test_what_changes_something_was_asked_for_in_full(level, method, query):
    """A call is found only where a row declares all that was said, or nothing is changed by it."""
    try:
        found = row(method, level, *query)
    except Unimplemented:
        return
    said = {name for name, _ in query} - sign.NAMES
    own = next(name for (verb, name), row in TABLES[level].items() if row is found)
    unknown = said - found.parameters - {own}
    if method in WRITES or level != "object":
        assert not unknown
    for name, value in query:
        if name in unknown:
            assert value
            assert not name.lower().startswith(("x-oss-", "response-"))
            assert name not in parameters.SUB_RESOURCES


@pytest.mark.parametrize("method", ["TRACE", "PATCH", "CONNECT", "BREW", "get"])
@pytest.mark.parametrize("level", TABLES)
def test_a_method_that_oss_has_not(level, method):
    with pytest.raises(MethodNotAllowed):
        row(method, level, ("acl", ""))


def test_v1_signs_every_parameter_that_changes_the_answer_to_a_reader():
    """Parameters of listings are not among those that V1 signs, by OSS's own rule."""
    for (method, name), found in api.OBJECT.items():
        if found.right in (api.Right.READ, api.Right.WRITE):
            listed = {"encoding-type", "max-parts", "part-number-marker"}
            for parameter in {name, *found.parameters} - {""} - listed:
                assert parameters.is_signed(parameter), (method, name, parameter)


# -- headers ---------------------------------------------------------------------------------------

UNHONOURED = {
    "x-oss-server-side-encryption": "AES256",
    "x-oss-server-side-encryption-key-id": "k",
    "x-oss-server-side-data-encryption": "SM4",
    "x-oss-callback": "eyJ9",
    "x-oss-callback-var": "eyJ9",
    "x-oss-object-worm-mode": "COMPLIANCE",
    "x-oss-object-worm-legal-hold": "ON",
    "x-oss-traffic-limit": "819200",
    "x-oss-storage-class": "IA",
    "x-oss-tagging": "a=b",
    "x-oss-tagging-directive": "Replace",
    "x-oss-forbid-overwrite": "perhaps",
    "x-oss-symlink-target": "a",
    "x-oss-rename-source": "a",
    "x-oss-resource-group-id": "rg",
    "x-oss-bucket-tagging": "a=b",
    "x-oss-request-payer": "somebody",
    "x-oss-range-behavior": "odd",
    "x-oss-made-up": "",
    "X-OSS-Made-Up": "1",
}


@pytest.mark.parametrize("header", UNHONOURED)
@pytest.mark.parametrize(
    ("level", "method", "name"),
    [(level, method, name) for level, table in TABLES.items() for method, name in table],
)
def test_a_header_that_is_not_honoured_is_refused_by_name(level, method, name, header):
    query = [(name, "")] if name else []
    with pytest.raises(Unimplemented, match=header.lower()):
        row(method, level, *query, headers=[(header, UNHONOURED[header])])


@pytest.mark.parametrize(
    "header",
    [
        *("x-oss-storage-class: Standard", "x-oss-storage-class: STANDARD"),
        *("x-oss-meta-a: b", "X-Oss-Meta-A: b", "x-oss-object-acl: private"),
        *("x-oss-tagging-directive: Copy", "x-oss-forbid-overwrite: true"),
        *("x-oss-request-payer: requester", "x-oss-date: Thu", "x-oss-user-agent: aliyun-sdk-js"),
        *("Content-Type: x", "X-Amz-Acl: private", "x-oss: 1", "Range: bytes=0-"),
    ],
)
def test_a_header_that_is_honoured_or_changes_nothing_passes_a_put(header):
    pair = tuple(header.split(": "))
    assert row("PUT", "object", headers=[pair]) is api.OBJECT["PUT", ""]


@pytest.mark.parametrize("name", ["x-oss-object-acl", "x-oss-meta-a", "x-oss-date"])
def test_a_header_of_oss_that_is_sent_twice_is_refused(name):
    with pytest.raises(InvalidArgument, match=name):
        row("PUT", "object", headers=[(name, "private"), (name.title(), "public-read")])


@given(
    st.sampled_from([key for key in api.OBJECT if key[0] in WRITES]),
    st.text(string.ascii_lowercase + "-", min_size=1, max_size=20),
)
def test_no_header_of_oss_is_dropped_in_silence(call, word):
    method, name = call
    found = api.OBJECT[call]
    header = f"x-oss-{word}"
    known = header in found.headers or header in api.EVERYWHERE or word.startswith("meta-")
    try:
        row(method, "object", *([(name, "")] if name else []), headers=[(header, "x")])
    except Unimplemented:
        return
    assert known


class Untouched:
    """A store that nobody may use."""

    def __getattr__(self, name):
        raise AssertionError(f"the store is asked: {name}")


@pytest.mark.parametrize("body", [b"", b"<Seal/>"], ids=["no body", "a body"])
@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("line", ["/", "/photos/", "/photos/a.jpg"])
async def test_a_refused_call_touches_no_store(desk, line, method, name, body):
    desk.house.store = Untouched()
    said = await desk.ask(f"{line}?{name}", method=method, body=body)
    assert (said.status, said.code) == (501, "NotImplemented")
    assert name in said.message


@pytest.mark.parametrize("header", UNHONOURED)
@pytest.mark.parametrize("query", ["", "?uploads", "?uploadId=A&partNumber=1"])
async def test_a_refused_header_touches_no_store(desk, query, header):
    desk.house.store = Untouched()
    method = "POST" if query == "?uploads" else "PUT"
    headers = {header: UNHONOURED[header]}
    said = await desk.ask(f"/photos/a{query}", method=method, body=b"data", headers=headers)
    assert (said.status, said.code) == (501, "NotImplemented")
    assert header.lower() in said.message
