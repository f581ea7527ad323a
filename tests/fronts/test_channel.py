"""Calls between fronts: answered, cancelled, refused, and lost with the front that was called."""

import asyncio
import os
from contextlib import contextmanager

import pytest

from vipsgate import errors
from vipsgate.fronts.channel import BROADCAST_SECONDS, LOST, Channel, FrontLostError, open_sockets


@contextmanager
def channels(count=2):
    """The channels of so many fronts, as if each were a process, and who of them is there."""
    inboxes, outboxes = open_sockets(count)
    there = dict.fromkeys(range(count), True)
    there[count] = True  # the parent, who answers nothing
    result = [Channel(front, inboxes[front], outboxes, there.get) for front in range(count)]
    for one in result:
        one.open()
    try:
        yield result, there, outboxes
    finally:
        for one in result:
            one.close()
        for end in (*inboxes, *outboxes):
            end.close()


def memfd(data):
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return descriptor


async def echo(body, descriptors):
    data = b"".join(os.pread(item, 100, 0) for item in descriptors)
    return {"heard": body}, [memfd(data[::-1])] if data else []


def open_files():
    return len(os.listdir("/proc/self/fd"))


async def test_a_question_and_its_answer_with_files():
    with channels() as ((one, other), _, _):
        before = open_files()
        other.on_call("echo", echo)
        file = memfd(b"abc")
        answer, files = await one.call(1, "echo", {"a": [1, "b"]}, [file])
        assert answer == {"heard": {"a": [1, "b"]}}
        assert os.pread(files[0], 100, 0) == b"cba"
        os.close(file)
        os.close(files[0])
        await asyncio.sleep(0)
        assert open_files() == before


async def test_questions_are_answered_out_of_order():
    with channels() as ((one, other), _, _):

        async def late(body, descriptors):
            await asyncio.sleep(body["seconds"])
            return body, ()

        other.on_call("late", late)
        times = (0.03, 0.0, 0.015)
        answers = await asyncio.gather(*(one.call(1, "late", {"seconds": time}) for time in times))
        assert [answer["seconds"] for answer, _ in answers] == list(times)


async def test_errors_come_back_as_they_were():
    with channels() as ((one, other), _, _):

        async def refuse(body, descriptors):
            raise errors.NoSuchKey("There is none.", extra={"Key": "a"})

        async def fail(body, descriptors):
            raise RuntimeError("a fault")

        other.on_call("refuse", refuse)
        other.on_call("fail", fail)
        with pytest.raises(errors.NoSuchKey) as told:
            await one.call(1, "refuse", {})
        assert told.value.extra == {"Key": "a"}
        with pytest.raises(errors.InternalError):
            await one.call(1, "fail", {})


async def test_a_caller_that_leaves_cancels_the_work():
    with channels() as ((one, other), _, _):
        ends, begun = [], asyncio.Event()

        async def hang(body, descriptors):
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                ends.append(body)
            return {}, ()

        other.on_call("hang", hang)
        asking = asyncio.ensure_future(one.call(1, "hang", {"number": 1}))
        await begun.wait()
        asking.cancel()
        await asyncio.wait([asking])
        while not ends:
            await asyncio.sleep(0.001)
        assert not one._calls


async def test_an_answer_that_comes_as_its_asker_leaves_is_closed(monkeypatch):
    with channels() as ((one, other), _, _):
        other.on_call("echo", echo)
        before, file = open_files(), memfd(b"abc")
        asking = asyncio.ensure_future(one.call(1, "echo", {}, [file]))
        answered = one._replied
        monkeypatch.setattr(one, "_replied", lambda *about: (answered(*about), asking.cancel()))
        await asyncio.wait([asking])
        os.close(file)
        assert asking.cancelled()
        assert open_files() == before


async def test_the_called_front_ends():
    with channels(3) as ((one, other, third), there, _):

        async def hang(body, descriptors):
            await asyncio.sleep(60)
            return {}, ()

        for channel in (other, third):
            channel.on_call("hang", hang)
        asking = asyncio.ensure_future(one.call(1, "hang", {}))
        staying = asyncio.ensure_future(one.call(2, "hang", {}))
        await asyncio.sleep(0.01)
        there[1] = False
        third.notify(0, LOST, {"front": 1})
        with pytest.raises(FrontLostError):
            await asking
        with pytest.raises(FrontLostError):
            await one.call(1, "hang", {})
        assert not staying.done()
        staying.cancel()


async def test_an_answer_to_an_earlier_process_in_its_place_is_dropped():
    with channels() as ((one, other), _, _):
        other.on_call("echo", echo)
        before = open_files()
        one._me = [0, 1]  # who asked with this number has ended
        asking = asyncio.ensure_future(one.call(1, "echo", {}))
        await asyncio.sleep(0)
        one._me = [0, 2]
        await asyncio.sleep(0.02)
        assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])
        assert open_files() == before


async def test_all_others_have_heard():
    with channels(4) as (all_of_them, there, _):
        heard = []
        for front, channel in enumerate(all_of_them):

            async def hear(body, descriptors, front=front):
                await asyncio.sleep(0.001)
                heard.append(front)
                return {"front": front}, ()

            channel.on_call("hear", hear)
        there[2] = False
        async with asyncio.timeout(BROADCAST_SECONDS / 2):
            await all_of_them[0].broadcast("hear", {})
            assert sorted(heard) == [1, 3]
            answers = await all_of_them[1].gather("hear")
        assert sorted(body["front"] for body, _ in answers) == [0, 3]


async def test_one_that_hangs_holds_nobody_up_for_long(monkeypatch):
    monkeypatch.setattr("vipsgate.fronts.channel.BROADCAST_SECONDS", 0.05)
    with channels() as ((one, other), _, _):

        async def hang(body, descriptors):
            await asyncio.sleep(60)
            return {}, ()

        other.on_call("hang", hang)
        async with asyncio.timeout(5):
            await one.broadcast("hang", {})
            assert await one.gather("hang") == []


async def test_what_a_full_box_does_not_take_comes_later_and_in_order():
    with channels() as ((one, other), _, _):
        got = []
        asyncio.get_running_loop().remove_reader(other._inbox)  # it is busy
        other.on_notice("tell", lambda body, files: got.append((body["number"], len(files))))
        file = memfd(b"x")
        for number in range(500):
            one.notify(
                1, "tell", {"number": number, "text": "x" * 2000}, [file] if number % 2 else []
            )
        os.close(file)
        assert one._unsent
        other.open()
        while len(got) < 500:
            await asyncio.sleep(0.001)
        assert got == [(number, number % 2) for number in range(500)]
        assert not one._unsent
