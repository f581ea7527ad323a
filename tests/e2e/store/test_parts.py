"""A large object is put in parts; the smaller bound is the test's own."""

import hashlib
import os

import pytest
from support.store_conformance import content, put

from vipsgate.errors import PreconditionFailed
from vipsgate.store.base import PLAIN, Properties
from vipsgate.store.remote import store as cloud
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.store import CloudStore


@pytest.mark.parametrize("kind", ["moto", "azurite", "seaweedfs"])
async def test_what_is_put_in_parts(stores, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cloud, "ONE_PUT", 1 << 20)
    store = stores(kind)(tmp_path)
    await store.create("photos")
    data = os.urandom(9 << 20)
    made = await put(store, "large", data, Properties("a/b", "private"), expected="")
    assert made.etag == f'"{hashlib.md5(data).hexdigest().upper()}"'
    assert made.properties == Properties("a/b", "private")
    assert await content(store, "large") == data
    with pytest.raises(PreconditionFailed):
        await put(store, "large", data, expected="")
    told = await store.describe("photos", "large", PLAIN)
    assert (told.etag, told.crc) == (made.etag, made.crc)
    # a store that has just come looks at what a listing cannot tell
    again = CloudStore(RemoteObjects(store._objects.client, 0, 0), kind=store._kind)
    listed = (await again.list("photos", limit=9)).objects
    assert listed == [("large", told)]
