"""The messages between the front and a renderer, over a real socket pair."""

import os
import socket
from collections.abc import Iterator

import pytest

from vipsgate.worker import protocol

Pair = tuple[socket.socket, socket.socket]


def open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


def memfd(text: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, text)
    return descriptor


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, protocol.KIND)
    with one, other:
        yield one, other


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"id": 1, "process": "image/resize,w_1|image/format,png"},
        {"error": {"code": "NoSuchKey", "message": 'a "中文" \x00 \n message', "extra": {}}},
        {"number": [1.5, 2**53, None, True]},
        {"process": "w" * 32_768},
    ],
    ids=str,
)
def test_message_arrives_as_it_was(pair: Pair, message: dict[str, object]) -> None:
    protocol.send(pair[0], message, [])
    assert protocol.receive(pair[1]) == (message, [])


def test_messages_stay_apart(pair: Pair) -> None:
    for number in range(5):
        protocol.send(pair[0], {"id": number}, [])
    assert [protocol.receive(pair[1])[0] for _ in range(5)] == [{"id": n} for n in range(5)]


@pytest.mark.parametrize("count", [1, 2, protocol.MOST_DESCRIPTORS])
def test_descriptors_arrive_in_order_and_stay_the_senders(pair: Pair, count: int) -> None:
    sent = [memfd(b"%d" % number) for number in range(count)]
    protocol.send(pair[0], {}, sent)
    _, got = protocol.receive(pair[1])
    assert [os.pread(descriptor, 9, 0) for descriptor in got] == [b"%d" % n for n in range(count)]
    assert not set(sent) & set(got)
    assert not any(os.get_inheritable(descriptor) for descriptor in got)
    protocol.close(got)
    assert os.pread(sent[0], 9, 0) == b"0"
    protocol.close(sent)


def test_other_side_gone(pair: Pair) -> None:
    pair[0].close()
    assert protocol.receive(pair[1]) == (None, [])
    with pytest.raises(BrokenPipeError):
        protocol.send(pair[1], {}, [])


def test_nothing_there_yet(pair: Pair) -> None:
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        protocol.receive(pair[1])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"no JSON",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b'{"id":1',
        b'{"id":1}' + b" " * protocol.MOST_BYTES,
    ],
    ids=lambda data: data[:12].decode(errors="replace"),
)
def test_garbage_is_refused_and_its_descriptors_are_closed(pair: Pair, data: bytes) -> None:
    memory = memfd(b"")
    before = open_now()
    socket.send_fds(pair[0], [data], [memory])
    with pytest.raises(ValueError, match=r".*"):
        protocol.receive(pair[1])
    assert open_now() == before
    os.close(memory)


def test_more_descriptors_than_are_taken(pair: Pair) -> None:
    memory = memfd(b"")
    before = open_now()
    socket.send_fds(pair[0], [b"{}"], [memory] * (2 * protocol.MOST_DESCRIPTORS))
    with pytest.raises(ValueError, match="larger than any of ours"):
        protocol.receive(pair[1])
    assert open_now() == before
    os.close(memory)


def test_an_empty_message_is_an_end_and_leaves_no_descriptor(pair: Pair) -> None:
    memory = memfd(b"")
    before = open_now()
    socket.send_fds(pair[0], [b""], [memory])
    message, descriptors = protocol.receive(pair[1])
    assert message is None
    protocol.close(descriptors)
    assert open_now() == before
    os.close(memory)


def test_closing_twice_is_harmless() -> None:
    memory = memfd(b"")
    protocol.close([memory])
    protocol.close([memory])
