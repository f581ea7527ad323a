"""Styles: put, got, listed, deleted; their names, contents and times."""

from xml.sax.saxutils import escape

import pytest

from vipsgate.buckets import Bucket, Style

NOW = 1_767_225_600.75
MADE, LATER = "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:01:40 GMT"

CONTENTS = [
    "image/resize,w_200",
    "image/resize,w_200/quality,q_90|image/rotate,90",
    "image/info",
    "image/watermark,text_5rC05Y2w,color_FF0000",
    "  image/resize,w_200\n  ",
    "image/watermark,text_" + "QUJD" * 20,
    # of the older service
    "100w.jpg",
    "100w_200h.jpg",
    "100w_100h_1e_1c.png|watermark=2&text=5rC05Y2w",
    "100w.jpg|50w",
    "imageAve",
]
NAMES = ["a", "A.b-c_d", "0", ".", "..", "x" * 64]
BAD_NAMES = ["x" * 65, "a/b", "a%20b", "a+b", "%E5%90%8D", "a%0A", "%00", "a?"]
REFUSES = {
    # content: code that a request with it would get
    "": "InvalidArgument",
    "image": "InvalidArgument",
    "image/": "InvalidArgument",
    "resize,w_100": "InvalidArgument",
    "100z.jpg": "InvalidArgument",
    "100w.tiff": "InvalidArgument",
    "@100w.jpg": "InvalidArgument",
    "100w|info": "InvalidArgument",
    "1w|2w|3w|4w|5w": "TooManyPipes",
    "image/slim": "InvalidArgument",
    "image/resize,w_0": "InvalidArgument",
    "image/resize,w_100,h_": "InvalidArgument",
    "style/other": "InvalidArgument",
    "image/info|image/resize,w_9": "InvalidArgument",
    "|".join(["image/rotate,90"] * 7): "TooManyPipes",
    "image/rotate,90" + "/rotate,90" * 5000: "InvalidArgument",
}


def style(content):
    return f"<Style><Content>{escape(content)}</Content></Style>"


def line(name, more=""):
    return f"/photos/?style&styleName={name}{more}"


@pytest.fixture
async def photos(desk):
    await desk.put("/photos/")
    return desk


@pytest.mark.parametrize("content", CONTENTS)
async def test_what_is_put_is_got(photos, by_oss2, by_v2, content):
    said = await photos.put(line("small"), style(content))
    assert (said.status, said.body) == (200, b"")
    said = await photos.ask(line("small"))
    found = by_oss2("parse_get_bucket_style_result", "GetBucketStyleResult", said)
    assert (found.name, found.content) == ("small", content.strip())
    assert (found.create_time, found.last_modify_time) == (MADE, MADE)
    other = by_v2("StyleInfo", said, "Style")
    assert (other.name, other.content, other.category) == ("small", content.strip(), "image")
    assert photos.services.registry.get("photos").styles["small"].content == content.strip()


@pytest.mark.parametrize("content", REFUSES, ids=lambda content: content[:40] or "empty")
async def test_refuses_a_content(photos, content):
    said = await photos.put(line("small"), style(content))
    assert (said.status, said.code) == (400, REFUSES[content])
    assert not photos.services.registry.get("photos").styles


async def test_a_content_has_its_length(photos):
    """So that 50 of them leave a document that is read again."""
    said = await photos.put(line("small"), style("image/" + "西" * 5460))
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert said.message == "Content has more than 16384 bytes of UTF-8."


@pytest.mark.parametrize("name", NAMES)
async def test_takes_a_name(photos, name):
    assert (await photos.put(line(name), style("image/info"))).status == 200
    assert (await photos.ask(line(name))).value("Name") == name
    assert (await photos.delete(line(name))).status == 204
    assert (await photos.ask(line(name))).code == "NoSuchStyle"


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_refuses_a_name(photos, name):
    for said in (
        await photos.put(line(name), style("image/info")),
        await photos.delete(line(name)),
    ):
        assert (said.status, said.code) == (400, "InvalidArgument")
        assert "styleName" in said.message
    assert (await photos.ask(line(name))).code == "NoSuchStyle"


@pytest.mark.parametrize("query", ["style", "style&styleName="])
async def test_a_change_needs_a_name(photos, query):
    for method in ("PUT", "DELETE"):
        body = style("image/info").encode() if method == "PUT" else b""
        said = await photos.ask(f"/photos/?{query}", method=method, body=body)
        assert (said.status, said.code) == (400, "MissingArgument")


