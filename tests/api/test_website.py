"""The rules by which missing objects are fetched: what is put is got, all else is refused."""

import pytest
from support.served import BUCKET

from vipsgate.buckets import INTERNAL, Bucket, MirrorRule
from vipsgate.settings import Origins

URL = "<MirrorURL>https://old.example.com/their/</MirrorURL>"
CODE = "<HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>"
HEADERS = (
    "<MirrorHeaders><PassAll>false</PassAll><Pass>accept-language</Pass><Remove>x-a</Remove>"
    "<Set><Key>x-key</Key><Value>a value</Value></Set></MirrorHeaders>"
)
MIRROR = f"<RedirectType>Mirror</RedirectType>{URL}"


def rule(redirect=MIRROR, condition=CODE, number="<RuleNumber>1</RuleNumber>", more=""):
    inside = f"{number}<Condition>{condition}</Condition><Redirect>{redirect}</Redirect>{more}"
    return f"<RoutingRule>{inside}</RoutingRule>"


def document(*rules, more=""):
    inside = f"<RoutingRules>{''.join(rules)}</RoutingRules>" if rules else ""
    return f"<WebsiteConfiguration>{more}{inside}</WebsiteConfiguration>"


@pytest.fixture
def photos(desk):
    desk.settings = desk.settings.model_copy(
        update={"origins": Origins(hosts=["old.example.com", "*.cdn.example"])}
    )
    desk.services = desk.another()
    desk.store.hold(BUCKET, "a.jpg")
    return desk


async def put(photos, text):
    return await photos.put(f"/{BUCKET}/?website", text)


async def test_what_is_put_is_got(photos, by_oss2, by_v2):
    empty = await photos.ask(f"/{BUCKET}/?website")
    assert (empty.status, empty.code) == (404, "NoSuchWebsiteConfiguration")
    assert (await photos.delete(f"/{BUCKET}/?website")).status == 204
    assert photos.store.rooms[INTERNAL] == {}
    redirect = (
        f"<RedirectType>Mirror</RedirectType><PassQueryString>true</PassQueryString>{URL}"
        "<MirrorPassQueryString>true</MirrorPassQueryString>"
        "<MirrorFollowRedirect>false</MirrorFollowRedirect><MirrorCheckMd5>true</MirrorCheckMd5>"
        "<MirrorProxyPass>true</MirrorProxyPass><EnableReplacePrefix>true</EnableReplacePrefix>"
        f"<ReplaceKeyPrefixWith>b/</ReplaceKeyPrefixWith>{HEADERS}"
    )
    condition = (
        "<KeyPrefixEquals>a/</KeyPrefixEquals><KeySuffixEquals>.jpg</KeySuffixEquals>" + CODE
    )
    first = rule(redirect, condition, "<RuleNumber>3</RuleNumber>")
    second = rule(number="<RuleNumber>20</RuleNumber>")
    assert (await put(photos, document(second, first))).status == 200
    answer = await photos.ask(f"/{BUCKET}/?website")
    assert first.encode() in answer.body
    assert answer.values("RoutingRules/RoutingRule/RuleNumber") == ["3", "20"]
    assert (await put(photos, answer.body)).status == 200
    assert (await photos.ask(f"/{BUCKET}/?website")).body == answer.body
    rules = photos.services.registry.get(BUCKET).mirror
    assert rules[0] == MirrorRule(
        prefix="a/",
        suffix=".jpg",
        url="https://old.example.com/their/",
        replace_prefix="b/",
        store=False,
        redirects=0,
        pass_query=True,
        check_md5=True,
        pass_headers=["accept-language"],
        remove_headers=["x-a"],
        set_headers={"x-key": "a value"},
        number=3,
    )
    assert rules[1] == MirrorRule(url="https://old.example.com/their/", number=20)
    read = by_oss2("parse_get_bucket_website", "GetBucketWebsiteResult", answer)
    assert read.rules[0].redirect.mirror_headers.pass_list == ["accept-language"]
    theirs = by_v2("WebsiteConfiguration", answer).routing_rules.routing_rules
    assert theirs[0].redirect.mirror_proxy_pass is True
    assert theirs[1].redirect.mirror_follow_redirect is True
    assert (await photos.delete(f"/{BUCKET}/?website")).status == 204
    assert (await photos.ask(f"/{BUCKET}/?website")).code == "NoSuchWebsiteConfiguration"


