"""Logins and sessions: who is let in, and what ends a session."""

from dataclasses import replace

import pytest

from vipsgate.console import session
from vipsgate.console.attempts import MAX_FAILURES, WINDOW, Attempts
from vipsgate.gate.sign import Credential

NOW = 1_767_225_600.5
OWNER, READER = Credential("key1", "secret1"), Credential("key2", "secret2", "reader")
KEYS = (OWNER, READER)


def test_a_session_is_known_again_by_whoever_has_the_same_keys():
    begun = session.begin(OWNER, NOW)
    assert session.find(begun.cookie(), KEYS, NOW + 8 * 3600 - 1) == begun


@pytest.mark.parametrize(
    "keys",
    [(), (READER,), (replace(OWNER, access_key_secret="other"), READER)],
    ids=["no keys any more", "that key is gone", "it has another secret"],
)
def test_a_session_ends_with_its_key(keys):
    assert session.find(session.begin(OWNER, NOW).cookie(), keys, NOW) is None


def test_a_session_has_the_role_that_its_key_has_now():
    known = session.find(session.begin(OWNER, NOW).cookie(), (replace(OWNER, role="reader"),), NOW)
    assert known
    assert known.credential.role == "reader"


def test_a_session_ends_after_eight_hours():
    assert session.find(session.begin(OWNER, NOW).cookie(), KEYS, NOW + 8 * 3600) is None


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_changed_cookie_is_none(at):
    cookie = session.begin(OWNER, NOW).cookie()
    other = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
    assert session.find(other, KEYS, NOW) is None


@pytest.mark.parametrize("cookie", ["", ".", "W10=.", "MQ==.aa", "e30=.aa", "\udcff.x", "é.x"])
def test_what_is_no_cookie_is_none(cookie):
    assert session.find(cookie, KEYS, NOW) is None


def test_each_session_has_a_token_of_its_own():
    one, other = session.begin(OWNER, NOW), session.begin(OWNER, NOW)
    assert one.token() != other.token()
    assert one.token() not in one.cookie()


def test_a_login_proves_the_secret():
    nonce = session.nonce(KEYS, NOW)
    assert session.is_fresh(nonce, KEYS, NOW + session.NONCE_SECONDS - 1)
    assert session.proven("key1", session.prove("secret1", nonce), nonce, KEYS) == OWNER


@pytest.mark.parametrize(
    ("key_id", "secret"), [("key1", "secret2"), ("key2", "secret1"), ("key3", "secret1"), ("", "")]
)
def test_another_secret_proves_nothing(key_id, secret):
    nonce = session.nonce(KEYS, NOW)
    assert session.proven(key_id, session.prove(secret, nonce), nonce, KEYS) is None
    assert session.proven(key_id, "", nonce, KEYS) is None


@pytest.mark.parametrize(
    ("nonce", "later"),
    [
        (session.nonce(KEYS, NOW), session.NONCE_SECONDS + 1),
        (session.nonce(KEYS, NOW), -2),
        (session.nonce((OWNER,), NOW), 0),
        ("", 0),
        ("1767225600.00.00", 0),
    ],
    ids=["too old", "of the future", "of other keys", "none", "not signed"],
)
def test_a_nonce_is_refused(nonce, later):
    assert not session.is_fresh(nonce, KEYS, NOW + later)


def test_a_nonce_counts_once():
    attempts = Attempts()
    assert attempts.use("a", NOW)
    assert not attempts.use("a", NOW + 1)
    assert attempts.use("a", NOW + WINDOW + 1)  # by then it is too old in any case


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_an_address_that_fails_too_often_waits(one, other, same):
    attempts = Attempts()
    for _ in range(MAX_FAILURES):
        assert attempts.wait(one, NOW) == 0
        attempts.fail(one, NOW)
    assert (attempts.wait(other, NOW) > 0) is same
    assert attempts.wait(one, NOW + WINDOW) == 0


def test_many_addresses_guess_no_faster():
    attempts = Attempts()
    for number in range(200):
        attempts.fail(f"10.0.0.{number}", NOW)
    assert attempts.wait("192.0.2.1", NOW) > 0


def test_what_is_logged_out_is_remembered_and_no_more_than_that(monkeypatch):
    monkeypatch.setattr(session, "MAX_ENDED", 3)
    ended = session.Ended()
    opened = [session.begin(OWNER, NOW) for _ in range(4)]
    for item in opened:
        assert item not in ended
        ended.add(item, NOW)
        assert item in ended
    assert opened[0] not in ended  # the oldest gives way
    later = session.begin(OWNER, NOW + session.SESSION_SECONDS)
    ended.add(later, NOW + session.SESSION_SECONDS)
    assert [item in ended for item in (*opened, later)] == [False] * 4 + [True]
