"""Signatures: the vectors, every refusal, and that nothing signed can be changed."""

import hashlib
from dataclasses import replace
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import (
    InvalidArgument,
    OssError,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
)
from vipsgate.gate.sign import Credential, Request, fields, sign_headers, sign_url, v1, v4, verify

NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
REGION = "cn-hangzhou"
ID, SECRET, TOKEN = "vipsgateTestKeyId", "vipsgateTestKeySecret0123456789", "CAIStoken+/="
LASTING, STS = Credential(ID, SECRET), Credential(ID, SECRET, security_token=TOKEN)
BUCKET, KEY = "examplebucket", "dir/ex ample.jpg"
PROCESS = "image/resize,m_fixed,w_100,h_100/rotate,90"
AT = "/examplebucket/dir/ex%20ample.jpg"
DO = "x-oss-process=image%2Fresize%2Cm_fixed%2Cw_100%2Ch_100%2Frotate%2C90"
GMT, ISO = "Thu, 01 Jan 2026 00:00:00 GMT", "20260101T000000Z"
SCOPE = "20260101/cn-hangzhou/oss/aliyun_v4_request"

# the vectors T1 to T10 of the reference, as they come over the wire
SIGNED1 = f"OSSAccessKeyId={ID}&Expires=1767226200&Signature="
T1 = f"GET {AT}?{DO}&{SIGNED1}FZG1NyT2y%2Bp6EuXPBKQO%2F6wQe5Y%3D"
T1_STS = f"GET {AT}?{DO}&security-token=CAIStoken%2B%2F%3D&{SIGNED1}rlPzOnPCgLZfavzqN0PsoHe011M%3D"
SIGNED4 = (
    f"x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential={ID}%2F{quote(SCOPE, '')}"
    f"&x-oss-date={ISO}&x-oss-expires=600&x-oss-signature="
)
T2_MADE = "bab1bec6b982407feb31769f482082513cd5a3c46fab901dc7687c75ccf4ae5d"
T2 = f"GET {AT}?{DO}&{SIGNED4}{T2_MADE}"
DATED, TOKENED = f"Date: {GMT}", f"x-oss-security-token: {TOKEN}"
T3 = f"GET {AT}?{DO}\n{DATED}\nAuthorization: OSS {ID}:/9cXjPK4JofSA4IEOyI1KkQisJs="
T4 = f"GET {AT}?{DO}\n{DATED}\n{TOKENED}\nAuthorization: OSS {ID}:TlxjSCTMusryhplBwSL2bj6G6/c="
T5 = f"POST {AT}?x-oss-process=\n{DATED}\nAuthorization: OSS {ID}:iXuxf8xBiYmDf64QubrQeIo3ap0="
T6 = (
    f"POST {AT}?x-oss-process=\n{DATED}\n{TOKENED}\n"
    f"Authorization: OSS {ID}:9U16P8O0l/lg8laDBT3BsdvZxiM="
)
T7 = (
    f"GET {AT}?{DO}\nContent-Type: image/jpeg\nx-oss-date: {GMT}\n"
    f"Authorization: OSS {ID}:v3ROT463gAnYGmsFrH7M5tvHi10="
)
DATED4 = f"x-oss-content-sha256: UNSIGNED-PAYLOAD\nx-oss-date: {ISO}"
V4_BY = f"Authorization: OSS4-HMAC-SHA256 Credential={ID}/{SCOPE}, Signature="
T8_MADE = "6dd5304f26a2ce4318c6550bc9d19af84c25868623f35cb1fef4052682aae6e7"
T8 = f"GET {AT}?{DO}\n{DATED4}\n{V4_BY}{T8_MADE}"
T9_MADE = "07eb984f2b960eb0e7bdca61620d0fcc21cca24561fb290bf5bd4edab6f8772d"
T9 = f"POST {AT}?x-oss-process=\n{DATED4}\n{V4_BY}{T9_MADE}"
T10 = (
    f"GET {AT}?{DO}&x-oss-signature-version=OSS2&x-oss-expires=1767226200"
    f"&x-oss-access-key-id={ID}&x-oss-signature="
    + quote("BMbf2gkn/BnyOckel1ZIaXv7gyLdeQkQrQ+Q+J/w0kY=", "")
)
VECTORS = {
    "T1": (T1, LASTING),
    "T1 with STS": (T1_STS, STS),
    "T2": (T2, LASTING),
    "T3": (T3, LASTING),
    "T4": (T4, STS),
    "T5": (T5, LASTING),
    "T6": (T6, STS),
    "T7": (T7, LASTING),
    "T8": (T8, LASTING),
    "T9": (T9, LASTING),
    "T10": (T10, LASTING),
}


def arrived(text):
    """``GET /bucket/key?query``, then a header a line, as the server will have it."""
    line, *headers = text.split("\n")
    method, _, url = line.partition(" ")
    parts = urlsplit(url)
    bucket, _, key = unquote(parts.path)[1:].partition("/")
    query = tuple(
        (unquote(name), unquote(value))
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair)
    )
    pairs = (header.partition(":") for header in headers)
    return Request(method, bucket, key, query, fields((k, v.strip()) for k, _, v in pairs))


def check(text, *credentials, now=NOW, region=REGION):
    return verify(arrived(text), credentials or (LASTING,), now, region)


def refusal(text, *credentials, **terms):
    with pytest.raises(OssError) as caught:
        check(text, *credentials, **terms)
    return caught.value


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_taken(name):
    text, credential = VECTORS[name]
    assert check(text, credential) is credential


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_with_another_secret_is_not(name):
    text, credential = VECTORS[name]
    error = refusal(text, replace(credential, access_key_secret=SECRET + "0"))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_t1_and_t2_are_made():
    terms = {"now": NOW, "process": PROCESS, "expires": 600}
    made = sign_url(LASTING, BUCKET, KEY, **terms)
    assert made == "http://127.0.0.1:8080" + T1.removeprefix("GET ")
    made = sign_url(STS, BUCKET, KEY, **terms)
    assert made.endswith(SIGNED1 + "rlPzOnPCgLZfavzqN0PsoHe011M%3D")
    made = sign_url(LASTING, BUCKET, KEY, **terms, version=4)
    assert made == "http://127.0.0.1:8080" + T2.removeprefix("GET ")


