"""Hotlink protection: a policy that is put is got, by the SDKs too; and what is refused."""

import pytest

from vipsgate.buckets import INTERNAL, RefererPolicy

ALLOW = "<AllowEmptyReferer>true</AllowEmptyReferer>"
DENY = "<AllowEmptyReferer>false</AllowEmptyReferer>"
PAGE, OTHER = "http://www.example.com", "https://*.example.net/?a=b&amp;c"
TWO = f"<RefererList><Referer>{PAGE}</Referer><Referer>{OTHER}</Referer></RefererList>"
BLACK = f"<RefererBlacklist><Referer>{PAGE}</Referer></RefererBlacklist>"
NONE = "<RefererList/>"

# what the root holds -> the policy
READS = {
    ALLOW + NONE: RefererPolicy(),
    DENY + NONE: RefererPolicy(allow_empty=False),
    ALLOW.replace("true", " TRUE ") + NONE: RefererPolicy(),
    ALLOW + TWO: RefererPolicy(whitelist=(PAGE, OTHER.replace("&amp;", "&"))),
    ALLOW + NONE + BLACK: RefererPolicy(blacklist=(PAGE,)),
    DENY + TWO + BLACK: RefererPolicy(
        allow_empty=False, whitelist=(PAGE, OTHER.replace("&amp;", "&")), blacklist=(PAGE,)
    ),
    ALLOW + NONE + "<AllowTruncateQueryString>false</AllowTruncateQueryString>": RefererPolicy(
        truncate_query=False
    ),
    ALLOW + NONE + "<TruncatePath>true</TruncatePath>": RefererPolicy(truncate_path=True),
    (
        "<TruncatePath>true</TruncatePath><AllowTruncateQueryString>false"
        f"</AllowTruncateQueryString>{ALLOW}{NONE}"
    ): RefererPolicy(truncate_path=True),
    f"{ALLOW}<RefererList><Referer></Referer><Referer> </Referer></RefererList>": RefererPolicy(),
    f"{ALLOW}<RefererList>\n <Referer>\n  {PAGE}\n </Referer>\n</RefererList>": RefererPolicy(
        whitelist=(PAGE,)
    ),
    f"{ALLOW}<RefererList><Referer>http://例子.cn</Referer></RefererList>": RefererPolicy(
        whitelist=("http://例子.cn",)
    ),
    f"{ALLOW}{NONE}<Later/>": RefererPolicy(),
}
REFUSES = {
    NONE: "AllowEmptyReferer",
    ALLOW: "RefererList",
    "": "RefererList",
    "<AllowEmptyReferer/>" + NONE: "AllowEmptyReferer is ''",
    "<AllowEmptyReferer>1</AllowEmptyReferer>" + NONE: "AllowEmptyReferer is '1'",
    ALLOW + NONE + "<TruncatePath>yes</TruncatePath>": "TruncatePath is 'yes'",
    ALLOW + NONE + "<AllowTruncateQueryString/>": "AllowTruncateQueryString is ''",
}


def whole(inner):
    return f"<RefererConfiguration>{inner}</RefererConfiguration>"


@pytest.fixture
async def photos(desk):
    await desk.put("/photos/")
    return desk


def policy(desk):
    return desk.services.registry.get("photos").referer


@pytest.mark.parametrize("inner", READS)
async def test_what_is_put_is_got(photos, by_oss2, by_v2, inner):
    said = await photos.put("/photos/?referer", whole(inner))
    assert (said.status, said.body) == (200, b"")
    wanted = READS[inner]
    assert policy(photos) == wanted

    said = await photos.ask("/photos/?referer")
    assert said.root.find("RefererList") is not None
    found = by_oss2("parse_get_bucket_referer", "GetBucketRefererResult", said)
    assert found.allow_empty_referer is wanted.allow_empty
    assert found.allow_truncate_query_string is wanted.truncate_query
    assert tuple(found.referers) == wanted.whitelist
    assert tuple(found.black_referers) == wanted.blacklist
    other = by_v2("RefererConfiguration", said)
    assert other.truncate_path is wanted.truncate_path
    assert tuple(other.referer_list.referers or ()) == wanted.whitelist

    assert (await photos.put("/photos/?referer", said.body)).status == 200
    assert policy(photos) == wanted


@pytest.mark.parametrize("inner", REFUSES)
async def test_refuses(photos, inner):
    await photos.put("/photos/?referer", whole(DENY + TWO))
    before = policy(photos)
    said = await photos.put("/photos/?referer", whole(inner))
    assert (said.status, said.code) == (400, "MalformedXML")
    assert REFUSES[inner] in said.message
    assert policy(photos) == before


async def test_a_put_replaces_the_whole(photos):
    await photos.put("/photos/?referer", whole(DENY + TWO + BLACK))
    await photos.put("/photos/?referer", whole(ALLOW + NONE))
    assert policy(photos) == RefererPolicy()


async def test_a_bucket_where_nothing_is_set(desk):
    desk.store.hold("folder")
    said = await desk.ask("/folder/?referer")
    assert said.tags == [
        *("AllowEmptyReferer", "AllowTruncateQueryString", "TruncatePath", "RefererList"),
    ]
    assert (said.value("AllowEmptyReferer"), said.values("RefererList/*")) == ("true", [])
    assert not desk.store.rooms[INTERNAL]


@pytest.mark.parametrize("lists", [{}, {"black_referers": ["http://bad", "https://worse/?a&b"]}])
async def test_what_oss2_writes_is_read(photos, oss2, lists):
    made = oss2.models.BucketReferer(False, [PAGE, "http://*.a?b"], True, **lists)
    body = oss2.xml_utils.to_put_bucket_referer(made)
    assert (await photos.put("/photos/?referer", body)).status == 200
    assert policy(photos) == RefererPolicy(
        allow_empty=False,
        whitelist=(PAGE, "http://*.a?b"),
        blacklist=tuple(lists.get("black_referers", ())),
    )


async def test_what_v2_writes_is_read(photos, v2):
    made = v2.models.RefererConfiguration(
        allow_empty_referer=False,
        allow_truncate_query_string=False,
        truncate_path=True,
        referer_list=v2.models.RefererList(referers=[PAGE]),
        referer_blacklist=v2.models.RefererBlacklist(referers=["http://bad"]),
    )
    assert (await photos.put("/photos/?referer", v2.serde.serialize_xml(made))).status == 200
    assert policy(photos) == RefererPolicy(
        allow_empty=False, truncate_path=True, whitelist=(PAGE,), blacklist=("http://bad",)
    )
