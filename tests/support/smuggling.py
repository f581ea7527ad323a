"""Requests that hide another in their body (RFC 9112, 11.2)."""

import pytest

HIDDEN = b"GET /open/hidden HTTP/1.1\r\nHost: a\r\n\r\n"  # which nobody has sent as a request
CODINGS = [  # headers that somebody might take for: the body is chunked
    *("Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding: CHUNKED"),
    *("Transfer-Encoding: xchunked", "Transfer-Encoding: chunke", "Transfer-Encoding: 'chunked'"),
    *(
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "A: b\r\n\tTransfer-Encoding: x",
    ),
    *(
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked\t",
        "Transfer-Encoding:  chunked ",
    ),
    *(
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding:\r\n chunked",
    ),
    *("Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked"),
    *(
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: chunked,",
    ),
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "A: b\nTransfer-Encoding: chunked",
    "A: b\rTransfer-Encoding: chunked",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Connection: close\r\nTransfer-Encoding: chunked",
]
NO_CODINGS = [  # and that say nothing of the kind
    *("Transfer_Encoding: chunked", "TE: chunked", "X-Transfer-Encoding: chunked"),
    *("Content-Encoding: chunked", "Transfer-Encodingg: chunked", "Transfer.Encoding: chunked"),
]
LENGTHS = [  # of a body of five bytes, which somebody might read otherwise
    *("Content-Length: 5\r\nContent-Length: {n}", "Content-Length: {n}\r\nContent-Length: 5"),
    *(
        "Content-Length: 5, {n}",
        "Content-Length: 5,{n}",
        "Content-Length: 5 {n}",
        "Content-Length: +{n}",
    ),
    *(
        "Content-Length: 0x{n}",
        "Content-Length: -{n}",
        "Content-Length: {n}.0",
        "Content-Length: {n}x",
    ),
    *(
        "Content-Length:\t{n}",
        "Content-Length : {n}",
        "Content-Length\0: {n}",
        " Content-Length: {n}",
    ),
    *("A: b\nContent-Length: {n}", "A: b\r\n Content-Length: {n}", "Content-Length:\r\n {n}"),
    "Content-Length: 00000000000000000000000{n}",
]
CHUNKS = [  # bodies whose end somebody might see elsewhere; the request hides in one
    *(
        "0\r\n\r\n{hidden}",
        "0\n\n{hidden}",
        "5\nhello\n0\n\n{hidden}",
        "5\r\nhello0\r\n\r\n{hidden}",
    ),
    *("0 \r\n\r\n{hidden}", " 0\r\n\r\n{hidden}", "+0\r\n\r\n{hidden}", "0x0\r\n\r\n{hidden}"),
    *("{size:x};a=b\r\n{hidden}\r\n0\r\n\r\n", "{size:x};\n{hidden}\r\n0\r\n\r\n"),
    *("{size:x} ;a\r\n{hidden}\r\n0\r\n\r\n", "{size:x}\r{hidden}\r\n0\r\n\r\n"),
    *("10000000000000000\r\n{hidden}", "{size:020x}\r\n{hidden}\r\n0\r\n\r\n", "-1\r\n{hidden}"),
    *(
        "0\r\nContent-Length: 9\r\n\r\n{hidden}",
        "0\r\nA: b\r\n{hidden}",
        "0\r\n{hidden}",
        "0;\r\n\r\n{hidden}",
    ),
    *("\r\n0\r\n\r\n{hidden}", "", "{hidden}", "3\r\nhello\r\n0\r\n\r\n{hidden}"),
]


def _smuggling() -> dict[str, bytes]:
    """What is sent, as a name -> all of it: a PUT of ``/open/seen``, and what hides in its body."""
    hidden = HIDDEN.decode()

    def put(headers: str, body: str, version: str = "1.1") -> bytes:
        text = f"PUT /open/seen HTTP/{version}\r\nHost: a\r\n{headers}\r\n\r\n{body}"
        return text.encode("latin-1")

    ending = f"0\r\n\r\n{hidden}"  # it is behind the chunks, inside of the length
    inside = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"  # inside of a chunk, behind the length
    short = len(f"{len(hidden):x}\r\n")
    rows = {}
    for coding in CODINGS:
        rows[f"length, {coding}"] = put(f"Content-Length: {len(ending)}\r\n{coding}", ending)
        rows[f"{coding}, length"] = put(f"{coding}\r\nContent-Length: {len(ending)}", ending)
        rows[f"short length, {coding}"] = put(f"Content-Length: {short}\r\n{coding}", inside)
        rows[f"{coding}, no length"] = put(coding, inside)
        rows[f"1.0, {coding}"] = put(f"Connection: keep-alive\r\n{coding}", inside, "1.0")
    for coding in NO_CODINGS:
        rows[f"length, {coding}"] = put(f"Content-Length: {len(ending)}\r\n{coding}", ending)
    for length in LENGTHS:
        rows[length] = put(length.format(n=5 + len(hidden)), f"hello{hidden}")
    for body in CHUNKS:
        body = body.format(hidden=hidden, size=len(hidden))
        rows[f"chunks {body}"] = put("Transfer-Encoding: chunked", body)
        rows[f"length 5, chunks {body}"] = put(
            "Content-Length: 5\r\nTransfer-Encoding: chunked", body
        )
    rows["LF"] = put("Content-Length: 5", f"hello{hidden}").replace(b"\r\n", b"\n")
    body = put(f"Content-Length: {len(hidden)}", hidden)
    rows["GET with a body"] = body.replace(b"PUT /open/seen", b"GET /open/none")
    return rows


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``smuggling``: each of the rows."""
    if "smuggling" in metafunc.fixturenames:
        rows = _smuggling()
        metafunc.parametrize("smuggling", rows.values(), ids=[ascii(name)[1:-1] for name in rows])
