"""Purges: what they cover has another name, on every instance, and nothing purged comes back."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.cache import purges, tiers
from vipsgate.cache.disk import Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Purges, Rule
from vipsgate.cache.remote import RemoteCache
from vipsgate.cache.tiers import Cache
from vipsgate.errors import ServiceUnavailable

VARIANT = "0" * 32
TEXTS = st.text("ab/", max_size=4)
RULES = st.builds(Rule, st.sampled_from(["one", "two"]), st.sampled_from(purges.KINDS), TEXTS)
NUMBERS = st.dictionaries(RULES, st.integers(1, 50), max_size=12)
ASKED = st.tuples(
    st.sampled_from(["one", "two"]), st.lists(TEXTS, min_size=1, max_size=2), st.lists(TEXTS)
)


def after(*rules):
    known = Purges()
    for rule in rules:
        known.merge({rule: known.number(rule)})
    return known


def covers(rule, bucket, keys, styles):
    if rule.bucket != bucket:
        return False
    if rule.kind == "style":
        return rule.text in styles
    if rule.kind == "prefix":
        return any(key.startswith(rule.text) for key in keys)
    return rule.text in keys


@settings(max_examples=times(300))
@given(NUMBERS, RULES, ASKED)
def test_exactly_what_is_covered_has_another_name(numbers, rule, asked):
    known = Purges()
    known.merge(numbers)
    bucket, keys, styles = asked
    before = known.renamed(VARIANT, bucket, keys, styles)
    assert known.merge({rule: known.number(rule)}) == [rule]
    changed = known.renamed(VARIANT, bucket, keys, styles) != before
    if covers(rule, bucket, keys, styles):
        assert changed
    elif not any(covers(other, bucket, keys, styles) for other in numbers):
        assert not changed
        assert before == VARIANT


@settings(max_examples=times(300))
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.randoms(use_true_random=False), ASKED)
def test_the_order_does_not_matter(records, chance, asked):
    """Instances that have seen the same purges, in any order and any number of times, agree."""
    one, other = Purges(), Purges()
    for record in records:
        one.merge(record)
    shuffled = [*records, *records]
    chance.shuffle(shuffled)
    for record in shuffled:
        other.merge(purges.read(purges.write(record)))
    assert one.numbers == other.numbers
    assert one.renamed(VARIANT, *asked) == other.renamed(VARIANT, *asked)


def test_rules_are_bounded():
    known = after(Rule("photos", "prefix", "a/"), Rule("photos", "style", "thumb"))
    names = [known.renamed(VARIANT, "photos", [key], ()) for key in ("a/x", "b/x")]
    assert names[1] == VARIANT
    for count in range(purges.MAX_OTHERS - 1):
        known.merge({Rule("photos", "prefix", f"p{count}/"): 10**18 * 3 + count})
    assert [*known.numbers] == [Rule("photos", "prefix", "")]
    assert known.renamed(VARIANT, "photos", ["a/x"], ()) not in (VARIANT, names[0])
    known.merge({Rule("other", "key", str(n)): n + 1 for n in range(purges.MAX_KEYS + 5)})
    assert sum(rule.kind == "key" for rule in known.numbers) == purges.MAX_KEYS


def test_a_later_prefix_takes_the_place_of_what_it_covers():
    known = after(
        *(
            Rule("photos", "key", "a/b"),
            Rule("photos", "prefix", "a/b/"),
            Rule("photos", "key", "c"),
        ),
        *(Rule("photos", "style", "s"), Rule("photos", "prefix", "a/")),
    )
    assert {rule[1:] for rule in known.numbers} == {("prefix", "a/"), ("key", "c"), ("style", "s")}
    known.merge({Rule("photos", "prefix", ""): 10**19})
    assert len(known.numbers) == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[["a","b","c",1]]', b'[[1,"key","c",1]]'])
def test_a_foreign_record_has_no_rules(data):
    assert purges.read(data) == {}


# -- with tiers ------------------------------------------------------------------------------------

WORDS = (("key", "a/1"), ("prefix", "a/"), ("style", "s"))
KEY, PREFIX, STYLE = (Rule("photos", k, t) for k, t in WORDS)
ROW = pytest.mark.parametrize("rule", [KEY, PREFIX, STYLE], ids=purges.KINDS)


def name(cache):
    return CacheKey("photos", "a/1", cache.purges.renamed(VARIANT, "photos", ["a/1"], ["s"]))


async def keep(cache):
    async def make():
        return Entry("image/png", 0, 3, b"old")

    entry, _ = await cache.obtain(name(cache), make)
    entry.close()
    await cache.close()


async def found(cache):
    hit = await cache.get(name(cache))
    if hit:
        hit[0].close()
    return hit is not None


def instance(folder, shared=None):
    return Cache(Memory(1 << 20), Disk(folder, 1 << 20) if folder else None, shared)


@ROW
async def test_all_instances_that_share_a_folder_follow_a_purge(tmp_path, monkeypatch, rule):
    monkeypatch.setattr(tiers, "POLL_INTERVAL", 0.01)
    one, two = instance(tmp_path), instance(tmp_path)
    await keep(one)
    assert await found(one)
    assert await found(two)
    following = asyncio.create_task(two.follow())
    await one.renew(rule)
    assert not await found(one)
    for _ in range(200):
        if not await found(two):
            break
        await asyncio.sleep(0.01)
    assert not await found(two)
    assert name(one) == name(two)
    following.cancel()
    # and who comes later, or after a restart
    three = instance(tmp_path)
    await three.look(far=True)
    assert name(three) == name(one)
    assert not await found(three)
    await keep(three)
    await three.look(far=True)
    assert await found(three)
    assert await found(one)


@ROW
async def test_all_instances_that_share_a_bucket_follow_a_purge(tmp_path, rule):
    pytest.importorskip("obstore", reason="needs pip install 'vipsgate[cloud]'")
    from obstore.store import MemoryStore

    from vipsgate.store.remote.client import StoreClient

    place = MemoryStore()
    here, there, late = (
        instance(tmp_path / city, RemoteCache(StoreClient(place, 10))) for city in ("a", "b", "c")
    )
    await keep(here)
    await keep(there)
    await here.renew(rule)
    assert await found(there)
    await there.look(far=True)
    assert not await found(there)
    assert name(there) == name(here)
    await late.look(far=True)
    rendered = []

    async def make():
        rendered.append(1)
        return Entry("image/png", 0, 3, b"new")

    entry, tier = await late.obtain(name(late), make)
    assert (entry.data, tier, rendered) == (b"new", tiers.MISS, [1])
    # two who write in one moment: who looks next finds that its own is missing, and says it again
    place.put(".purges/rules.json", b"[]")
    await there.look(far=True)
    assert purges.read(bytes(place.get(".purges/rules.json").bytes())) == dict(here.purges.numbers)
    for cache in (here, there, late):
        await cache.close()


async def test_a_key_s_files_are_removed_where_the_folder_is_another(tmp_path):
    """They would come back with their name when the rule is the oldest of a thousand."""
    one = instance(tmp_path)
    await keep(one)
    folder = tmp_path / "photos" / CacheKey("photos", "a/1", "").source
    assert [*folder.iterdir()]
    one.learn({KEY: 5})  # as from a bucket
    await one.look(far=False)
    assert not folder.exists()
    await keep(one)
    await instance(tmp_path).look(far=False)  # the folder has seen it: what is new stays
    assert [*folder.iterdir()]


async def test_what_is_used_since_is_not_swept(tmp_path):
    one = instance(tmp_path)
    await keep(one)
    await one.sweep("photos", "a/1", 1.0)
    assert await found(one)
    await one.sweep("photos", "a/1", 1e12)
    one.memory.clear()
    assert not await found(one)
    await one.sweep("photos", "none", 1e12)


async def test_without_a_disk(tmp_path):
    one = instance(None)
    await keep(one)
    await one.renew(STYLE)
    assert not await found(one)


async def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    one = instance(tmp_path)
    (tmp_path / ".purges").write_text("in the way")
    await keep(one)
    with pytest.raises(ServiceUnavailable, match="cannot take a purge"):
        await one.renew(STYLE)
    assert not await found(one)
    (tmp_path / ".purges").unlink()
    monkeypatch.setattr(tiers, "POLL_INTERVAL", 0.01)
    follow = asyncio.ensure_future(one.follow())  # tries again
    while not (tmp_path / ".purges" / "rules.json").exists():
        await asyncio.sleep(0.01)
    follow.cancel()
    two = instance(tmp_path)
    await two.look(far=False)
    assert two.purges.numbers == one.purges.numbers


async def test_the_record_is_no_derivative(tmp_path):
    """A scan that removes what was not used for longest leaves it where it is."""
    disk = Disk(tmp_path, 1000)
    cache = Cache(Memory(0), disk)
    await cache.renew(STYLE)
    await disk.put(CacheKey("photos", "b", VARIANT), Entry("image/png", 0, 5000, b"x" * 5000))
    await disk._scan()
    assert (tmp_path / ".purges" / "rules.json").exists()
    assert not [*tmp_path.glob("photos/*/*")]
    await cache.close()
