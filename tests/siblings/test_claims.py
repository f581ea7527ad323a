"""Who makes what: one claim for a name, given back by whoever had it, or for one that has ended."""

from vipsgate.siblings.claims import Claims, release
from vipsgate.siblings.table import CLAIMS, Table


def fronts(count):
    table = Table(count)
    return table, [Claims(table, front) for front in range(count)]


def test_the_second_is_told_who_is_the_first():
    _, (one, other) = fronts(2)
    first = one.take("a")
    assert first.other is None
    assert other.take("a").other == 0
    assert other.take("b").other is None
    first.give()
    assert other.take("a").other is None
    assert one.take("a").other == 1


def test_what_a_front_has_claimed_itself_is_made_by_it():
    _, (one,) = fronts(1)
    assert one.take("a").other is None
    assert one.take("a").other is None


def test_who_was_told_gives_nothing_back():
    _, (one, other) = fronts(2)
    one.take("a")
    other.take("a").give()
    assert other.take("a").other == 0


def test_names_that_meet_in_a_place_are_never_mistaken():
    table, (one, other) = fronts(2)
    claims = [one.take(str(number)) for number in range(2 * CLAIMS)]
    assert sum(map(bool, table.claims)) < CLAIMS
    told = [other.take(str(number)).other for number in range(2 * CLAIMS)]
    assert set(told) == {0, None}
    lost = [other.take(f"other {number}").other for number in range(CLAIMS)]
    assert set(lost) == {None}
    for claim in claims:
        claim.give()
    other.take("x")
    release(table, 1)
    assert not any(table.claims)


def test_one_that_ends_leaves_no_claim_and_all_of_the_others():
    table, (one, other) = fronts(2)
    one.take("a")
    other.take("b")
    release(table, 0)
    assert other.take("a").other is None
    assert one.take("b").other == 1
