"""Requests that are known by the bytes of their head, before anything is parsed."""

import itertools
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.delivery import fastpath as fast
from vipsgate.delivery.fastpath import FastPath, Known
from vipsgate.observe.record import RequestRecord

PATH = "/photos/cat.jpg?x-oss-process=image/resize,w_9"
LINE = f"GET {PATH} HTTP/1.1\r\n"
HEADS = {
    LINE + "Host: a.example:8080\r\n\r\n": True,
    LINE + "Accept: */*\r\nhost:a.example:8080\r\n\r\n": True,
    LINE + "HOST:\t a.example:8080 \r\nAccept: */*\r\n\r\n": True,
    LINE.replace("1.1", "1.0") + "Host: a.example:8080\r\n\r\n": True,
    LINE + "Host: b.example\r\n\r\n": False,
    LINE + "X-Host: a.example:8080\r\n\r\n": False,
    LINE + "Accept: */*\r\n\r\n": False,
    LINE.replace("GET", "PUT") + "Host: a.example:8080\r\n\r\n": False,
    LINE.replace("w_9", "w_8") + "Host: a.example:8080\r\n\r\n": False,
    LINE.replace(" HTTP", "  HTTP") + "Host: a.example:8080\r\n\r\n": False,
    "GET " + PATH: False,
    "": False,
}


@pytest.mark.parametrize("head", HEADS)
def test_heads(head):
    fastpath = FastPath(None, None, None)
    assert not fastpath.knows(head.encode())
    fastpath._known[PATH, "a.example:8080"] = None
    assert fastpath.knows(head.encode()) is HEADS[head]


# --- answers that depend on Accept


class Fake:
    """Store, registry and cache: nothing has changed, and every picture is there."""

    version = (1, 1)
    purges = SimpleNamespace(version=7)

    def fingerprint(self, bucket, key, aliases=False):
        return "as it was"

    def stale_ok(self, bucket):
        return False

    def get_nowait(self, cache_key, most):
        return Entry("image/webp", 0, 1, cache_key.variant.encode()), "memory"


def known(accept, taken, offered=("avif", "webp"), version=(*Fake.version, 7)):
    key = CacheKey("photos", "cat.jpg", accept)
    marks = (("photos", "cat.jpg", "as it was"),)
    about = "cat.jpg", "image/resize,w_9", "", False, (), None
    return Known(version, marks, key, {}, None, *about, offered, taken)


def ask(fastpath, accept):
    headers = {"Host": "a.example"} | ({"Accept": accept} if accept is not None else {})
    request = make_mocked_request("GET", PATH, CIMultiDict(headers))
    answer = fastpath.find(request, RequestRecord(0.0, "1"))
    return answer and answer[0].data.decode()


BOTH, WEBP = ("avif", "webp"), ("webp",)


def filled(*rows):
    """As if these clients had been answered, in this order."""
    fake = Fake()
    fastpath = FastPath(fake, fake, fake)
    for accept, taken in rows:
        one = known(accept, taken)
        fastpath._known[PATH, "a.example"] = one
        fastpath._known[PATH, "a.example", *taken, fast.OTHERS] = one
    return fastpath


@pytest.mark.parametrize("rows", [*itertools.permutations([("b", BOTH), ("w", WEBP), ("n", ())])])
def test_each_class_is_known_by_itself(rows):
    fastpath = filled(*rows)
    for _ in range(2):
        assert ask(fastpath, "image/avif,image/webp,*/*;q=0.8") == "b"
        assert ask(fastpath, "image/webp,*/*") == ask(fastpath, "image/avif;q=0,image/webp") == "w"
        assert ask(fastpath, "*/*") == ask(fastpath, None) == "n"
        assert ask(fastpath, "image/avif") is None  # nobody has asked so


def test_a_client_of_other_formats_gets_no_remembered_answer():
    fastpath = filled(("b", BOTH))
    assert ask(fastpath, "*/*") is None
    assert ask(fastpath, "image/webp") is None
    assert ask(fastpath, "image/webp,image/avif") == "b"


def test_each_class_is_forgotten_when_documents_change():
    fastpath = filled(("w", WEBP), ("b", BOTH))
    fastpath._registry.version = (2, 1)
    assert ask(fastpath, "image/webp") is None
    assert ask(fastpath, "image/avif,image/webp") is None
    fastpath._registry.version = Fake.version  # they are not looked for under it again
    assert ask(fastpath, "image/webp") is None


def test_an_answer_for_all_is_known_to_all():
    fake = Fake()
    fastpath = FastPath(fake, fake, fake)
    fastpath._known[PATH, "a.example"] = known("all", (), ())
    assert {ask(fastpath, text) for text in ("image/avif", "*/*", None)} == {"all"}


@pytest.mark.parametrize(
    ("accept", "kept"), [("image/avif,image/webp", BOTH), ("image/webp", WEBP), ("*/*", ())]
)
def test_what_is_asked_for_again_is_forgotten_last(accept, kept):
    fastpath = filled(("w", WEBP), ("n", ()), ("b", BOTH))
    fastpath._known["/else", "a.example"] = known("else", (), ())
    assert ask(fastpath, accept)
    newest = [*fastpath._known][-2:]
    assert newest[0] == (PATH, "a.example") or newest[1] == (PATH, "a.example")
    if kept != BOTH:  # the answer that the first of these entries has
        assert newest[1] == (PATH, "a.example", *kept, fast.OTHERS)