@pytest.mark.parametrize("name", ["T3", "T4", "T5", "T6", "T7"])
def test_header_vectors_of_v1_are_made(name):
    text, credential = VECTORS[name]
    asked = arrived(text)
    expected = asked.headers["authorization"]
    kept = {k: v for k, v in asked.headers.items() if k in ("content-type", "x-oss-date")}
    made = sign_headers(credential, replace(asked, headers=kept), now=NOW)
    assert made["authorization"] == expected
    assert made["date"] == GMT


@pytest.mark.parametrize("name", ["T8", "T9"])
def test_header_vectors_of_v4_are_made(name):
    text, credential = VECTORS[name]
    asked = arrived(text)
    assert sign_headers(credential, replace(asked, headers={}), now=NOW, version=4) == asked.headers


def dated(request, date, day="20260101"):
    """The request signed with V4 and a ``Date`` of this text, as the SDK for Go v1 does it."""
    held = {**request.headers, "date": date, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
    asked = replace(request, headers=held)
    text = v4.string_to_sign(v4.canonical_request(asked, []), date, day, REGION)
    mac = v4.mac(SECRET, text, day=day, region=REGION)
    credential = f"{ID}/{SCOPE.replace('20260101', day)}"
    made = f"OSS4-HMAC-SHA256 Credential={credential},Signature={mac}"
    return replace(asked, headers={**held, "authorization": made})


@pytest.mark.parametrize("date", [GMT, ISO])
def test_v4_with_date_alone(date):
    made = dated(Request("GET", BUCKET, KEY), date)
    assert verify(made, [LASTING], NOW, REGION) is LASTING
    for late in (901, -901):
        with pytest.raises(RequestTimeTooSkewed):
            verify(made, [LASTING], NOW + late, REGION)
    for other in (GMT.replace("00:00:00", "00:00:01"), ISO.replace("00Z", "01Z")):
        with pytest.raises(SignatureDoesNotMatch):
            verify(replace(made, headers={**made.headers, "date": other}), [LASTING], NOW, REGION)


def test_v4_with_the_date_of_another_day():
    made = dated(Request("GET", BUCKET, KEY), GMT, "20260102")
    with pytest.raises(InvalidArgument, match="Invalid signing date"):
        verify(made, [LASTING], NOW, REGION)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (T2, "439c346e686d6a2470f2fe18db179d5d955a3416d100bbf5b844a7b97dc4006b"),
        (T8, "c711c17e1878b3b98c8501037250c17b6a33a405deb8aadba6e35374d4d48be8"),
        (T9, "689a0bd76ed27a4a58b3d3c0be35afb14ad0e8ba2df77dfefe499cae08bb25c2"),
    ],
)
def test_canonical_requests(text, digest):
    canonical = v4.canonical_request(arrived(text), [])
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest
    assert v4.string_to_sign(canonical, ISO, ISO[:8], REGION).endswith(digest)


# the same signature, written differently
TAKES = {
    "virtual host or not, the resource is the same": T1,
    "V1: parameters in another order": f"GET {AT}?"
    + "&".join(reversed(T1.partition("?")[2].split("&"))),
    "V4: parameters in another order": f"GET {AT}?"
    + "&".join(reversed(T2.partition("?")[2].split("&"))),
    "V1: slashes and commas raw": T1.replace("%2F", "/").replace("%2C", ","),
    "V4: slashes and commas raw": T2.replace("%2F", "/").replace("%2C", ","),
    "V1: the key's slash encoded": T1.replace("dir/", "dir%2F"),
    "V4: the key's slash encoded": T2.replace("dir/", "dir%2F"),
    "V1: an unknown parameter is not signed": T1 + "&prefix=x",
    "V1: another header is not signed": T3 + "\nUser-Agent: x",
    "V4: nor is it in V4": T8 + "\nUser-Agent: x",
    "V4: no space behind the comma": T8.replace(", ", ","),
    "V4: the signature first": f"GET {AT}?{DO}\n{DATED4}\nAuthorization: OSS4-HMAC-SHA256 "
    f"Signature={T8_MADE},Credential={ID}/{SCOPE}",
    "V4: an empty value without its sign": T9.replace("process=", "process"),
    "V1: an empty value without its sign": T5.replace("process=", "process"),
    "a header's space does not count": T7.replace("image/jpeg", "  image/jpeg\t"),
    "V1: Date is not looked at beside x-oss-date": T7 + "\nDate: yesterday",
}


@pytest.mark.parametrize("name", TAKES)
def test_takes(name):
    assert check(TAKES[name]) is LASTING


# nothing of a signature, whatever it looks like
ANONYMOUS = [
    f"GET {AT}",
    f"GET {AT}?{DO}",
    f"GET {AT}?signature=x&expires=1&SIGNATURE=y",  # anybody's words; OSS's begin with a capital
    f"GET {AT}?a=1&a=2",
    f"GET {AT}?a=Signature",
    f"GET {AT}\nDate: {GMT}",
    "GET /",
]


@pytest.mark.parametrize("text", ANONYMOUS)
def test_anonymous(text):
    assert check(text) is None


