"""Symlinks of OSS's, on a disk and on an object store: what is read through them, and by whom."""

import hashlib
import json
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest
from support.served import BUCKET, OWNER, READER, WRITER, running

from vipsgate.store.local.store import LocalStore

DATA = b"the bytes of the target"
ETAG = f'"{hashlib.md5(DATA).hexdigest().upper()}"'
RESIZE = "?x-oss-process=image/resize,w_9"


async def link(served, key, target, by=WRITER, **headers):
    """PutSymlink; the target is sent as it is written."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent["x-oss-symlink-target"] = target
    return await served.ask("PUT", f"/{BUCKET}/{key}?symlink", by=by, headers=sent)


async def get(served, line, by=OWNER, method="GET", **more):
    return await served.ask(method, f"/{BUCKET}/{line}", by=by, **more)


@pytest.fixture
async def linked(served):
    """A bucket with a target, and a symlink to it."""
    await served.put("dir/a b+\u00fc.jpg", DATA)
    said = await link(served, "link", "dir%2Fa+b%2B%C3%BC.jpg")
    assert said.status == 200
    assert said.headers["ETag"]
    return served


async def test_it_is_read_as_its_target(linked):
    target = await get(linked, "dir/a%20b%2B%C3%BC.jpg")
    for method in ("GET", "HEAD"):
        read = await get(linked, "link", method=method)
        assert (read.status, read.body) == (200, DATA if method == "GET" else b"")
        assert read.headers["x-oss-object-type"] == "Symlink"
        for name in ("ETag", "Content-Length", "Content-Type"):
            assert read.headers[name] == target.headers[name]
        for name in ("x-oss-hash-crc64ecma", "Content-MD5"):
            assert read.headers.get(name) == target.headers.get(name)
    part = await get(linked, "link", headers={"Range": "bytes=4-8"})
    assert (part.status, part.body) == (206, DATA[4:9])
    assert (await get(linked, "link", headers={"If-None-Match": ETAG})).status == 304
    meta = await get(linked, "link?objectMeta", method="HEAD")
    assert (meta.headers["ETag"], meta.headers["Content-Length"]) == (ETAG, str(len(DATA)))


async def test_where_it_leads(linked):
    said = await get(linked, "link?symlink", by=READER)
    assert (said.status, said.body) == (200, b"")
    assert said.headers["x-oss-symlink-target"] == "dir/a%20b%2B%C3%BC.jpg"
    assert said.headers["ETag"] != ETAG
    before = said.headers["ETag"]
    await link(linked, "link", "other")
    assert (await get(linked, "link?symlink")).headers["ETag"] != before
    said = await get(linked, "dir/a%20b%2B%C3%BC.jpg?symlink")
    assert (said.status, said.code) == (400, "NotSymlink")
    assert said.headers["x-oss-ec"] == "0043-00000101"
    assert (await get(linked, "none?symlink")).code == "NoSuchKey"


async def test_what_is_said_of_a_symlink_is_its_own(served):
    """OSS guide, GetObject: length, tag and checksum of the target, all else of the symlink."""
    put = {"Cache-Control": "max-age=1", "Content-Type": "image/png", "x-oss-meta-a": "target"}
    put |= {"Content-Encoding": "gzip", "x-oss-tagging": "a=1&b=2"}
    await served.ask("PUT", f"/{BUCKET}/target", by=OWNER, headers=put, data=DATA)
    await link(served, "bare", "target")
    own = {"Cache-Control": "max-age=2", "Content-Type": "text/x-own", "x-oss-meta-b": "link"}
    await link(served, "own", "target", **own, x_oss_tagging="c=3")
    bare, own = await get(served, "bare"), await get(served, "own")
    for read in (bare, own):
        assert (read.headers["Content-Encoding"], read.headers["ETag"]) == ("gzip", ETAG)
        assert "x-oss-meta-a" not in read.headers
    assert bare.headers["Content-Type"] == "image/png"
    assert "Cache-Control" not in bare.headers
    assert "x-oss-tagging-count" not in bare.headers
    assert own.headers["Content-Type"] == "text/x-own"
    assert own.headers["Cache-Control"] == "max-age=2"
    assert own.headers["x-oss-meta-b"] == "link"
    assert own.headers["x-oss-tagging-count"] == "1"


async def test_a_symlink_to_nothing(served):
    assert (await link(served, "link", "none")).status == 200
    for method in ("GET", "HEAD"):
        said = await get(served, "link", method=method)
        assert (said.status, said.headers["x-oss-ec"]) == (404, "0026-00000012")
    assert (await get(served, "link")).code == "SymlinkTargetNotExist"
    assert (await get(served, f"link{RESIZE}")).code == "SymlinkTargetNotExist"
    assert (await get(served, "link?symlink")).headers["x-oss-symlink-target"] == "none"
    await served.put("none", DATA)
    assert (await get(served, "link")).body == DATA
    await served.store.delete(BUCKET, "none")
    assert (await get(served, "link")).code == "SymlinkTargetNotExist"


async def test_a_symlink_to_a_symlink(linked):
    for key, target in (("second", "link"), ("self", "self")):
        assert (await link(linked, key, target)).status == 200
        for line in (key, f"{key}{RESIZE}", f"{key}?objectMeta"):
            said = await get(linked, line, method="HEAD" if "Meta" in line else "GET")
            assert said.status == 400
        assert (await get(linked, key)).code == "InvalidTargetType"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("", "InvalidArgument"),
        ("%FF", "InvalidArgument"),
        ("..%2Fother%2Fa.jpg", "InvalidObjectName"),
        ("%2Fa", "InvalidObjectName"),
        ("a%00", "InvalidObjectName"),
        (".vipsgate%2Fbuckets%2Fphotos.json", "InvalidObjectName"),
        ("x" * 2000, "InvalidObjectName"),
    ],
)
async def test_a_target_that_is_none(served, target, code):
    said = await link(served, "link", target)
    assert (said.status, said.code) == (400, code)
    assert await served.keys() == []


async def test_a_target_must_be_named(served):
    said = await served.ask("PUT", f"/{BUCKET}/link?symlink", by=OWNER)
    assert (said.code, said.headers["x-oss-ec"]) == ("InvalidArgument", "0043-00000001")
    said = await link(served, "link", "a", x_oss_storage_class="IA")
    assert (said.status, said.code) == (501, "NotImplemented")


async def test_an_object_that_is_there(linked):
    said = await link(linked, "link", "other", x_oss_forbid_overwrite="true")
    assert (said.status, said.code) == (409, "FileAlreadyExists")
    assert (await get(linked, "link")).body == DATA


async def test_a_picture_of_it_is_one_of_its_target(linked):
    through = await get(linked, f"link{RESIZE}")
    direct = await get(linked, f"dir/a%20b%2B%C3%BC.jpg{RESIZE}")
    assert through.status == 200
    assert through.body == direct.body == b"image/resize,w_9 of " + DATA
    assert through.headers["ETag"] == direct.headers["ETag"]
    await linked.put("dir/a b+\u00fc.jpg", b"others")
    again = await get(linked, f"link{RESIZE}")
    assert again.body == b"image/resize,w_9 of others"
    assert again.headers["ETag"] != through.headers["ETag"]
    await linked.put("second", b"third")
    await link(linked, "link", "second")
    assert (await get(linked, f"link{RESIZE}")).body == b"image/resize,w_9 of third"


async def test_a_watermark_through_a_symlink(linked):
    await linked.put("main", b"main")
    mark = "?x-oss-process=image/watermark,image_bGluaw"  # link
    assert (await get(linked, f"main{mark}")).status == 200
    await linked.store.delete(BUCKET, "dir/a b+\u00fc.jpg")
    said = await get(linked, f"main{mark}")
    assert (said.status, said.code) == (400, "WatermarkError")


async def test_it_is_listed_deleted_and_overwritten_as_itself(linked):
    listed = ElementTree.fromstring((await get(linked, "")).body)
    rows = {
        item.findtext("Key"): (item.findtext("Type"), item.findtext("Size"))
        for item in listed.iterfind("Contents")
    }
    assert rows == {"dir/a b+\u00fc.jpg": ("Normal", str(len(DATA))), "link": ("Symlink", "0")}
    await get(linked, "link", method="DELETE")
    assert await linked.keys() == ["dir/a b+\u00fc.jpg"]
    await link(linked, "link", "dir/a+b%2B%C3%BC.jpg")
    await linked.ask("PUT", f"/{BUCKET}/link", by=OWNER, data=b"an object")
    assert (await get(linked, "link")).body == b"an object"
    assert (await get(linked, "dir/a%20b%2B%C3%BC.jpg")).body == DATA
    assert (await get(linked, "link?symlink")).code == "NotSymlink"


@pytest.mark.parametrize("directive", ["COPY", "REPLACE"])
async def test_its_copy_is_a_symlink(linked, directive):
    headers = {"x-oss-copy-source": f"/{BUCKET}/link", "x-oss-metadata-directive": directive}
    said = await linked.ask("PUT", f"/{BUCKET}/copy", by=OWNER, headers=headers)
    assert said.status == 200
    assert (await get(linked, "copy?symlink")).headers["x-oss-symlink-target"].startswith("dir/")
    assert (await get(linked, "copy")).body == DATA
    assert (await get(linked, "copy")).headers["x-oss-object-type"] == "Symlink"


async def test_a_part_of_an_upload_has_the_bytes_of_the_target(linked):
    said = await get(linked, "new?uploads", method="POST")
    upload = said.value("UploadId")
    headers = {"x-oss-copy-source": f"/{BUCKET}/link"}
    line = f"/{BUCKET}/new?partNumber=1&uploadId={upload}"
    assert (await linked.ask("PUT", line, by=OWNER, headers=headers)).value("ETag") == ETAG


async def test_its_acl_and_tags_are_its_own(linked):
    for acl in ("public-read", "default"):
        headers = {"x-oss-object-acl": acl}
        assert (await get(linked, "link?acl", method="PUT", headers=headers)).status == 200
        assert (await get(linked, "link?acl")).value("AccessControlList/Grant") == acl
    assert (await get(linked, "dir/a%20b%2B%C3%BC.jpg?acl")).value(
        "AccessControlList/Grant"
    ) == "default"
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    assert (await get(linked, "link?tagging", method="PUT", data=body)).status == 200
    assert (await get(linked, "link")).headers["x-oss-tagging-count"] == "1"
    assert (await get(linked, "link")).body == DATA
    said = await get(linked, "link?append&position=0", method="POST", data=b"x")
    assert said.code == "ObjectNotAppendable"


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["private", "public-read"])
@pytest.mark.parametrize("of_link", ["", "private", "public-read"])
@pytest.mark.parametrize("of_target", ["", "private", "public-read"])
async def test_both_acls_must_allow_it(served, bucket, of_link, of_target):
    await served.rule(acl=bucket)
    acl = {"x-oss-object-acl": of_target or "default"}
    await served.ask("PUT", f"/{BUCKET}/target", by=OWNER, headers=acl, data=DATA)
    await link(served, "link", "target", x_oss_object_acl=of_link or "default")
    allowed = all((acl or bucket) == "public-read" for acl in (of_link, of_target))
    for line in ("link", f"link{RESIZE}"):
        assert (await get(served, line, by=None)).status == (200 if allowed else 403)
    await served.store.delete(BUCKET, "target")
    said = await get(served, "link", by=None)
    missing = all((acl or bucket) == "public-read" for acl in (of_link, ""))
    assert said.status == (404 if missing else 403)  # nobody learns of what he may not read
    allowed = (of_link or bucket) == "public-read"
    assert (await get(served, "link?symlink", by=None)).status == (200 if allowed else 403)


PROTECTED = {
    "by the extension of the target": ("link", "a.jpg", {"extensions": ["jpg"]}),
    "by the extension of the symlink": ("link.jpg", "a", {"extensions": ["jpg"]}),
    "by the prefix of the target": ("link", "private/a", {"rules": [{"prefix": "private/"}]}),
    "by the prefix of the symlink": ("private/link", "a", {"rules": [{"prefix": "private/"}]}),
    "as a picture": ("link", "a", {"extensions": ["*"]}),
}


@pytest.mark.parametrize("what", PROTECTED)
async def test_protection_holds_for_both_names(served, what):
    name, target, rule = PROTECTED[what]
    styles = {"small": "image/resize,w_9"}
    await served.rule(acl="public-read", styles=styles, protection={"enabled": True, **rule})
    await served.put(target, b"\xff\xd8\xff\xe0" + DATA)
    await link(served, name, target)
    for line in (name, f"{name}{RESIZE}", f"{name}?x-oss-process=image/info", f"{name}?symlink"):
        if what == "as a picture" and "symlink" in line:
            continue  # its name tells nothing
        said = await get(served, line, by=None)
        assert (said.status, said.headers.get("x-oss-ec")) == (403, "0040-00000031"), line
    assert (await get(served, name, by=None, method="HEAD")).status == 403
    assert (await get(served, f"{name}?x-oss-process=style/small", by=None)).status == 200
    assert (await get(served, name)).status == 200


async def test_a_protected_object_is_not_laid_on_another_through_a_symlink(served):
    rule = {"enabled": True, "extensions": ["jpg"]}
    await served.rule(acl="public-read", protection=rule)
    await served.put("a.jpg", DATA)
    await served.put("main", b"main")
    await link(served, "link", "a.jpg")
    mark = "main?x-oss-process=image/watermark,image_bGluaw"
    assert (await get(served, mark, by=None)).status == 403
    await served.store.delete(BUCKET, "a.jpg")
    assert (await get(served, mark, by=None)).status == 403  # nor is it told whether it is there


async def test_a_protected_symlink_is_not_copied_by_a_stranger(served):
    rule = {"enabled": True, "extensions": ["jpg"]}
    await served.rule(acl="public-read-write", protection=rule)
    await served.put("a.jpg", DATA)
    await link(served, "link", "a.jpg")
    headers = {"x-oss-copy-source": f"/{BUCKET}/link"}
    said = await served.ask("PUT", f"/{BUCKET}/copy", headers=headers)
    assert (said.status, said.headers["x-oss-ec"]) == (403, "0040-00000031")


@pytest.mark.parametrize(
    ("by", "status"), [(OWNER, 200), (WRITER, 200), (READER, 403), (None, 403)]
)
async def test_the_role_counts(served, by, status):
    assert (await link(served, "link", "a", by=by)).status == status


async def test_whoever_may_write_may_link(served):
    await served.rule(acl="public-read-write")
    assert (await link(served, "link", "a", by=None)).status == 200
    await served.ask(
        "PUT", f"/{BUCKET}/b", by=OWNER, headers={"x-oss-object-acl": "private"}, data=DATA
    )
    assert (await link(served, "l2", "b", by=None)).status == 200
    assert (await get(served, "l2", by=None)).status == 403  # a link opens nothing


async def test_it_is_explained(serving, tmp_path):
    """Both names are told, and what an anonymous caller would get."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_bytes(DATA)
    async with running(LocalStore(tmp_path)) as served:
        await link(served, "link", "a.txt", x_oss_object_acl="private")
    with serving(tmp_path) as site:
        with urlopen(f"http://{site.host}:{site.admin_port}/explain/photos/link") as answer:
            report = json.load(answer)
        [item] = report["objects"]
        assert (item["key"], item["symlink"], item["bytes"]) == ("a.txt", "link", len(DATA))
        assert report["access"]["anonymous"]["rule"] == "object-acl"
        assert report["access"]["reader"]["allowed"]
        assert site.ask("/photos/link").code == "AccessDenied"
