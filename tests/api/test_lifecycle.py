"""The lifecycle of a bucket, as far as uploads go: what is put is got, all else is refused."""

import pytest

from vipsgate.buckets import INTERNAL

DAYS = "<AbortMultipartUpload><Days>7</Days></AbortMultipartUpload>"
BEFORE = (
    "<AbortMultipartUpload><CreatedBeforeDate>2026-01-01T00:00:00.000Z</CreatedBeforeDate>"
    "</AbortMultipartUpload>"
)
ON, OFF = "<Status>Enabled</Status>", "<Status>Disabled</Status>"


def rule(inside):
    return f"<Rule>{inside}</Rule>"


def document(inside):
    return f"<LifecycleConfiguration>{inside}</LifecycleConfiguration>"


@pytest.fixture
def photos(desk):
    desk.store.hold("photos", "a.jpg")
    return desk


async def put(photos, inside, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await photos.put("/photos/?lifecycle", document(inside), headers=named)


async def test_without_rules_there_is_none(photos):
    answer = await photos.ask("/photos/?lifecycle")
    assert (answer.status, answer.code) == (404, "NoSuchLifecycle")
    assert (await photos.delete("/photos/?lifecycle")).status == 204
    assert photos.store.rooms[INTERNAL] == {}


async def test_what_is_put_is_got(photos, by_oss2):
    first = f"<ID>a</ID><Prefix>a/</Prefix>{ON}{DAYS}"
    second = f"<ID>b &amp; c</ID><Prefix>西 /</Prefix>{OFF}{BEFORE}"
    assert (await put(photos, rule(first) + rule(second))).status == 200
    answer = await photos.ask("/photos/?lifecycle")
    assert answer.values("Rule/ID") == ["a", "b & c"]
    assert answer.values("Rule/Prefix") == ["a/", "西 /"]
    assert answer.values("Rule/Status") == ["Enabled", "Disabled"]
    read = by_oss2("parse_get_bucket_lifecycle", "GetBucketLifecycleResult", answer)
    assert [item.abort_multipart_upload.days for item in read.rules] == [7, None]
    assert str(read.rules[1].abort_multipart_upload.created_before_date) == "2026-01-01"
    assert (await photos.delete("/photos/?lifecycle")).status == 204
    assert (await photos.ask("/photos/?lifecycle")).code == "NoSuchLifecycle"


async def test_a_rule_without_an_id_gets_one(photos):
    assert (await put(photos, rule(f"<Prefix>a</Prefix>{ON}{DAYS}"))).status == 200
    (name,) = (await photos.ask("/photos/?lifecycle")).values("Rule/ID")
    assert len(name) == 32


REFUSED = {  # what the root holds -> status, code, a part of the message
    "": (400, "MalformedXML", "has no Rule"),
    rule(ON): (400, "MalformedXML", "Rule has no AbortMultipartUpload"),
    rule(DAYS): (400, "MalformedXML", "Rule has no Status"),
    rule(f"<Status>on</Status>{DAYS}"): (400, "MalformedXML", "Status is 'on'"),
    rule(ON + DAYS + DAYS): (400, "MalformedXML", "2 of AbortMultipartUpload"),
    rule(f"{ON}<AbortMultipartUpload/>"): (400, "MalformedXML", "0 elements"),
    rule(ON + DAYS.replace("7", "0")): (400, "MalformedXML", "Days is '0'"),
    rule(ON + DAYS.replace("7", "-1")): (400, "MalformedXML", "Days is '-1'"),
    rule(ON + DAYS.replace("7", "1.5")): (400, "MalformedXML", "Days is '1.5'"),
    rule(ON + DAYS.replace("7", "99999")): (400, "InvalidArgument", "element: Days"),
    rule(ON + DAYS.replace("<Days>7", "<Days>7</Days><Days>7")): (400, "MalformedXML", "2 of Days"),
    rule(ON + DAYS.replace("<Days>", "<CreatedBeforeDate/><Days>")): (
        *(400, "MalformedXML"),
        "2 elements",
    ),
    rule(ON + BEFORE.replace("T00", "T12")): (400, "InvalidArgument", "CreatedBeforeDate"),
    rule(ON + BEFORE.replace("2026-01-01T00:00:00.000Z", "")): (
        *(400, "InvalidArgument"),
        "Days or CreatedBeforeDate",
    ),
    rule(ON + BEFORE.replace("2026", "soon")): (400, "InvalidArgument", "CreatedBeforeDate"),
    rule(f"<ID>{'a' * 256}</ID>{ON}{DAYS}"): (400, "InvalidArgument", "element: ID"),
    rule(f"<Prefix>{'a' * 1024}</Prefix>{ON}{DAYS}"): (400, "InvalidArgument", "element: Prefix"),
    rule(f"<ID>a</ID><Prefix>a</Prefix>{ON}{DAYS}")
    + rule(f"<ID>a</ID><Prefix>b</Prefix>{ON}{DAYS}"): (400, "InvalidArgument", "the id 'a'"),
    rule(f"<Prefix>a</Prefix>{ON}{DAYS}") + rule(f"<Prefix>a/b</Prefix>{ON}{DAYS}"): (
        *(400, "InvalidArgument"),
        "Overlap for same action type AbortMultipartUpload",
    ),
    rule(ON + DAYS) * 1001: (400, "InvalidArgument", "Overlap"),
    **{
        rule(f"{ON}{DAYS}<{name}><Days>1</Days></{name}>"): (
            *(501, "NotImplemented"),
            f"The element: {name} of Rule",
        )
        for name in (
            *("Expiration", "Transition", "Tag", "Filter", "NoncurrentVersionExpiration"),
            "NoncurrentVersionTransition",
        )
    },
    f"<Owner/>{rule(ON + DAYS)}": (501, "NotImplemented", "The element: Owner of Lifecycle"),
    rule(ON + DAYS.replace("<Days>7", "<Hours>7</Hours><Days>7")): (
        *(501, "NotImplemented"),
        "The element: Hours of AbortMultipartUpload",
    ),
}


@pytest.mark.parametrize("inside", REFUSED, ids=lambda text: text[:160])
async def test_what_is_refused_changes_nothing(photos, inside):
    status, code, named = REFUSED[inside]
    assert (await put(photos, rule(f"<ID>before</ID>{ON}{DAYS}"))).status == 200
    answer = await put(photos, inside)
    assert (answer.status, answer.code) == (status, code)
    assert named in answer.message
    assert (await photos.ask("/photos/?lifecycle")).values("Rule/ID") == ["before"]


async def test_rules_may_overlap_where_that_is_allowed(photos):
    rules = rule(f"<ID>a</ID>{ON}{DAYS}") + rule(f"<ID>b</ID><Prefix>b</Prefix>{ON}{BEFORE}")
    allowed = {"x_oss_allow_same_action_overlap": "true"}
    assert (await put(photos, rules, x_oss_allow_same_action_overlap="false")).status == 400
    assert (await put(photos, rules, **allowed)).status == 200
    assert (await put(photos, rules, x_oss_allow_same_action_overlap="maybe")).status == 501
    many = "".join(rule(f"<ID>{number}</ID>{ON}{DAYS}") for number in range(1001))
    assert (await put(photos, many, **allowed)).code == "InvalidArgument"


async def test_a_bucket_that_is_declared_is_changed_in_its_declaration(desk):
    answer = await desk.put("/declared/?lifecycle", document(rule(ON + DAYS)))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert (await desk.delete("/declared/?lifecycle")).status == 204