FORMAT = "InvalidArgument Authorization header is invalid."
MISMATCH = "SignatureDoesNotMatch The request signature we calculated does not match"
LACKS = "AccessDenied Query-string authentication requires the Signature, Expires and OSSAcc"
TWICE = "InvalidArgument The request is signed in more than one way"
NO_DATE = "AccessDenied OSS authentication requires a valid Date. 0002-00000503"
SKEWED = "RequestTimeTooSkewed The difference between the request time and the current"
NO_KEY = "InvalidAccessKeyId The OSS Access Key Id you provided does not exist in our records."
ANOTHER = "InvalidArgument Invalid signing"
ELSEWHERE = "InvalidArgument The signing"  # with what is said in a URL

# what is wrong -> the request, and how the answer begins: code and message
REFUSES = {
    # the form
    "two ways: header and V1 URL": (T1 + T3[T3.index("\n") :], TWICE),
    "two ways: header and V4 URL": (T2 + T8[T8.index("\n") :], TWICE),
    "two ways: header and one parameter": (T3.replace(DO, f"{DO}&Expires=1"), TWICE),
    "two ways: header and a token's parameter": (T3.replace(DO, "security-token=a"), TWICE),
    "two ways: V1 and V4 URL": (T1 + "&" + SIGNED4 + T2_MADE, TWICE),
    "two ways: V1 URL and a date of V4": (T1 + f"&x-oss-date={ISO}", TWICE),
    "two ways, both of them empty": (f"GET {AT}?Signature=\nAuthorization: ", TWICE),
    "Authorization empty": (f"GET {AT}\nAuthorization: ", FORMAT),
    "Authorization of another kind": (f"GET {AT}\nAuthorization: Basic eDp5", FORMAT),
    "Authorization in lower case": (T3.replace("OSS v", "oss v"), FORMAT),
    "Authorization with V3": (T3.replace("OSS v", "OSS3 v"), FORMAT),
    "Authorization twice": (T3 + T3[T3.rindex("\n") :], FORMAT),
    "Authorization twice, V4": (T8 + T8[T8.rindex("\n") :], FORMAT),
    "V1 without a colon": (T3.replace(f"{ID}:", f"{ID} "), FORMAT),
    "V1 without an id": (T3.replace(f"{ID}:", ":"), FORMAT),
    "V1 without a signature": (f"GET {AT}\n{DATED}\nAuthorization: OSS {ID}:", FORMAT),
    "V1 with nothing": (f"GET {AT}\n{DATED}\nAuthorization: OSS", FORMAT),
    "V4 without a signature": (T8.partition(", Sig")[0], FORMAT),
    "V4 without a credential": (T8.replace("Credential=", "Credentials="), FORMAT),
    "V4 with two signatures": (T8 + f", Signature={T8_MADE}", FORMAT),
    "V4 with another field": (T8 + ", More=1", FORMAT),
    "V4 with a short scope": (T8.replace(f"{ID}/", f"{ID}"), FORMAT),
    "V4 with a long scope": (T8.replace(f"{ID}/", f"{ID}/x/"), FORMAT),
    "V4 with no id": (T8.replace(f"={ID}/", "=/"), FORMAT),
    "V4 for another region": (T8.replace("hangzhou", "beijing"), f"{ANOTHER} region"),
    "V4 for another product": (T8.replace("/oss/", "/sls/"), f"{ANOTHER} product"),
    "V4 for another version": (T8.replace("aliyun_v4", "aliyun_v5"), f"{ANOTHER} version"),
    "V4 of another day": (T8.replace("20260101/", "20260102/"), f"{ANOTHER} date"),
    "V4 without the payload's header": (
        T8.replace("x-oss-content-sha256: UNSIGNED-PAYLOAD\n", ""),
        "InvalidArgument The header: x-oss-content-sha256",
    ),
    "V4 with a payload's hash": (
        T8.replace("UNSIGNED-PAYLOAD", "e3b0c44298fc"),
        "InvalidArgument The header: x-oss-content-sha256",
    ),
    "V4 URL with a payload's hash": (
        T2 + "\nx-oss-content-sha256: e3b0c44298fc",
        "InvalidArgument The header: x-oss-content-sha256",
    ),
    "URL for another region": (T2.replace("hangzhou", "beijing"), f"{ELSEWHERE} region in cred"),
    "URL of another day": (T2.replace("20260101T", "20251231T"), f"{ELSEWHERE} date in cred"),
    "another version of the signature": (
        T2.replace("OSS4-HMAC-SHA256", "OSS5"),
        "InvalidArgument The value: OSS5 of parameter: x-oss-signature-version",
    ),
    "no version of the signature": (
        T2.replace("x-oss-signature-version=OSS4-HMAC-SHA256&", ""),
        "InvalidArgument The value:  of parameter: x-oss-signature-version",
    ),
    **{
        f"V1 URL without {name}": (T1.replace(f"{name}=", "a="), LACKS)
        for name in ("Signature", "OSSAccessKeyId", "Expires")
    },
    "V1 URL with an empty signature": (T1[: -len("FZG1NyT2y%2Bp6EuXPBKQO%2F6wQe5Y%3D")], LACKS),
    "only Expires": (f"GET {AT}?Expires=1", LACKS),
    "only a token": (f"GET {AT}?security-token=a", LACKS),
    **{
        f"V4 URL without {name}": (
            T2.replace(f"{name}=", "a="),
            f"InvalidArgument The parameter: {name} is missing",
        )
        for name in ("x-oss-credential", "x-oss-date", "x-oss-expires", "x-oss-signature")
    },
    **{
        f"V2 URL without {name}": (
            T10.replace(f"{name}=", "a="),
            f"InvalidArgument The parameter: {name} is missing",
        )
        for name in ("x-oss-access-key-id", "x-oss-expires", "x-oss-signature")
    },
    **{
        f"{name} given twice": (
            text + f"&{name}=x",
            f"InvalidArgument The parameter: {name} is given 2 times.",
        )
        for text, names in (
            (T1, "x-oss-process Signature Expires OSSAccessKeyId"),
            (T2, "x-oss-process x-oss-signature x-oss-expires x-oss-date x-oss-credential"),
        )
        for name in names.split()
    },
    "the same given twice": (T2 + "&x-oss-expires=600", "InvalidArgument The parameter: x-oss-ex"),
    "another parameter twice": (T1 + "&a=1&a=2", "InvalidArgument The parameter: a is given 2"),
    "in a header's request too": (
        T3.replace(DO, f"{DO}&a=1&a=2"),
        "InvalidArgument The parameter: a is given 2",
    ),
    "wrong case": (
        T1.replace("OSSAccessKeyId", "ossaccesskeyid"),
        "InvalidArgument The parameter: ossaccesskeyid must be written OSSAccessKeyId.",
    ),
    "wrong case in V4": (
        T2.replace("x-oss-signature=", "X-OSS-Signature="),
        "InvalidArgument The parameter: X-OSS-Signature must be written x-oss-signature.",
    ),
    "wrong case and nothing else": (
        f"GET {AT}?X-Oss-Signature=a",
        "InvalidArgument The parameter: X-Oss-Signature must be written x-oss-signature.",
    ),
    "a name encoded twice": (
        T2.replace("x-oss-signature=", "x%252Doss-signature="),
        "InvalidArgument The parameter: x%2Doss-signature must be written x-oss-signature.",
    ),
    "V1 URL, token in a header": (
        f"{T1}\n{TOKENED}",
        "InvalidRequest Security-token must be provided by query string parameter.",
    ),
    "V4 URL, token in a header": (
        f"{T2}\n{TOKENED}",
        "InvalidRequest Security-token must be provided by query string parameter.",
    ),
    "V2 URL, token in a header": (
        f"{T10}\n{TOKENED}",
        "InvalidRequest Security-token must be provided by query string parameter.",
    ),
    # dates
    "no date": (T3.replace("Date:", "Dated:"), NO_DATE),
    "no date to be read": (T3.replace(GMT, "soon"), NO_DATE),
    "no date that there is": (T3.replace("01 Jan", "32 Jan"), NO_DATE),
    "two dates": (f"{T3}\nDate: {GMT}, and later", NO_DATE),
    "a date of another zone": (T3.replace("GMT", "+0000"), NO_DATE),
    "a date of other digits": (T3.replace(GMT, GMT.replace("2026", "２026")), NO_DATE),
    "a month that there is not": (T3.replace("Jan", "Jam"), NO_DATE),
    "V4 with another Date alone than was signed": (
        T8.replace(f"x-oss-date: {ISO}", f"Date: {GMT}"),
        MISMATCH,
    ),
    "V4 with an old Date behind an empty x-oss-date": (
        T8.replace(f"x-oss-date: {ISO}", f"x-oss-date: \nDate: {GMT}"),
        NO_DATE,
    ),
    "V4 with a Date that is none": (T8.replace(f"x-oss-date: {ISO}", "Date: today"), NO_DATE),
    "V4 with no date": (T8.replace(f"\nx-oss-date: {ISO}", ""), NO_DATE),
    "V4 with a date of V1": (T8.replace(ISO, GMT), NO_DATE),
    "V4 with no date that there is": (
        T8.replace(f"date: {ISO}", "date: 20260230T000000Z"),
        NO_DATE,
    ),
    "V4 with other digits": (T8.replace(f"date: {ISO}", "date: ２0260101T000000Z"), NO_DATE),
    "V1 URL: Expires in words": (T1.replace("=1767226200", "=soon"), "AccessDenied Invalid date ("),
    **{
        f"V1 URL: Expires={text}": (
            T1.replace("=1767226200", f"={text}"),
            "AccessDenied Invalid date (should be seconds since epoch).",
        )
        for text in (
            "-1",
            "1e9",
            "1767226200.0",
            "+1767226200",
            "１767226200",
            "NaN",
            "9" * 19,
            " 1",
        )
    },
    "V1 URL: a very long number": (T1.replace("=1767226200", "=" + "9" * 5000), "AccessDenied Inv"),
    "V1 URL: later than signed": (T1.replace("=1767226200", "=1767226201"), MISMATCH),
    "V1 URL: same number, other digits": (T1.replace("=1767226200", "=01767226200"), MISMATCH),
    **{
        f"V4 URL: x-oss-expires={text}": (
            T2.replace("expires=600", f"expires={text}"),
            f"InvalidArgument The value: {text} of parameter: x-oss-expires is invalid. "
            "It expects 1",
        )
        for text in ("0", "604801", "691200", "-1", "soon", "1e3", "99999999", "６00", "600.0")
    },
    "V4 URL: longer than signed": (T2.replace("expires=600", "expires=601"), MISMATCH),
    "V4 URL: same number, other digits": (T2.replace("expires=600", "expires=0600"), MISMATCH),
    **{
        f"V4 URL: x-oss-date={text}": (
            T2.replace(f"date={ISO}", f"date={text}"),
            f"InvalidArgument The value: {text} of parameter: x-oss-date is invalid",
        )
        for text in ("20260101", "2026-01-01T00:00:00Z", "20261301T000000Z", "1767225600", "0" * 16)
    },
    # the key
    "unknown id": (T1.replace(ID, "nobody"), NO_KEY),
    "unknown id in V4": (T2.replace(ID, "nobody"), NO_KEY),
    "an id in another case": (T3.replace(ID, ID.lower()), NO_KEY),
    "an id of STS without its token": (T1.replace(ID, "STS.abc"), NO_KEY),
    "an id of other signs": (
        T1.replace(ID, "a%20b"),
        "InvalidAccessKeyId The OSS Access Key Id contains non-acceptable characters",
    ),
    "an id of other letters": (
        T1.replace(ID, "%C3%A4"),
        "InvalidAccessKeyId The OSS Access Key Id contains non-acceptable characters",
    ),
    # the token
    "a token where there is none": (
        T1_STS,
        "InvalidSecurityToken The security token you provided is invalid.",
    ),
    # the signature
    "another method": (T1.replace("GET", "PUT"), MISMATCH),
    "HEAD with the URL of GET": (T1.replace("GET", "HEAD"), MISMATCH),
    "HEAD with the URL of GET in V4": (T2.replace("GET", "HEAD"), MISMATCH),
    "another bucket": (T1.replace("examplebucket", "examplebuckeu"), MISMATCH),
    "another key": (T1.replace("ample", "emplo"), MISMATCH),
    "a plus for a space": (T1.replace("%20", "+"), MISMATCH),
    "a key encoded twice": (T1.replace("%20", "%2520"), MISMATCH),
    "another process": (T1.replace("w_100", "w_200"), MISMATCH),
    "another process in V4": (T2.replace("w_100", "w_200"), MISMATCH),
    "another process in a header's V4": (T8.replace("w_100", "w_200"), MISMATCH),
    "a process cut off": (T1.replace("%2Frotate%2C90", ""), MISMATCH),
    "no process": (T1.replace(f"{DO}&", ""), MISMATCH),
    "no process in V4": (T2.replace(f"{DO}&", ""), MISMATCH),
    "a process encoded twice": (T1.replace("%2F", "%252F"), MISMATCH),
    "a process in another case": (T1.replace("x-oss-process", "X-Oss-Process"), MISMATCH),
    "a process that nobody signed": (
        f"GET {AT}?{DO}&" + sign_url(LASTING, BUCKET, KEY, now=NOW).partition("?")[2],
        MISMATCH,
    ),
    "the process unsigned, as v2 1.4.1 sends it (T11)": (
        T1.partition("Signature=")[0] + "Signature=mQI/eCxUsk5U%2BngdQm8vO/dpO9k=",
        MISMATCH,
    ),
    "the same in a header (T11)": (
        T3.replace("/9cXjPK4JofSA4IEOyI1KkQisJs=", "6b6nIXjvGsux4NrAkCpKW8p0BUM="),
        MISMATCH,
    ),
    "slashes not encoded by the client (T12)": (
        T2.replace(T2_MADE, "35e9a1038e0249e509939504e5a7003a48c7e52b6920cc822a6b812e20cb5620"),
        MISMATCH,
    ),
    "an overridden header of the answer": (T1 + "&response-content-type=text/html", MISMATCH),
    "a sub-resource more": (T1 + "&acl", MISMATCH),
    "a parameter more, in V4": (T2 + "&prefix=x", MISMATCH),
    "an x-oss- header more": (f"{T1}\nx-oss-meta-a: b", MISMATCH),
    "an x-oss- header more, in V4": (f"{T2}\nx-oss-meta-a: b", MISMATCH),
    "a Content-Type more": (f"{T1}\nContent-Type: text/html", MISMATCH),
    "a Content-Type more, in V4": (f"{T2}\nContent-Type: text/html", MISMATCH),
    "a Content-MD5 more": (f"{T3}\nContent-MD5: eB5eJF1ptWaXm4bijSPyxw==", MISMATCH),
    "an additional header more": (T8 + ", AdditionalHeaders=host", MISMATCH),
    "another date": (T3.replace("00:00:00", "00:00:01"), MISMATCH),
    "a signature in upper case": (T2.replace(T2_MADE, T2_MADE.upper()), MISMATCH),
    "a signature cut off": (T2[:-1], MISMATCH),
    "a signature padded": (T3 + "=", MISMATCH),
    "a signature encoded twice": (T1.replace("%2B", "%252B"), MISMATCH),
    "a signature's plus as a space": (T1.replace("%2B", "%20"), MISMATCH),
    "a V1 signature in V4's place": (T8.replace(T8_MADE, "/9cXjPK4JofSA4IEOyI1KkQisJs="), MISMATCH),
}


