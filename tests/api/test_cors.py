"""The rules of CORS of a bucket: what is put is got, all else is refused."""

import pytest

from vipsgate.buckets import INTERNAL

ORIGIN, METHOD = "<AllowedOrigin>*</AllowedOrigin>", "<AllowedMethod>GET</AllowedMethod>"
WHOLE = (
    "<AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedOrigin>null</AllowedOrigin>"
    "<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>"
    "<AllowedHeader>x-oss-*</AllowedHeader><AllowedHeader>content-md5</AllowedHeader>"
    "<ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-oss-request-id</ExposeHeader>"
    "<MaxAgeSeconds>600</MaxAgeSeconds>"
)


def rule(inside):
    return f"<CORSRule>{inside}</CORSRule>"


def document(inside):
    return f"<CORSConfiguration>{inside}</CORSConfiguration>"


@pytest.fixture
def photos(desk):
    desk.store.hold("photos", "a.jpg")
    return desk


async def put(photos, inside):
    return await photos.put("/photos/?cors", document(inside))


async def test_without_rules_there_is_none(photos):
    answer = await photos.ask("/photos/?cors")
    assert (answer.status, answer.code) == (404, "NoSuchCORSConfiguration")
    assert answer.message == "The CORS Configuration does not exist."
    assert answer.value("BucketName") == "photos"
    assert (await photos.delete("/photos/?cors")).status == 204
    assert photos.store.rooms[INTERNAL] == {}


async def test_what_is_put_is_got(photos, by_oss2, by_v2):
    written = rule(WHOLE) + rule(ORIGIN + METHOD)
    assert (await put(photos, f"{written}<ResponseVary>true</ResponseVary>")).status == 200
    answer = await photos.ask("/photos/?cors")
    assert document(f"{written}<ResponseVary>true</ResponseVary>").encode() in answer.body
    read = by_oss2("parse_get_bucket_cors", "GetBucketCorsResult", answer)
    first, second = read.rules
    assert read.response_vary is True
    assert first.allowed_origins == ["https://*.example.com", "null"]
    assert (first.allowed_methods, first.max_age_seconds) == (["GET", "PUT"], 600)
    assert first.allowed_headers == ["x-oss-*", "content-md5"]
    assert first.expose_headers == ["ETag", "x-oss-request-id"]
    assert (second.allowed_headers, second.max_age_seconds) == ([], None)
    theirs = by_v2("CORSConfiguration", answer)
    assert (len(theirs.cors_rules), theirs.response_vary) == (2, True)
    # the second time all anew
    assert (await put(photos, rule(ORIGIN + METHOD))).status == 200
    answer = await photos.ask("/photos/?cors")
    assert answer.values("CORSRule/AllowedOrigin") == ["*"]
    assert answer.value("ResponseVary") == "false"
    assert (await photos.delete("/photos/?cors")).status == 204
    assert (await photos.ask("/photos/?cors")).code == "NoSuchCORSConfiguration"


REFUSED = {  # what is put -> the code, and what the message names
    "": ("MalformedXML", "CORSRule"),
    "<ResponseVary>true</ResponseVary>": ("MalformedXML", "CORSRule"),
    rule(""): ("InvalidArgument", "AllowedOrigin"),
    rule(ORIGIN): ("InvalidArgument", "AllowedMethod"),
    rule(METHOD): ("InvalidArgument", "AllowedOrigin"),
    rule("<AllowedOrigin> </AllowedOrigin>" + METHOD): ("InvalidArgument", "AllowedOrigin"),
    rule("<AllowedOrigin>*.*</AllowedOrigin>" + METHOD): ("InvalidArgument", "AllowedOrigin"),
    rule(ORIGIN + "<AllowedMethod>PATCH</AllowedMethod>"): ("InvalidArgument", "AllowedMethod"),
    rule(ORIGIN + METHOD + "<AllowedHeader>**</AllowedHeader>"): (
        *("InvalidArgument", "AllowedHeader"),
    ),
    rule(ORIGIN + METHOD + "<ExposeHeader>*</ExposeHeader>"): ("InvalidArgument", "ExposeHeader"),
    **{
        rule(ORIGIN + METHOD + f"<MaxAgeSeconds>{value}</MaxAgeSeconds>"): (
            *("InvalidArgument", "MaxAgeSeconds"),
        )
        for value in ("-1", "x", "1.5", "9999999999")
    },
    rule(ORIGIN + METHOD + "<MaxAgeSeconds>1</MaxAgeSeconds>" * 2): (
        *("MalformedXML", "MaxAgeSeconds"),
    ),
    rule(ORIGIN + METHOD + "<ID>a</ID>"): ("NotImplemented", "ID"),
    rule(ORIGIN + METHOD) + "<Extra/>": ("NotImplemented", "Extra"),
    rule(ORIGIN + METHOD) + "<ResponseVary>maybe</ResponseVary>": ("MalformedXML", "ResponseVary"),
    rule(ORIGIN + METHOD) * 21: ("InvalidArgument", "21 rules"),
}


@pytest.mark.parametrize(("inside", "expected"), REFUSED.items())
async def test_what_is_refused_changes_nothing(photos, inside, expected):
    answer = await put(photos, inside)
    assert answer.code == expected[0]
    assert expected[1] in answer.message
    assert photos.store.rooms[INTERNAL] == {}


async def test_twenty_rules(photos):
    assert (await put(photos, rule(ORIGIN + METHOD) * 20)).status == 200
    assert len((await photos.ask("/photos/?cors")).values("CORSRule")) == 20


async def test_a_bucket_of_the_configuration_is_not_changed(photos):
    answer = await photos.put("/declared/?cors", document(rule(ORIGIN + METHOD)))
    assert (answer.status, answer.code) == (403, "AccessDenied")