OFF = [  # what is not done
    *("MirrorURLSlave", "MirrorURLProbe", "MirrorTunnelId", "MirrorRole", "MirrorDstRegion"),
    *("MirrorDstVpcId", "MirrorDstSlaveVpcId", "MirrorAsyncStatus", "MirrorTaggings"),
    *("MirrorAuth", "MirrorReturnHeaders", "MirrorMultiAlternates", "MirrorFuture"),
    *("TransparentMirrorResponseCodes", "Protocol", "HostName", "HttpRedirectCode"),
    "ReplaceKeyWith",
]
FALSE = [  # likewise, and no more than false
    *("MirrorAllowHeadObject", "MirrorIsExpressTunnel", "MirrorPassOriginalSlashes"),
    *("MirrorSaveOssMeta", "MirrorSwitchAllErrors", "MirrorUserLastModified", "MirrorUsingRole"),
]
EITHER = ["MirrorSNI", "MirrorAllowGetImageInfo", "MirrorAllowVideoSnapshot"]
PASS_ALL = "<MirrorHeaders><PassAll>true</PassAll></MirrorHeaders>"
UNIMPLEMENTED = {
    **{name: document(rule(f"{MIRROR}<{name}>1</{name}>")) for name in OFF},
    **{name: document(rule(f"{MIRROR}<{name}>true</{name}>")) for name in FALSE},
    "PassAll": document(rule(MIRROR + PASS_ALL)),
    "LuaConfig": document(rule(more="<LuaConfig><Script>a.lua</Script></LuaConfig>")),
    "IncludeHeader": document(
        rule(condition=f"{CODE}<IncludeHeader><Key>a</Key><Equals>b</Equals></IncludeHeader>")
    ),
    "IndexDocument": document(rule(), more="<IndexDocument><Suffix>a</Suffix></IndexDocument>"),
    "ErrorDocument": document(rule(), more="<ErrorDocument><Key>a</Key></ErrorDocument>"),
    "Else": document(rule(), more="<Else/>"),
    "External": document(rule("<RedirectType>External</RedirectType><HostName>a</HostName>")),
    "AliCDN": document(rule("<RedirectType>AliCDN</RedirectType>")),
    "Internal": document(rule("<RedirectType>Internal</RedirectType>")),
}


def url(text):
    return document(rule(f"<RedirectType>Mirror</RedirectType><MirrorURL>{text}</MirrorURL>"))


def header(tag, name):
    return document(rule(f"{MIRROR}<MirrorHeaders><{tag}>{name}</{tag}></MirrorHeaders>"))


def put_header(name, value):
    inside = f"<Key>{name}</Key><Value>{value}</Value>"
    return header("Set", inside)


INVALID = {
    "no slash": url("https://old.example.com/a"),
    "no scheme": url("old.example.com/"),
    "another scheme": url("ftp://old.example.com/"),
    "a user": url("https://a:b@old.example.com/"),
    "a query": url("https://old.example.com/?a=/"),
    "a fragment": url("https://old.example.com/#/"),
    "upwards": url("https://old.example.com/../"),
    "empty": url(""),
    "a number": url("http://2130706433/"),
    "another code": document(
        rule(condition="<HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals>")
    ),
    "number 0": document(rule(number="<RuleNumber>0</RuleNumber>")),
    "number x": document(rule(number="<RuleNumber>x</RuleNumber>")),
    "one number": document(rule(), rule()),
    "21 rules": document(*(rule(number=f"<RuleNumber>{n}</RuleNumber>") for n in range(1, 22))),
    "a prefix in vain": document(rule(f"{MIRROR}<ReplaceKeyPrefixWith>a</ReplaceKeyPrefixWith>")),
    **{
        f"{tag} {name}": header(tag, name)
        for tag in ("Pass", "Remove")
        for name in ("Authorization", "cookie", "Host", "x-oss-date", "If-Match", "a b", "")
    },
    **{f"set {name}": put_header(name, "a") for name in ("authorization", "Content-Length", "a:")},
    **{f"set to {value!r}": put_header("x-a", value) for value in ("", "a&#13;b", "西")},
    "set twice": document(
        rule(
            f"{MIRROR}<MirrorHeaders><Set><Key>a</Key><Value>1</Value></Set>"
            "<Set><Key>A</Key><Value>2</Value></Set></MirrorHeaders>"
        )
    ),
    "11 headers": header("Pass", "</Pass><Pass>".join(f"x-{n}" for n in range(11))),
}
MALFORMED = {
    "no rules": document(),
    "empty rules": "<WebsiteConfiguration><RoutingRules/></WebsiteConfiguration>",
    "another root": "<Website/>",
    "no number": document(rule(number="")),
    "no condition": document("<RoutingRule><RuleNumber>1</RuleNumber></RoutingRule>"),
    "no code": document(rule(condition="<KeyPrefixEquals>a</KeyPrefixEquals>")),
    "no type": document(rule(URL)),
    "no URL": document(rule("<RedirectType>Mirror</RedirectType>")),
    "two URLs": document(rule(MIRROR + URL)),
    "no boolean": document(rule(f"{MIRROR}<MirrorCheckMd5>1</MirrorCheckMd5>")),
    "no value": header("Set", "<Key>a</Key>"),
    "entities": "<!DOCTYPE a [<!ENTITY b 'c'>]><WebsiteConfiguration/>",
}