@pytest.mark.parametrize("name", REFUSES)
def test_refuses(name):
    text, expected = REFUSES[name]
    error = refusal(text)
    assert f"{error.code} {error.message} {error.ec}".startswith(expected)


EC = {
    "V4 for another region": "0002-00000226",
    "URL for another region": "0002-00000226",
    "V4 URL without x-oss-expires": "0002-00000215",
    "V4 URL: x-oss-expires=691200": "0002-00000232",
    "V4 URL: x-oss-date=20260101": "0002-00000223",
    "another process": "0002-00000040",
    "no date": "0002-00000503",
    "unknown id": "",
    "V1 URL: Expires=-1": "",
}


@pytest.mark.parametrize("name", EC)
def test_sub_codes(name):
    assert refusal(REFUSES[name][0]).ec == EC[name]


# the request, seconds behind it, what is wrong then
EDGES = [
    (T1, 600, ""),
    (T1, 600.5, "Request has expired."),
    (T1, 601, "Request has expired."),
    (T1, -1e9, ""),
    (T2, 600, ""),
    (T2, 601, "Request has expired."),
    (T2, -900, ""),
    (T2, -901, "The difference between"),
    (T10, 600, ""),
    (T10, 601, "Request has expired."),
    *(
        (text, seconds, "" if abs(seconds) <= 900 else "The difference between")
        for text in (T3, T7, T8, T9)
        for seconds in (-901, -900, -899, 0, 899, 900, 901)
    ),
]


