"""Who makes what: one claim for a name, given back by whoever had it, or for one that has ended."""

import pytest

from vipsgate.fronts.claims import Claims, release_all
from vipsgate.fronts.scoreboard import CLAIM_SLOTS, Scoreboard


def fronts(count):
    scoreboard = Scoreboard(count)
    return scoreboard, [Claims(scoreboard, front) for front in range(count)]


def test_a_second_claim_gets_the_owner_of_the_first():
    _, (one, other) = fronts(2)
    first = one.acquire("a")
    assert first.owner is None
    assert other.acquire("a").owner == 0
    assert other.acquire("b").owner is None
    first.release()
    assert other.acquire("a").owner is None
    assert one.acquire("a").owner == 1


def test_what_a_front_has_claimed_itself_is_made_by_it():
    _, (one,) = fronts(1)
    assert one.acquire("a").owner is None
    assert one.acquire("a").owner is None


def test_releasing_a_second_claim_keeps_the_first():
    _, (one, other) = fronts(2)
    one.acquire("a")
    other.acquire("a").release()
    assert other.acquire("a").owner == 0


def test_names_that_meet_in_a_place_are_never_mistaken():
    scoreboard, (one, other) = fronts(2)
    claims = [one.acquire(str(number)) for number in range(2 * CLAIM_SLOTS)]
    assert sum(map(bool, scoreboard.claims[0])) < CLAIM_SLOTS
    told = [other.acquire(str(number)).owner for number in range(2 * CLAIM_SLOTS)]
    assert set(told) == {0, None}
    others = [other.acquire(f"other {number}").owner for number in range(CLAIM_SLOTS)]
    assert set(others) == {None}
    for claim in claims:
        claim.release()
    assert not any(scoreboard.claims[0])
    release_all(scoreboard, 1)
    assert not any(scoreboard.claims[1])


def test_one_that_ends_leaves_no_claim_and_all_of_the_others():
    scoreboard, (one, other) = fronts(2)
    one.acquire("a")
    other.acquire("b")
    release_all(scoreboard, 0)
    assert other.acquire("a").owner is None
    assert one.acquire("b").owner == 1


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_at_the_same_moment_one_has_it(monkeypatch, first):
    """Each writes before the other has looked for the second time."""
    _, both = fronts(2)
    late = both[1 - first]
    owner, seen = both[first]._owner, []

    def look(place, number):
        if len(seen) == 1:  # the first has written: now the other claims it, unseen so far
            monkeypatch.setattr(late, "_owner", lambda *about: blind(late_owner, *about))
            seen.append(late.acquire("a"))
        else:
            seen.append(None)
        return owner(place, number)

    late_owner, looks = late._owner, []

    def blind(looking, *about):
        looks.append(about)
        return None if len(looks) == 1 else looking(*about)

    monkeypatch.setattr(both[first], "_owner", look)
    claims = [both[first].acquire("a"), seen[1]]
    assert sorted(claim.owner is None for claim in claims) == [False, True]
    winner = claims[0] if claims[0].owner is None else claims[1]
    loser = claims[1] if winner is claims[0] else claims[0]
    assert loser.owner == 0
    winner.release()
    loser.release()
    assert both[0].acquire("a").owner is None
