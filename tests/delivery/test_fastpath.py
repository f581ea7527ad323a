"""Requests that are known by the bytes of their head, before anything is parsed."""

import pytest

from vipsgate.delivery.fastpath import FastPath

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