@pytest.mark.parametrize(("text", "seconds", "said"), EDGES)
def test_edges_of_time(text, seconds, said):
    if said:
        assert refusal(text, now=NOW + seconds).message.startswith(said)
    else:
        assert check(text, now=NOW + seconds) is LASTING


def test_an_expired_request_says_when():
    for text in (T1, T2):
        error = refusal(text, now=NOW + 700)
        assert (error.status, error.code) == (403, "AccessDenied")
        assert error.message == "Request has expired."
        assert error.extra == {
            "Expires": "2026-01-01T00:10:00.000Z",
            "ServerTime": "2026-01-01T00:11:40.000Z",
        }


def test_a_skewed_request_says_how_far():
    error = refusal(T3, now=NOW + 960)
    assert (error.status, error.code, error.ec) == (403, "RequestTimeTooSkewed", "0002-00000504")
    assert error.extra == {
        "MaxAllowedSkewMilliseconds": "900000",
        "RequestTime": "2026-01-01T00:00:00.000Z",
        "ServerTime": "2026-01-01T00:16:00.000Z",
    }


def test_a_wrong_signature_says_what_was_to_be_signed():
    error = refusal(T1.replace("w_100", "w_200"))
    text = (
        "GET\n\n\n1767226200\n/examplebucket/dir/ex ample.jpg"
        "?x-oss-process=image/resize,m_fixed,w_200,h_100/rotate,90"
    )
    assert error.extra == {
        "OSSAccessKeyId": ID,
        "SignatureProvided": "FZG1NyT2y+p6EuXPBKQO/6wQe5Y=",
        "StringToSign": text,
        "StringToSignBytes": " ".join(f"{byte:02X}" for byte in text.encode()),
    }


