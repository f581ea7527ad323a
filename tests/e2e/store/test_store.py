"""What every store does, with real ones over HTTP."""

import pytest
from support.store_conformance import (
    AnyListing,
    EveryStore,
    FlatNames,
    OrderedListing,
    keys,
    listed,  # noqa: F401
    store,  # noqa: F401
)

from vipsgate.store.remote.client import StoreClient, connect
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.store import CloudStore


@pytest.mark.parametrize("store", ["moto", "azurite", "seaweedfs"], indirect=True)
class TestEveryStore(EveryStore):
    pass


@pytest.mark.parametrize("store", ["moto"], indirect=True)
class TestFlatNames(FlatNames):
    pass


@pytest.mark.parametrize("store", ["moto", "azurite"], indirect=True)
class TestOrderedListing(OrderedListing):
    pass


@pytest.mark.parametrize("store", ["seaweedfs"], indirect=True)
class TestAnyListing(AnyListing):
    pass


@pytest.mark.parametrize("kind", ["moto", "seaweedfs"])
async def test_folders_that_other_clients_have_put_are_left_out(request, kind):
    """obstore tells of their ``dir/`` as ``dir``, and there is no such object."""
    server = request.getfixturevalue(kind)
    for name in ("foreign/dir/", "foreign/dir/a", "foreign/empty"):
        server.client.put_object(Bucket=server.bucket, Key=name, Body=b"")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env().items():
            patch.setenv(name, value)
        client = StoreClient(connect(f"s3://{server.bucket}/foreign", 60), 60)
    origin = CloudStore(RemoteObjects(client, 1, 0), kind="s3", bucket="photos")
    for delimiter, wanted in (("", ["dir/a", "empty"]), ("/", ["dir/", "empty"])):
        assert await keys(origin, delimiter=delimiter, limit=1) == wanted
