"""``?processConfiguration``: protection, separators and the old API, put and got."""

import pytest

from vipsgate.buckets import Bucket, Protection, ProtectionRule

ON, OFF = "Enabled", "Disabled"
UNSET = {
    "CompliedHost": "Both",
    "SourceFileProtect": OFF,
    "SourceFileProtectSuffix": "",
    "StyleDelimiters": "",
    "OssDomainSupportAtProcess": OFF,
    "Version": "2",
}
RULES = (ProtectionRule(prefix="raw/"), ProtectionRule(suffix=".psd", case_insensitive=True))

# what is put -> how the answer differs from UNSET, and the document from a new one
READS = [
    ({}, {}, {}),
    ({"CompliedHost": "Img"}, {}, {}),
    ({"CompliedHost": "Both"}, {}, {}),
    (
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": "jpg,png"},
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": "jpg,png"},
        {"protection": Protection(enabled=True, extensions=("jpg", "png"))},
    ),
    (
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": " jpg , ,png,"},
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": "jpg,png"},
        {"protection": Protection(enabled=True, extensions=("jpg", "png"))},
    ),
    (
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": "*"},
        {"SourceFileProtect": ON, "SourceFileProtectSuffix": "*"},
        {"protection": Protection(enabled=True, extensions=("*",))},
    ),
    (
        {"SourceFileProtect": ON},
        {"SourceFileProtect": ON},
        {"protection": Protection(enabled=True)},
    ),
    # an end of the protection takes the list away
    ({"SourceFileProtect": OFF, "SourceFileProtectSuffix": "jpg"}, {}, {}),
    ({"SourceFileProtectSuffix": "jpg"}, {}, {}),
    ({"StyleDelimiters": "/,-"}, {"StyleDelimiters": "-,/"}, {"separators": ("-", "/")}),
    (
        {"StyleDelimiters": "_,!,-,/,-"},
        {"StyleDelimiters": "!,-,/,_"},
        {"separators": ("!", "-", "/", "_")},
    ),
    (
        {"OssDomainSupportAtProcess": ON},
        {"OssDomainSupportAtProcess": ON},
        {"legacy_at_api": True},
    ),
    (
        {"OssDomainSupportAtProcess": ON, "StyleDelimiters": "!"},
        {"OssDomainSupportAtProcess": ON, "StyleDelimiters": "!"},
        {"legacy_at_api": True, "separators": ("!",)},
    ),
    ({"StyleDelimiters": "@!"}, {"StyleDelimiters": "@!"}, {"separators": ("@!",)}),
    (
        {"OssDomainSupportAtProcess": ON, "StyleDelimiters": "_,@!"},
        {"OssDomainSupportAtProcess": ON, "StyleDelimiters": "@!,_"},
        {"legacy_at_api": True, "separators": ("@!", "_")},
    ),
    ({"Version": "9", "Later": "x"}, {}, {}),
]
REFUSES = [
    {"CompliedHost": "OSS"},
    {"CompliedHost": ""},
    {"CompliedHost": "both"},
    {"SourceFileProtect": "true"},
    {"SourceFileProtect": ""},
    {"OssDomainSupportAtProcess": "on"},
    {"StyleDelimiters": "@"},
    {"StyleDelimiters": "-/"},
    {"StyleDelimiters": "-,?"},
    {"StyleDelimiters": "x" * 500},
]


def whole(rows):
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in rows.items())
    return f"<BucketProcessConfiguration>{inner}</BucketProcessConfiguration>"


def wire(rows):
    return ",".join(f"{name}={value[:20]}" for name, value in rows.items()) or "nothing"


@pytest.fixture
async def photos(desk):
    await desk.put("/photos/")
    return desk


async def put(desk, rows):
    return await desk.put("/photos/?processConfiguration", whole(rows))


async def got(desk):
    said = await desk.ask("/photos/?processConfiguration")
    assert said.root.tag == "BucketProcessConfiguration"
    return {child.tag: child.text or "" for child in said.root}


def document(desk):
    return desk.services.registry.get("photos")


async def test_a_bucket_where_nothing_is_set(photos):
    assert await got(photos) == UNSET


@pytest.mark.parametrize(("rows", "answer", "settings"), READS, ids=[wire(row[0]) for row in READS])
async def test_what_is_put_is_got(photos, rows, answer, settings):
    before = document(photos)
    said = await put(photos, rows)
    assert (said.status, said.body) == (200, b"")
    assert document(photos) == before.model_copy(update=settings)
    assert await got(photos) == UNSET | answer

    assert (await put(photos, await got(photos))).status == 200
    assert document(photos) == before.model_copy(update=settings)


@pytest.mark.parametrize("rows", REFUSES, ids=wire)
async def test_refuses(photos, rows):
    before = document(photos)
    said = await put(photos, rows)
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert next(iter(rows)) in said.message
    assert document(photos) == before


async def test_a_put_says_all_anew(photos):
    every = {
        "SourceFileProtect": ON,
        "SourceFileProtectSuffix": "jpg",
        "StyleDelimiters": "!",
        "OssDomainSupportAtProcess": ON,
    }
    before = document(photos)
    await put(photos, every)
    await put(photos, {})
    assert document(photos) == before


@pytest.mark.parametrize("rows", [{}, {"SourceFileProtect": ON, "SourceFileProtectSuffix": "jpg"}])
async def test_rules_set_by_hand_stay(photos, rows):
    by_hand = Bucket(protection=Protection(enabled=True, extensions=("png",), rules=RULES))
    await photos.services.registry.documents.change("photos", lambda _: by_hand)
    assert (await put(photos, rows)).status == 200
    protection = document(photos).protection
    assert protection.rules == RULES
    assert protection.extensions == (("jpg",) if rows else ())


async def test_a_classic_separator_set_by_hand_is_told_and_taken_away(photos):
    await photos.services.registry.documents.change(
        "photos", lambda _: Bucket(separators=("@!", "_"))
    )
    assert await got(photos) == UNSET | {"StyleDelimiters": "@!,_"}
    await put(photos, {"StyleDelimiters": "-"})
    assert document(photos).separators == ("-",)


async def test_protection_that_is_off_shows_no_suffixes(photos):
    off = Bucket(protection=Protection(extensions=("png",)))
    await photos.services.registry.documents.change("photos", lambda _: off)
    assert await got(photos) == UNSET