def test_a_wrong_v4_signature_says_the_canonical_request_too():
    error = refusal(T9.replace("POST", "PUT"))
    canonical = (
        "PUT\n/examplebucket/dir/ex%20ample.jpg\nx-oss-process\n"
        "x-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20260101T000000Z\n\n\nUNSIGNED-PAYLOAD"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert error.extra["CanonicalRequest"] == canonical
    assert error.extra["StringToSign"] == f"OSS4-HMAC-SHA256\n{ISO}\n{SCOPE}\n{digest}"


def test_no_refusal_tells_a_secret():
    for text, _ in REFUSES.values():
        error = refusal(text)
        assert SECRET not in f"{error.message} {error.extra}"
    assert SECRET not in f"{LASTING!r}"


# which of several things that are wrong is said
ORDER = [
    ("expired and tampered with", T1.replace("w_100", "w_200"), 601, "Request has expired."),
    ("expired and of nobody", T1.replace(ID, "nobody"), 601, "Request has expired."),
    ("skewed and of nobody", T3.replace(ID, "nobody"), 901, "The difference between"),
    ("skewed and for elsewhere", T8.replace("hangzhou", "beijing"), 901, "Invalid signing region"),
    ("malformed and expired", T1 + "&Expires=1", 601, "The parameter: Expires is given 2"),
    ("incomplete and tampered with", T1.replace("Expires=", "a="), 601, "Query-string auth"),
    ("of nobody, with a token", T1_STS.replace(ID, "nobody"), 0, "The OSS Access Key Id you"),
    ("a token, tampered with", T1_STS.replace("w_100", "w_200"), 0, "The security token"),
]


@pytest.mark.parametrize(("text", "seconds", "said"), [row[1:] for row in ORDER], ids=str)
def test_the_order_of_checks(text, seconds, said):
    assert refusal(text, now=NOW + seconds).message.startswith(said)


# several credentials
OLD, OTHER = Credential(ID, "the secret before", "reader"), Credential("other", SECRET)
OTHERS_TOKEN = Credential("other", "x", security_token=TOKEN)
SECOND_TOKEN = Credential(ID, SECRET, "reader", "another token")


@pytest.mark.parametrize(
    ("text", "credentials", "expected"),
    [
        (T1, (OLD, LASTING), LASTING),  # rotation: the new secret and the old one, one id
        (T1, (LASTING, OLD), LASTING),
        (T2, (OTHER, OLD, LASTING), LASTING),
        (T1, (OLD, OTHER), "SignatureDoesNotMatch"),
        (T1, (OTHER,), "InvalidAccessKeyId"),
        (T1, (), "InvalidAccessKeyId"),
        (T1_STS, (LASTING, STS), STS),
        (T1, (STS, LASTING), LASTING),
        (T4, (SECOND_TOKEN, STS), STS),
        (T1, (STS,), "InvalidAccessKeyId"),  # a temporary key is nothing without its token
        (T1_STS, (SECOND_TOKEN,), "InvalidSecurityToken"),
        (T1_STS, (LASTING, OTHERS_TOKEN), "AccessKeyIdAndSecurityTokenNotMatch"),
        (T4.replace("CAI", "CAX"), (STS,), "InvalidSecurityToken"),
        (T1_STS.replace("CAI", "cai"), (STS,), "InvalidSecurityToken"),
    ],
)
def test_several_credentials(text, credentials, expected):
    if isinstance(expected, Credential):
        assert verify(arrived(text), credentials, NOW, REGION) is expected
    else:
        with pytest.raises(OssError) as caught:
            verify(arrived(text), credentials, NOW, REGION)
        assert caught.value.code == expected


# V1 signs decoded text, in which a name or a value can hold what looks like a parameter. Each pair
# has one text; of the two only the reading with more parameters may pass.
SAME_TEXT = [
    (("a.jpg", [("x-oss-process", "style/t")]), ("a.jpg?x-oss-process=style/t", [])),
    (("a.jpg", [("acl", "")]), ("a.jpg?acl", [])),
    (
        ("a", [("response-content-type", "b"), ("x-oss-process", "style/t")]),
        ("a", [("response-content-type", "b&x-oss-process=style/t")]),
    ),
    (
        ("a", [("acl", ""), ("x-oss-process", "style/t")]),
        ("a?acl&x-oss-process=style/t", []),
    ),
    (("a?b", [("x-oss-process", "style/t")]), ("a?b?x-oss-process=style/t", [])),
    (
        ("a", [("x-oss-process", "style/t"), ("x-oss-traffic-limit", "9")]),
        ("a", [("x-oss-process", "style/t&x-oss-traffic-limit=9")]),
    ),
]


def text_of(key, query):
    return v1.string_to_sign(Request("GET", BUCKET, key, tuple(query)), "1767226200")


@pytest.mark.parametrize(("more", "less"), SAME_TEXT, ids=str)
def test_v1_cannot_be_made_to_mean_less(more, less):
    made = v1.mac(SECRET, text_of(*more))
    signed = (("OSSAccessKeyId", ID), ("Expires", "1767226200"), ("Signature", made))
    assert text_of(*less) == text_of(*more)
    with pytest.raises(OssError, match="V1 signature cannot tell"):
        verify(Request("GET", BUCKET, less[0], (*less[1], *signed)), [LASTING], NOW, REGION)
    with pytest.raises(ValueError, match="use V4"):
        sign_url(LASTING, BUCKET, less[0], now=NOW, query=less[1])
    url = sign_url(LASTING, BUCKET, less[0], now=NOW, query=less[1], version=4)
    assert check(f"GET {url.removeprefix('http://127.0.0.1:8080')}") is LASTING


def test_v1_takes_no_process_hidden_in_a_name():
    """``x-oss-process%3Dstyle/t`` would sign like ``x-oss-process=style/t``, and do nothing."""
    made = v1.mac(SECRET, text_of("a", [("x-oss-process", "style/t")]))
    hidden = (("x-oss-process=style/t", ""),)
    signed = (("OSSAccessKeyId", ID), ("Expires", "1767226200"), ("Signature", made))
    with pytest.raises(OssError) as caught:
        verify(Request("GET", BUCKET, "a", hidden + signed), [LASTING], NOW, REGION)
    assert caught.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("key", ["what?.jpg", "a&b.jpg", "a?b=c", "a=b", "a?ACL", "acl", "a#b"])
def test_v1_takes_names_that_only_look_odd(key):
    url = sign_url(LASTING, BUCKET, key, now=NOW, process="image/info")
    assert check(f"GET {url.removeprefix('http://127.0.0.1:8080')}") is LASTING


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize(
    ("endpoint", "bucket_in_path", "start"),
    [
        ("http://127.0.0.1:8080", True, "http://127.0.0.1:8080/photos/a/%C3%A4%20b?"),
        ("https://oss.example.com/", True, "https://oss.example.com/photos/a/%C3%A4%20b?"),
        ("https://img.example.com", False, "https://img.example.com/a/%C3%A4%20b?"),
    ],
)
def test_where_a_url_leads(endpoint, bucket_in_path, start, version):
    made = sign_url(
        LASTING,
        "photos",
        "a/ä b",
        now=NOW,
        version=version,
        endpoint=endpoint,
        bucket_in_path=bucket_in_path,
    )
    assert made.startswith(start)


@pytest.mark.parametrize(
    ("expires", "version", "good"),
    [
        (1, 1, True),
        (10**9, 1, True),
        (0, 1, False),
        (1, 4, True),
        (604_800, 4, True),
        (604_801, 4, False),
        (0, 4, False),
        (-1, 4, False),
    ],
)
def test_how_long_a_url_may_be_valid(expires, version, good):
    terms = {"now": NOW, "expires": expires, "version": version}
    if good:
        assert sign_url(LASTING, BUCKET, KEY, **terms)
    else:
        with pytest.raises(ValueError, match=f"expires = {expires}"):
            sign_url(LASTING, BUCKET, KEY, **terms)


MONTH = 2_592_000  # 30 days, as in the guide's sample


@pytest.mark.parametrize(
    ("expires", "most", "good"),
    [(MONTH, MONTH, True), (MONTH + 1, MONTH, False), (3600, 3600, True), (3601, 3600, False)],
)
def test_a_server_may_have_another_limit_for_v4(expires, most, good):
    terms = {"now": NOW, "expires": expires, "version": 4}
    if not good:
        with pytest.raises(ValueError, match=f"1 to {most}"):
            sign_url(LASTING, BUCKET, KEY, **terms, v4_expires_max=most)
    url = sign_url(LASTING, BUCKET, KEY, **terms, v4_expires_max=10**9)
    asked = arrived("GET " + url.removeprefix("http://127.0.0.1:8080"))
    for now in (NOW, NOW + expires):
        if good:
            assert verify(asked, (LASTING,), now, REGION, most) is LASTING
            continue
        with pytest.raises(OssError) as caught:
            verify(asked, (LASTING,), now, REGION, most)
        assert (caught.value.code, caught.value.ec) == ("InvalidArgument", "0002-00000232")
        assert f"1 to {most} seconds" in caught.value.message
    if good:
        with pytest.raises(OssError, match="expired"):
            verify(asked, (LASTING,), NOW + expires + 1, REGION, most)


def test_repeated_headers_do_not_hide_each_other():
    assert fields([("X-Oss-A", "1"), ("Host", "h"), ("x-oss-a", "2")]) == {
        "x-oss-a": "1,2",
        "host": "h",
    }


def test_a_header_that_was_not_utf8_is_refused_and_no_fault():
    assert refusal(T3 + "\nx-oss-meta-a: \udcff").code == "SignatureDoesNotMatch"
    assert refusal(T8 + "\nx-oss-meta-a: \udcff").code == "SignatureDoesNotMatch"
    assert refusal(T3.replace("OSS v", "OSS \udcff")).code == "InvalidAccessKeyId"
    assert refusal(T3 + "\udcff").code == "SignatureDoesNotMatch"
    assert refusal(T4.replace(TOKEN, "\udcff"), STS).code == "InvalidSecurityToken"


# anything that can be signed, in every way
VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)
keys = st.text(min_size=1, max_size=20) | st.text("ab/ +%&?=~éé西;#", min_size=1, max_size=20)
processes = st.text(max_size=20) | st.text("image/resize,w_1|+%&=?", max_size=20)
headers = st.dictionaries(
    st.sampled_from(["content-type", "content-md5", "x-oss-meta-a", "x-oss-b"]),
    st.text(VISIBLE, min_size=1, max_size=9),
    max_size=3,
)
tokens = st.just("") | st.text(VISIBLE, min_size=1, max_size=9)
WAYS = [(version, place) for version in (1, 4) for place in ("url", "header")]


