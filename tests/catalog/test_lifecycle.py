"""Which uploads a rule aborts, and when; what stores do is in ``support/store_conformance.py``."""

import asyncio

import pytest
from pydantic import ValidationError

from vipsgate.buckets import Bucket, LifecycleRule
from vipsgate.catalog import lifecycle, uploads
from vipsgate.catalog.documents import Documents
from vipsgate.catalog.registry import Registry
from vipsgate.image.config import Limits
from vipsgate.store.base import PLAIN
from vipsgate.store.local.store import LocalStore

DAY = 86_400
NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z
BEFORE = {"abort_before": "2026-01-01T00:00:00.000Z"}
DUE = [  # key, rule, begun, now, whether the upload is due
    ("a", {"abort_days": 7}, 0, 7 * DAY - 1, False),
    ("a", {"abort_days": 7}, 0, 7 * DAY, True),
    ("a", {"abort_days": 7, "enabled": False}, 0, 70 * DAY, False),
    ("a/b", {"abort_days": 1, "prefix": "a/"}, 0, DAY, True),
    ("a", {"abort_days": 1, "prefix": "a/"}, 0, DAY, False),
    ("a", {"abort_days": 1}, 5, 0, False),
    ("a", BEFORE, NEW_YEAR - 1, NEW_YEAR, True),
    ("a", BEFORE, NEW_YEAR, NEW_YEAR + 9, False),
]
REFUSED = [
    {},
    {"abort_days": 1, **BEFORE},
    {"abort_days": -1},
    {"abort_before": "2026-01-01"},
    {"abort_before": "2026-01-01T00:00:00.000"},
    {"abort_before": "2026-01-01T12:00:00.000Z"},
    {"abort_before": "soon"},
    {"abort_days": 1, "expire_days": 1},
]


@pytest.mark.parametrize(("key", "rule", "begun", "now", "due"), DUE)
def test_which_uploads_are_due(key, rule, begun, now, due):
    assert LifecycleRule(**rule).is_due(key, begun, now) == due


@pytest.mark.parametrize("rule", REFUSED, ids=str)
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(ValidationError):
        LifecycleRule(**rule)


def test_two_rules_have_two_ids():
    with pytest.raises(ValidationError, match="2 rules have the id 'a'"):
        Bucket(lifecycle=({"id": "a", "abort_days": 1}, {"id": "a", "abort_days": 2}))
    assert len(Bucket(lifecycle=({"abort_days": 1}, {"abort_days": 2})).lifecycle) == 2


@pytest.fixture
async def store(tmp_path):
    made = LocalStore(tmp_path)
    for bucket in ("photos", "other"):
        await made.create(bucket)
        await uploads.begin(made, bucket, "old", PLAIN, NEW_YEAR)
        await uploads.begin(made, bucket, "new", PLAIN, NEW_YEAR + DAY)
    return made


async def keys(store, bucket):
    return sorted([upload.key async for upload in uploads.under_way(store, bucket)])


async def test_only_buckets_with_rules_are_swept(store):
    documents = Documents(store, Limits())
    await documents.change("photos", lambda _: Bucket(lifecycle=({"abort_days": 1},)))
    rules = lifecycle.rules_of(Registry(store, documents))
    assert rules.keys() == {"photos"}
    assert await lifecycle.sweep(store, rules, NEW_YEAR + DAY) == 1
    assert await keys(store, "photos") == ["new"]
    assert await keys(store, "other") == ["new", "old"]


async def test_any_of_several_rules_will_do(store):
    rules = (
        LifecycleRule(prefix="ol", abort_days=1),
        LifecycleRule(prefix="n", abort_before="2026-01-03T00:00:00.000Z"),
    )
    assert await lifecycle.sweep(store, {"photos": rules}, NEW_YEAR + DAY) == 2
    assert await keys(store, "photos") == []


async def test_many_may_sweep_at_once(store):
    rules = {"photos": (LifecycleRule(abort_days=1),)}
    await asyncio.gather(*(lifecycle.sweep(store, rules, NEW_YEAR + DAY) for _ in range(5)))
    assert await keys(store, "photos") == ["new"]
    page = await store.list(".vipsgate", prefix="uploads/photos/", limit=9)
    assert len(page.objects) == 1


async def test_it_goes_on_by_itself(store, monkeypatch):
    monkeypatch.setattr(lifecycle, "POLL_INTERVAL", 0.005)
    documents = Documents(store, Limits())
    await documents.change("photos", lambda _: Bucket(lifecycle=({"abort_days": 1},)))
    now = [NEW_YEAR]
    task = asyncio.create_task(lifecycle.follow(store, Registry(store, documents), lambda: now[0]))
    try:
        await asyncio.sleep(0.05)
        assert await keys(store, "photos") == ["new", "old"]
        now[0] += DAY
        async with asyncio.timeout(5):
            while await keys(store, "photos") != ["new"]:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
