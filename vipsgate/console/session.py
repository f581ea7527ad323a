"""Who has logged in: nonces, sessions and their tokens; pure.

Its cookie is signed with a key made of the secret it was begun with, so a session holds on every
instance and over a restart, and ends when that key pair is gone or has another secret. Nothing is
kept of it but that it has been logged out, by the process that was told. A secret is proven by
HMAC-SHA256 over a nonce of the server's, and never crosses the wire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ..gate.sign import Credential

COOKIE = "vipsgate_console"
SESSION_SECONDS = 8 * 3600
MAX_ENDED = 4096  # that are remembered; a login is needed for each
NONCE_SECONDS = 300.0  # from the login page to its answer
PURPOSE = b"vipsgate console: "  # no other use of a secret signs a text that begins so


@dataclass(frozen=True, slots=True)
class Session:
    """A key pair that has logged in.

    Attributes:
        credential: The key pair, as it is in force now.
        identity: Random; another one for each login.
        expires: When it ends, in seconds since the epoch.
    """

    credential: Credential
    identity: str
    expires: int

    def cookie(self) -> str:
        """The cookie's value."""
        values = [self.credential.access_key_id, self.identity, self.expires]
        text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
        return f"{text}.{_mac(self.credential, f'session {text}')}"

    def token(self) -> str:
        """What each form of this session carries, which no other site can know."""
        return _mac(self.credential, f"csrf {self.identity}")


class Ended:
    """Sessions that have been logged out and whose cookies would still be good; of this process."""

    def __init__(self) -> None:
        self._expires: dict[str, int] = {}

    def add(self, session: Session, now: float) -> None:
        """Take no cookie of this session any more."""
        kept = {name: end for name, end in self._expires.items() if end > now}
        while len(kept) >= MAX_ENDED:
            kept.pop(next(iter(kept)))
        self._expires = {**kept, session.identity: session.expires}

    def __contains__(self, session: Session) -> bool:
        return session.identity in self._expires


def begin(credential: Credential, now: float) -> Session:
    """A new session of a key pair."""
    return Session(credential, secrets.token_urlsafe(16), int(now) + SESSION_SECONDS)


def find(cookie: str, credentials: Sequence[Credential], now: float) -> Session | None:
    """The session of a cookie; ``None`` where it is none, is over, or its key pair is another.

    Args:
        cookie: As sent; empty for none.
        credentials: All there are now.
        now: Seconds since the epoch.
    """
    text, _, mac = cookie.partition(".")
    try:
        key_id, identity, expires = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (binascii.Error, ValueError, TypeError):
        return None
    if not (isinstance(identity, str) and isinstance(expires, int)) or now >= expires:
        return None
    for item in credentials:
        if item.access_key_id == key_id and _equal(_mac(item, f"session {text}"), mac):
            return Session(item, identity, expires)
    return None


def nonce(credentials: Sequence[Credential], now: float) -> str:
    """A text to be signed at login; any instance with the same key pairs knows it again."""
    text = f"{int(now)}.{secrets.token_hex(16)}"
    return f"{text}.{_seal(credentials, text)}"


def is_fresh(given: str, credentials: Sequence[Credential], now: float) -> bool:
    """Return whether it is a nonce that was made here within :data:`NONCE_SECONDS`."""
    text, _, mac = given.rpartition(".")
    begun = text.partition(".")[0]
    if not (_equal(_seal(credentials, text), mac) and begun.isascii() and begun.isdigit()):
        return False
    return 0 <= now - int(begun) <= NONCE_SECONDS


def prove(secret: str, given: str) -> str:
    """The proof that somebody has the secret: what the page makes of a nonce."""
    return hmac.digest(secret.encode(), given.encode(), "sha256").hex()


def proven(
    key_id: str, proof: str, given: str, credentials: Sequence[Credential]
) -> Credential | None:
    """The key pair whose secret has signed the nonce; ``None`` for none."""
    result = None
    for item in credentials:
        same = _equal(prove(item.access_key_secret, given), proof)
        if item.access_key_id == key_id and same:
            result = item
    return result


def _mac(credential: Credential, text: str) -> str:
    key = hmac.digest(credential.access_key_secret.encode(), PURPOSE + b"key", "sha256")
    return hmac.digest(key, PURPOSE + text.encode(), "sha256").hex()


def _seal(credentials: Sequence[Credential], text: str) -> str:
    known = sorted((item.access_key_id, item.access_key_secret) for item in credentials)
    key = hashlib.sha256(PURPOSE + json.dumps(known).encode()).digest()
    return hmac.digest(key, PURPOSE + f"nonce {text}".encode(), "sha256").hex()


def _equal(one: str, other: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