def signed(way, credential, request):
    """The request with its signature; nothing where V1 cannot sign it."""
    version, place = way
    try:
        if place == "header":
            more = ["host"] if version == 4 else []
            added = sign_headers(
                credential, request, now=NOW, version=version, region=REGION, additional=more
            )
            return replace(request, headers={**request.headers, **added})
        url = sign_url(
            credential,
            request.bucket,
            request.key,
            now=NOW,
            method=request.method,
            version=version,
            query=request.query,
            headers=request.headers,
        )
    except ValueError:
        assert version == 1
        assume(False)
    return replace(request, query=arrived(f"GET {url[len('http://127.0.0.1:8080') :]}").query)


@st.composite
def requests(draw):
    query = (("x-oss-process", draw(processes)), ("response-content-type", draw(processes)))
    return Request(
        draw(st.sampled_from(["GET", "HEAD", "PUT", "POST"])),
        draw(st.sampled_from(["photos", BUCKET])),
        draw(keys),
        query[: draw(st.integers(0, 2))],
        {"host": "127.0.0.1", **draw(headers)},
    )


@pytest.mark.parametrize("way", WAYS, ids=str)
@settings(max_examples=times(60))
@given(request=requests(), secret=st.text(min_size=1), token=tokens, late=st.integers(0, 900))
def test_what_is_signed_is_taken(way, request, secret, token, late):
    credential = Credential(ID, secret, security_token=token)
    made = signed(way, credential, request)
    assert verify(made, [credential], NOW + late, REGION) is credential


