"""Who makes what: one claim for a name, given back by whoever had it, or for one that has ended."""

import pytest

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
    assert sum(map(bool, table.claims[0])) < CLAIMS
    told = [other.take(str(number)).other for number in range(2 * CLAIMS)]
    assert set(told) == {0, None}
    others = [other.take(f"other {number}").other for number in range(CLAIMS)]
    assert set(others) == {None}
    for claim in claims:
        claim.give()
    assert not any(table.claims[0])
    release(table, 1)
    assert not any(table.claims[1])


def test_one_that_ends_leaves_no_claim_and_all_of_the_others():
    table, (one, other) = fronts(2)
    one.take("a")
    other.take("b")
    release(table, 0)
    assert other.take("a").other is None
    assert one.take("b").other == 1


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_at_the_same_moment_one_has_it(monkeypatch, first):
    """Each writes before the other has looked for the second time."""
    _, both = fronts(2)
    late = both[1 - first]
    holder, seen = both[first]._holder, []

    def look(place, number):
        if len(seen) == 1:  # the first has written: now the other claims it, unseen so far
            monkeypatch.setattr(late, "_holder", lambda *about: blind(late_holder, *about))
            seen.append(late.take("a"))
        else:
            seen.append(None)
        return holder(place, number)

    late_holder, looks = late._holder, []

    def blind(looking, *about):
        looks.append(about)
        return None if len(looks) == 1 else looking(*about)

    monkeypatch.setattr(both[first], "_holder", look)
    claims = [both[first].take("a"), seen[1]]
    assert sorted(claim.other is None for claim in claims) == [False, True]
    winner = claims[0] if claims[0].other is None else claims[1]
    loser = claims[1] if winner is claims[0] else claims[0]
    assert loser.other == 0
    winner.give()
    loser.give()
    assert both[0].take("a").other is None