@pytest.mark.parametrize("body", ["<Style/>", "<Style><content>image/info</content></Style>"])
async def test_a_style_has_a_content(photos, body):
    assert (await photos.put(line("small"), body)).code == "MalformedXML"


async def test_other_content_keeps_the_time_of_making(photos):
    await photos.put(line("small"), style("image/info"))
    photos.now += 100
    await photos.put(line("small"), style("image/resize,w_9"))
    said = await photos.ask(line("small"))
    assert said.value("Content") == "image/resize,w_9"
    assert (said.value("CreateTime"), said.value("LastModifyTime")) == (MADE, LATER)


@pytest.mark.parametrize("category", ["image", "document", "video"])
async def test_a_category_is_kept(photos, category):
    await photos.put(line("small", f"&category={category}"), style("image/info"))
    assert (await photos.ask(line("small"))).value("Category") == category


async def test_refuses_a_category(photos):
    said = await photos.put(line("small", "&category=sound"), style("image/info"))
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert "category" in said.message


async def test_the_51st_is_refused_and_other_content_is_not(photos):
    for number in range(50):
        assert (await photos.put(line(f"s{number}"), style("image/info"))).status == 200
    said = await photos.put(line("s50"), style("image/info"))
    assert (said.status, said.code) == (403, "AccessDenied")
    assert said.message == "Your style count is exceeded 50."
    assert (await photos.put(line("s49"), style("image/resize,w_9"))).status == 200
    await photos.delete(line("s7"))
    assert (await photos.put(line("s50"), style("image/info"))).status == 200
    assert len(photos.services.registry.get("photos").styles) == 50


@pytest.mark.parametrize("query", ["style", "style&styleName="])
async def test_lists_styles(photos, by_oss2, by_v2, query):
    assert (await photos.ask(f"/photos/?{query}")).tags == []
    for name in ("b", "a", "B"):
        await photos.put(line(name), style(f"image/resize,w_{ord(name)}"))
    said = await photos.ask(f"/photos/?{query}")
    found = by_oss2("parse_list_bucket_style", "ListBucketStyleResult", said).styles
    assert [one.name for one in found] == ["b", "a", "B"]
    other = by_v2("StyleList", said).styles
    wanted = [(one.name, one.content, one.create_time) for one in found]
    assert [(one.name, one.content, one.create_time) for one in other] == wanted
    assert wanted[2] == ("B", "image/resize,w_66", MADE)


async def test_deleting_what_is_not_there_changes_nothing(desk):
    desk.store.hold("folder")
    said = await desk.delete("/folder/?style&styleName=small")
    assert (said.status, said.body) == (204, b"")
    assert not desk.store.rooms[".vipsgate"]


async def test_a_style_of_another_instance_is_deleted(photos):
    other = photos.another()
    await other.registry.documents.look()
    await photos.put(line("small"), style("image/info"))
    assert (await photos.delete(line("small"), services=other)).status == 204
    await photos.services.registry.documents.look()
    assert not photos.services.registry.get("photos").styles


async def test_styles_are_listed_in_the_order_in_which_they_were_made(photos):
    """As OSS does: the SDK for Go makes three of random names and looks for them by number."""
    for name in ("b", "a", "c"):
        await photos.put(line(name), style("image/info"))
        photos.now += 1
    await photos.put(line("b"), style("image/resize,w_9"))
    said = await photos.ask("/photos/?style")
    assert said.values("Style/Name") == ["b", "a", "c"]


async def test_a_missing_style_is_named(photos):
    said = await photos.ask(line("nothing"))
    assert (said.status, said.code, said.value("StyleName")) == (404, "NoSuchStyle", "nothing")


async def test_a_style_of_a_document_by_hand_has_times(photos):
    styles = {"hand": Style(content="image/info"), "old": Style(content="image/info", created=NOW)}
    await photos.services.registry.documents.change("photos", lambda _: Bucket(styles=styles))
    said = await photos.ask(line("hand"))
    assert (
        said.value("CreateTime")
        == said.value("LastModifyTime")
        == ("Thu, 01 Jan 1970 00:00:00 GMT")
    )
    assert (await photos.ask(line("old"))).value("LastModifyTime") == MADE