def changed(draw, text, signs=VISIBLE):
    """The text with one sign put in, taken out or replaced."""
    at = draw(st.integers(0, len(text)))
    way = draw(st.sampled_from(["in", "out", "other"]))
    sign = draw(signs)
    other = text[:at] + ("" if way == "out" else sign) + text[at + (way != "in") :]
    assume(other != text)
    return other


@pytest.mark.parametrize("way", WAYS, ids=str)
@settings(max_examples=times(150))
@given(request=requests(), token=tokens, data=st.data())
def test_no_byte_of_what_is_signed_can_be_changed(way, request, token, data):
    credential = Credential(ID, SECRET, security_token=token)
    made = signed(way, credential, request)
    covered = [name for name in made.headers if way == (4, "header") or name != "host"]
    part = data.draw(
        st.sampled_from(["method", "bucket", "key", *dict(made.query), *sorted(covered)])
    )
    if part in ("method", "bucket", "key"):
        signs = st.characters(exclude_categories=["Cs"]) if part == "key" else VISIBLE
        other = replace(made, **{part: changed(data.draw, getattr(made, part), signs)})
    elif part in made.headers:
        value = changed(data.draw, made.headers[part])
        other = replace(made, headers={**made.headers, part: value})
    else:
        query = [(k, changed(data.draw, v) if k == part else v) for k, v in made.query]
        other = replace(made, query=tuple(query))
    if part == "authorization":  # spaces between fields, and how they are sorted, are free
        words = made.headers[part].replace(",", " ").split()
        assume(other.headers[part].replace(",", " ").split() != words)
    with pytest.raises(OssError) as caught:
        verify(other, [credential], NOW, REGION)
    assert caught.value.status in (400, 403)


@pytest.mark.parametrize("way", WAYS, ids=str)
@settings(max_examples=times(60))
@given(request=requests(), data=st.data())
def test_no_name_of_what_is_signed_can_be_changed_or_left_out(way, request, data):
    made = signed(way, LASTING, request)
    names = [*dict(made.query), *(k for k in made.headers if k not in ("host", "authorization"))]
    assume(names)
    name = data.draw(st.sampled_from(names))
    other = changed(data.draw, name) if data.draw(st.booleans()) else None
    query = tuple((other if k == name else k, v) for k, v in made.query)
    kept = {other if k == name else k: v for k, v in made.headers.items()}
    kept.pop(None, None)
    query = tuple(pair for pair in query if pair[0] is not None)
    assume(len(kept) == len(made.headers) or other is None)
    with pytest.raises(OssError) as caught:
        verify(replace(made, query=query, headers=kept), [LASTING], NOW, REGION)
    assert caught.value.status in (400, 403)


loose = st.text(max_size=30) | st.text("OSS4-HMAC256 Credential=Signature:,/;a0", max_size=40)
NAMES = [*"Signature Expires OSSAccessKeyId security-token x-oss-signature x-oss-date".split()]
NAMES += [*"x-oss-signature-version x-oss-credential x-oss-expires x-oss-process".split()]
values = loose | st.sampled_from(["OSS4-HMAC-SHA256", "OSS2", ID, f"{ID}/{SCOPE}", ISO, "600", GMT])


@settings(max_examples=times(200))
@given(
    query=st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=7),
    header=st.none() | values | values.map("OSS {}".format) | values.map("OSS2 {}".format),
    dates=st.dictionaries(st.sampled_from(["date", "x-oss-date"]), values),
)
def test_nothing_but_a_refusal_for_what_nobody_signed(query, header, dates):
    given = {**dates, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
    if header is not None:
        given["authorization"] = header
    request = Request("GET", BUCKET, KEY, tuple(query), given)
    anonymous = header is None and {name for name, _ in query} <= {"x-oss-process"}
    if anonymous:
        assert verify(request, [LASTING, STS], NOW, REGION) is None
        return
    with pytest.raises(OssError) as caught:
        verify(request, [LASTING, STS], NOW, REGION)
    assert caught.value.status in (400, 403)
