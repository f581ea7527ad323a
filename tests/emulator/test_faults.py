"""Which requests a rule is for, and how many it meets."""

import pytest
from pydantic import ValidationError

from vipsgate.emulator.faults import Fault, Faults
from vipsgate.emulator.requests import Request


def request(text):
    """``PUT photos/a.jpg PutObject`` as a request."""
    method, path, call = text.split()
    bucket, _, key = path.partition("/")
    return Request(method, bucket, key, call, [], {})


PUT, GET, LIST = map(
    request,
    ("PUT photos/dir/a.jpg PutObject", "GET photos/b.txt GetObject", "GET photos ListObjects"),
)
MATCHES = {  # rule -> whether it is for each of the three
    (): (True, True, True),
    (("method", "put"),): (True, False, False),
    (("key", "*.jpg"),): (True, False, False),
    (("key", "?*"),): (True, True, False),
    (("key", "B.txt"),): (False, False, False),
    (("bucket", "photo?"),): (True, True, True),
    (("bucket", "photo"),): (False, False, False),
    (("call", "ListObjects"),): (False, False, True),
    (("method", "GET"), ("key", "*.jpg")): (False, False, False),
}


@pytest.mark.parametrize(("rule", "expected"), MATCHES.items(), ids=str)
def test_which_requests_a_rule_is_for(rule, expected):
    fault = Fault(status=503, **dict(rule))
    assert tuple(fault.matches(item) for item in (PUT, GET, LIST)) == expected


@pytest.mark.parametrize(
    ("skip", "count", "expected"),
    [(0, None, "11111"), (0, 2, "11000"), (2, None, "00111"), (1, 2, "01100"), (9, 1, "00000")],
)
def test_how_many_a_rule_meets(skip, count, expected):
    faults = Faults()
    number = faults.add(Fault(status=503, key="*.jpg", skip=skip, count=count))
    met = ""
    for _ in range(5):
        assert faults.meet(GET) is None
        met += str(int(faults.meet(PUT) is not None))
    assert met == expected
    assert [hits for _, _, hits in faults.hits()] == [expected.count("1")]
    assert faults.remove(number)
    assert not faults.remove(number)


def test_a_request_meets_the_first_rule_that_is_not_over():
    faults = Faults()
    faults.add(Fault(status=500, count=1))
    faults.add(Fault(status=502, count=1))
    faults.add(Fault(latency=1))
    met = [faults.meet(request("GET a/b GetObject")) for _ in range(4)]
    assert [fault.status for fault in met] == [500, 502, 0, 0]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"status": 503}, "ServiceUnavailable"),
        ({"status": 500}, "InternalError"),
        ({"status": 429}, "TooManyRequests"),
        ({"status": 404, "code": "NoSuchBucket"}, "NoSuchBucket"),
    ],
    ids=str,
)
def test_an_error_has_a_code(rule, code):
    assert Fault(**rule).oss_code() == code


@pytest.mark.parametrize(
    "rule", [{}, {"status": 503, "cut": "answer"}, {"status": 200}, {"cut": -1}]
)
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(ValidationError):
        Fault(**rule)
