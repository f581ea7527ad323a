"""The messages between the front and a renderer, over a real socket pair."""

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vipsgate import errors
from vipsgate.image.cost import Cost
from vipsgate.image.search import Choice
from vipsgate.worker import protocol
from vipsgate.worker.protocol import Attachment, Job

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


@pytest.mark.parametrize("count", [1, 2, protocol.MAX_DESCRIPTORS])
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
        b'{"id":1}' + b" " * protocol.MAX_BYTES,
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
    socket.send_fds(pair[0], [b"{}"], [memory] * (2 * protocol.MAX_DESCRIPTORS))
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


# -- jobs and replies ------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def travelled(pair: Pair, message: protocol.Message, descriptors: list[int]) -> protocol.Message:
    """The message as it arrives; its descriptors come back as they were sent."""
    protocol.send(pair[0], message, descriptors)
    found, received = protocol.receive(pair[1])
    assert found is not None
    assert len(received) == len(descriptors)
    protocol.close(received)
    return found


@st.composite
def batches(draw: st.DrawFn) -> protocol.Batch:
    """Batches whose descriptors are as many as one message may carry, or fewer."""
    if draw(st.booleans()):
        return protocol.Batch(draw(st.integers(1, 1 << 40)), (Job("paint", draw(TEXTS)),))
    jobs, kinds = [], st.sampled_from(("render", "explain"))
    for _ in range(draw(st.integers(1, 8))):
        etags = draw(st.lists(TEXTS, max_size=3))
        items = tuple(Attachment(etag, 2) for etag in etags)
        jobs.append(Job(draw(kinds), draw(TEXTS), 1, items))
    budget = draw(st.none() | st.just((0.25, 1 << 27)))
    return protocol.Batch(draw(st.integers(1, 1 << 40)), tuple(jobs), budget)


@given(batch=batches())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_is_the_same_on_the_other_side(pair: Pair, batch: protocol.Batch) -> None:
    message, descriptors = batch.encode()
    assert protocol.Batch.decode(travelled(pair, message, descriptors), descriptors) == batch


def test_jobs_of_a_batch_have_one_source_and_each_its_attachments() -> None:
    jobs = (
        Job("render", "a", 7, (Attachment("x", 11),)),
        Job("render", "b", 8),
        Job("render", "c", 9, (Attachment("y", 12), Attachment("z", 13))),
    )
    message, descriptors = protocol.Batch(5, jobs).encode()
    assert descriptors == [7, 11, 12, 13]
    found = protocol.Batch.decode(message, [3, 4, 5, 6]).jobs
    assert [job.source for job in found] == [3, 3, 3]
    assert [[item.descriptor for item in job.attachments] for job in found] == [[4], [], [5, 6]]


def test_a_job_to_paint_takes_no_descriptor() -> None:
    assert protocol.Batch(1, (Job("paint", "photo-9x9-1.png"),)).encode()[1] == []


OUTCOMES: list[protocol.Outcome] = [
    protocol.Output("image/jpeg", 17, 5, 0.25, 0.125, 3, ("limit=source", "font=stand-in")),
    Cost(0.5, 1 << 30, 12),
    protocol.Output("image/webp", 17, 5, 0.25, choice=Choice(76, 4)),
    protocol.Output("image/webp", 17, 5, 0.25, master=6),
]
OUTCOME_IDS = ["output", "cost", "quality", "master"]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=OUTCOME_IDS)
def test_a_reply_is_the_same_on_the_other_side(pair: Pair, outcome: protocol.Outcome) -> None:
    reply = protocol.Reply(9, 1 << 26, outcome)
    message, descriptors = reply.encode()
    memory = memfd(b"")
    found = travelled(pair, message, [memory] * len(descriptors))
    assert protocol.Reply.decode(found, descriptors, 9) == reply
    os.close(memory)


@pytest.mark.parametrize("cls", errors.OssError.__subclasses__(), ids=lambda cls: cls.__name__)
def test_an_error_is_the_same_on_the_other_side(pair: Pair, cls: type[errors.OssError]) -> None:
    error = cls("中文", ec="1", extra={"Key": "k"}, headers={"Retry-After": "1"})
    message, descriptors = protocol.Reply(9, 0, error).encode()
    found = protocol.Reply.decode(travelled(pair, message, descriptors), [], 9).outcome
    assert type(found) is cls
    assert vars(found) == vars(error)


OUTPUT = protocol.Reply(9, 1, OUTCOMES[0]).encode()[0]
COST = protocol.Reply(9, 1, OUTCOMES[1]).encode()[0] | {"cost": [0.5, 1, 1]}
ERROR = protocol.Reply(9, 1, errors.NoSuchKey("m")).encode()[0]
# what a worker that is taken over may send: a message, and how many descriptors come with it
WRONG = {
    "empty": ({}, 0),
    "another job's": (OUTPUT | {"id": 8}, 1),
    "true for a number": (OUTPUT | {"id": 9, "size": True}, 1),
    "no rss": ({name: value for name, value in OUTPUT.items() if name != "rss"}, 1),
    "rss is a text": (OUTPUT | {"rss": "1"}, 1),
    "no type": ({name: value for name, value in OUTPUT.items() if name != "type"}, 1),
    "a result without descriptor": (OUTPUT, 0),
    "a result with three": (OUTPUT, 3),
    "a quality that is a text": (OUTPUT | {"choice": ["76", 4]}, 1),
    "a quality of 101": (OUTPUT | {"choice": [101, 4]}, 1),
    "a quality without its encodings": (OUTPUT | {"choice": [76]}, 1),
    "a cost with a descriptor": (COST, 1),
    "a cost below nothing": (COST | {"cost": [0.5, -1, 1]}, 0),
    "a cost of two": (COST | {"cost": [0.5, 1]}, 0),
    "a cost of texts": (COST | {"cost": "abc"}, 0),
    "a cost that is whole": (COST | {"cost": [1, 1, 1]}, 0),
    "an error with a descriptor": (ERROR, 1),
    "an error that is a number": (ERROR | {"error": 7}, 0),
    "an error without code": (ERROR | {"error": {"message": "m"}}, 0),
    "a header that is a number": (
        ERROR | {"error": ERROR["error"] | {"headers": {"Retry-After": 1}}},
        0,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_reply_is_refused(name: str) -> None:
    message, count = WRONG[name]
    for good, descriptors in ((OUTPUT, [5]), (COST, []), (ERROR, [])):
        protocol.Reply.decode(good, descriptors, 9)  # these alone are right
    with pytest.raises(ValueError, match=r"^(not |a descriptor)"):
        protocol.Reply.decode(message, [5] * count, 9)


@given(
    message=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    ).flatmap(
        lambda value: st.dictionaries(
            st.sampled_from([*OUTPUT, "cost", "error"]), st.just(value) | st.integers()
        )
    ),
    count=st.integers(0, 3),
)
def test_any_message_is_a_reply_or_refused(message: protocol.Message, count: int) -> None:
    try:
        reply = protocol.Reply.decode(message, [5] * count, 9)
    except ValueError:
        return
    assert reply.number == 9
