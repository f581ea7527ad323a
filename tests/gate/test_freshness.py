"""What a cache is told of answers that are not fresh any more."""

import pytest

from vipsgate.buckets import Bucket
from vipsgate.gate.freshness import extended

BOTH = ", stale-while-revalidate=30, stale-if-error=600"


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("max-age=60", BOTH),
        ("public, MAX-AGE=60", BOTH),
        ("s-maxage=60", BOTH),
        ("private, max-age=60", BOTH),
        ("max-age=60, stale-while-revalidate=5", ", stale-if-error=600"),
        *((said, "") for said in ("", "private", "public", "no-cache", "immutable")),
        ("max-age=60, must-revalidate", ""),
        ("max-age=60, proxy-revalidate", ""),
        ("max-age=60, no-store", ""),
        ('no-cache="set-cookie", max-age=60', ""),
    ],
)
def test_extended(said, more):
    bucket = Bucket(stale_while_revalidate=30, stale_if_error=600)
    assert extended(said, bucket) == said + more
    assert extended(said, Bucket()) == said
