"""Objects that are reached by symlinks: every name on the way is one of theirs."""

import os

import pytest

from vipsgate.errors import NoSuchKey
from vipsgate.store.local.store import LocalStore

LINKS = {
    # name in the bucket: what it leads to
    "to-file": "image/a",
    "to-link": "to-file",
    "to-folder": "image",
    "to-folder-link": "to-folder",
    "by-way-of-a-name": "passed.jpg",
    "passed.jpg": "plain",
    "absolute": "{bucket}/image/a",
    "by-an-alias": "{root}/alias/passed.jpg",
    "around": "../photos/./image/../to-folder/a",
    "deep/up": "../image",
    "deep/to-up": "up/a",
    "out": "../other/secret",
}
ALIASES = {
    "image/a": (),
    "plain": (),
    "deep/own": (),
    "to-file": ("image/a",),
    "to-link": ("to-file", "image/a"),
    "to-folder/a": ("image/a",),
    "to-folder-link/a": ("to-folder/a", "image/a"),
    "by-way-of-a-name": ("passed.jpg", "plain"),
    "passed.jpg": ("plain",),
    "absolute": ("image/a",),
    "by-an-alias": ("passed.jpg", "plain"),
    "around": ("to-folder/a", "image/a"),
    "deep/up/a": ("image/a",),
    "deep/to-up": ("deep/up/a", "image/a"),
}


@pytest.fixture(params=["folder", "link"])
def store(request, tmp_path):
    """A bucket that is a folder, or a link to one elsewhere."""
    root = tmp_path / "root"
    bucket = tmp_path / "disk" / "photos" if request.param == "link" else root / "photos"
    root.mkdir()
    for key in ("image/a", "plain", "deep/own"):
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(b"x")
    (bucket.parent / "other").mkdir()
    (bucket.parent / "other" / "secret").write_bytes(b"x")
    for name, aim in LINKS.items():
        (bucket / name).symlink_to(aim.format(bucket=bucket, root=root))
    if request.param == "link":
        (root / "photos").symlink_to(bucket)
    (root / "alias").symlink_to(bucket)
    return LocalStore(root)


@pytest.mark.parametrize("key", ALIASES)
async def test_aliases(store, key):
    found = await store.stat("photos", key)
    assert found.aliases == ALIASES[key]
    opened = await store.open("photos", key)
    opened.close()
    assert opened.object == found


async def test_what_leads_out_is_no_object(store):
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "out")


async def test_a_mark_tells_of_the_names_where_that_is_asked(tmp_path):
    """Folders that are renamed change nothing about the file itself."""
    bucket = tmp_path / "photos"
    (bucket / "sub").mkdir(parents=True)
    (bucket / "sub" / "a").write_bytes(b"x")
    store = LocalStore(tmp_path)
    plain, named = (store.fingerprint("photos", "sub/a", aliases=which) for which in (False, True))
    assert store.reread("photos", "sub/a", plain, 9) == b"x"
    assert store.reread("photos", "sub/a", named, 9, aliases=True) == b"x"
    os.rename(bucket / "sub", bucket / "image")
    (bucket / "sub").symlink_to("image")
    assert store.fingerprint("photos", "sub/a") == plain
    assert store.fingerprint("photos", "sub/a", aliases=True) != named
    assert store.reread("photos", "sub/a", plain, 9) == b"x"
    assert store.reread("photos", "sub/a", named, 9, aliases=True) is None
    assert store.fingerprint("photos", "none", aliases=True) == ()


async def test_a_name_that_is_not_utf8_is_a_name(tmp_path):
    bucket = tmp_path / "photos"
    bucket.mkdir()
    (bucket / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    (bucket / "link").symlink_to(os.fsdecode(b"\xff.jpg"))
    assert (await LocalStore(tmp_path).stat("photos", "link")).aliases == ("\udcff.jpg",)
