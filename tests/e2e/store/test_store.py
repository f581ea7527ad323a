"""What every store does, with real ones over HTTP."""

import pytest
from support.store_conformance import (
    AnyListing,
    EveryStore,
    FlatNames,
    OrderedListing,
    listed,  # noqa: F401
    store,  # noqa: F401
)


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
