"""Whose turn it is, by the seconds that each kind has been given."""

import pytest

from vipsgate.renderers.fair_share import FairShare

# what begins: a kind and its seconds, and the kinds that wait besides -> whose turn it is then
ORDERS = [
    ("", "ab"),
    ("a1+b", "ba"),
    ("a1+b b2+a", "ab"),
    ("a1+b b2+a a0.5+b", "ab"),
    ("a1+b b2+a a2+b", "ba"),
    ("a1 a1 a1 a1", "ba"),  # of b nothing waited
    ("a1 a1 a1 a1 b2+a", "ab"),  # so it has one turn, and not those of before
    ("a1+b a1+b a1+b b2+a", "ba"),  # b has waited all the time
    ("b9 b9 b9 a1+b", "ab"),
]


@pytest.mark.parametrize(("begun", "order"), ORDERS)
def test_whose_turn_it_is(begun: str, order: str) -> None:
    share = FairShare("ab")
    for one in begun.split():
        job, _, waiting = one.partition("+")
        share.begun(job[0], float(job[1:]), waiting)
    assert "".join(share.order()) == order
    assert share.lead(order[0], order[1]) <= 0 <= share.lead(order[1], order[0])
