"""Which objects are pictures: each version is read once, a few KB of it."""

import os

import pytest

from vipsgate.delivery.sniffer import Sniffer
from vipsgate.errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from vipsgate.image.formats.codecs import HEAD_BYTES
from vipsgate.store.base import Object, Opened

JPEG, TEXT = b"\xff\xd8\xff\xe0" + bytes(9000), b"hello" * 2000


class Store:
    """Objects by key, here or far away; counts what is read of them."""

    def __init__(self, *, far=False, **objects):
        self.objects, self.far, self.reads = objects, far, []
        self.before_read = lambda: None

    def facts(self, key):
        if key not in self.objects:
            raise NoSuchKey("none")
        data = self.objects[key]
        return Object(len(data), f'"{hash(data)}"', 1.0)

    def ranged(self, bucket):
        return self if self.far else None

    async def stat(self, bucket, key):
        return self.facts(key)

    async def open(self, bucket, key):
        self.reads.append("open")
        descriptor = os.memfd_create("object")
        os.write(descriptor, self.objects[key])
        return Opened(self.facts(key), descriptor)

    async def read(self, bucket, key, found, span):
        self.before_read()
        self.reads.append(len(span))
        if self.facts(key) != found:
            raise PreconditionFailed("another one")

        async def pieces():
            for at in range(0, len(span), 1000):
                yield self.objects[key][at : min(at + 1000, len(span))]

        return pieces()


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(("data", "shown"), [(JPEG, True), (TEXT, False), (b"", False)])
async def test_an_object_is_read_once(far, data, shown):
    store, sniffer = Store(far=far, a=data), Sniffer()
    for _ in range(3):
        assert await sniffer.sniff(store, "b", "a", store.facts("a")) == (store.facts("a"), shown)
    assert store.reads == ([min(len(data), HEAD_BYTES)] if far else ["open"])


@pytest.mark.parametrize("far", [False, True])
async def test_another_version_is_read_anew(far):
    store, sniffer = Store(far=far, a=TEXT), Sniffer()
    await sniffer.sniff(store, "b", "a", store.facts("a"))
    store.objects["a"] = JPEG
    assert (await sniffer.sniff(store, "b", "a", store.facts("a")))[1]
    assert len(store.reads) == 2


@pytest.mark.parametrize("far", [False, True])
async def test_one_that_was_replaced_meanwhile_is_told_of_as_it_is(far):
    store = Store(far=far, a=TEXT)
    before = store.facts("a")
    store.objects["a"] = JPEG
    assert await Sniffer().sniff(store, "b", "a", before) == (store.facts("a"), True)


async def test_an_object_that_keeps_changing_is_read_a_few_times():
    store = Store(far=True, a=TEXT)
    store.before_read = lambda: store.objects.update(a=store.objects["a"] + b"x")
    with pytest.raises(ServiceUnavailable):
        await Sniffer().sniff(store, "b", "a", store.facts("a"))
    assert len(store.reads) < 9


async def test_one_that_is_gone():
    store = Store(far=True, a=TEXT)
    item = store.facts("a")
    del store.objects["a"]
    with pytest.raises(NoSuchKey):
        await Sniffer().sniff(store, "b", "a", item)


async def test_what_is_remembered_is_bounded():
    store, sniffer = Store(**{f"k{n}": TEXT for n in range(9)}), Sniffer(max_entries=3)
    for key in [*store.objects, "k8", "k7"]:
        await sniffer.sniff(store, "b", key, store.facts(key))
    assert len(store.reads) == 9
    await sniffer.sniff(store, "b", "k0", store.facts("k0"))
    assert len(store.reads) == 10


def test_a_file_that_cannot_be_read():
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(ServiceUnavailable):
        Sniffer().sniff_opened("b", "a", Opened(Object(1, '"x"', 1.0), descriptor))
    os.close(descriptor)