@pytest.mark.parametrize(
    ("code", "rows"),
    [("NotImplemented", UNIMPLEMENTED), ("InvalidArgument", INVALID), ("MalformedXML", MALFORMED)],
    ids=["not implemented", "invalid", "malformed"],
)
async def test_what_is_refused_changes_nothing(photos, code, rows):
    assert (await put(photos, document(rule()))).status == 200
    before = photos.services.registry.get(BUCKET)
    for name, text in rows.items():
        answer = await put(photos, text)
        assert (answer.code, bool(answer.message)) == (code, True), (name, answer.body)
        if code == "NotImplemented":
            assert name in answer.message
        assert photos.services.registry.get(BUCKET) == before, name


async def test_what_asks_for_nothing_is_passed_over(photos):
    more = "".join(f"<{name}>false</{name}>" for name in FALSE)
    more += "".join(f"<{name}>true</{name}>" for name in EITHER)
    pages = "<IndexDocument><Suffix/></IndexDocument><ErrorDocument><Key/></ErrorDocument>"
    assert (await put(photos, document(rule(MIRROR + more), more=pages))).status == 200
    wanted = MirrorRule(url="https://old.example.com/their/", number=1)
    assert photos.services.registry.get(BUCKET).mirror == (wanted,)


async def test_only_servers_that_the_operator_has_listed(photos):
    for host, status in {
        "old.example.com": 200,
        "old.example.com:443": 200,
        "a.cdn.example": 200,
        "OLD.example.com": 200,
        "old.example.com:8443": 403,
        "cdn.example": 403,
        "old.example.com.evil.example": 403,
        "127.0.0.1": 403,
        "169.254.169.254": 403,
    }.items():
        answer = await put(photos, url(f"https://{host}/"))
        assert answer.status == status, (host, answer.body)
        assert status == 200 or answer.code == "AccessDenied"
    photos.settings = photos.settings.model_copy(update={"origins": Origins()})
    answer = await photos.put(
        f"/{BUCKET}/?website", url("https://old.example.com/"), services=photos.another()
    )
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert "origins.hosts" in answer.message


REFUSED = [
    {"url": "https://a.example/?b"},
    {"url": "s3://a/b"},
    {"url": "https://a.example/", "redirects": 6},
    {"url": "https://a.example/", "pass_headers": ["Cookie"]},
    {"url": "https://a.example/", "set_headers": {"X": "a\r\nb"}},
    {"url": "https://a.example/", "types": "pages"},
    {"prefix": "a"},
]


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_a_rule_that_there_is_not(values):
    with pytest.raises(ValueError, match="MirrorRule"):
        MirrorRule(**values)


def test_a_bucket_that_is_elsewhere_has_no_rules():
    with pytest.raises(ValueError, match="origin"):
        Bucket(origin="s3://a/b", mirror=[{"url": "https://a.example/"}])
    assert Bucket(origin="https://a.example/b").origins() == ("https://a.example/b/",)
