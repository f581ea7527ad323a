"""Sessions of visitors who have logged in, their tokens, and nonces; pure.

The cookie of a session is signed with a key that is derived from the visitor's secret. So a session
is valid on every instance and after a restart, and ends when the key pair is removed or gets
another secret. Only logouts are stored, in the memory of one process. A visitor proves to have the
secret by an HMAC-SHA256 over a nonce of the server; the secret itself is never sent.
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
MAX_ENDED = 4096  # logouts that are remembered; each needs a login
NONCE_SECONDS = 300.0  # seconds from the login page to the login
PURPOSE = b"vipsgate console: "  # prefix of signed texts, which no other use of a secret has


@dataclass(frozen=True, slots=True)
class Session:
    """A key pair that has logged in.

    Attributes:
        credential: The key pair, as it is configured now.
        identity: Random identity; each login has another one.
        expires: When the session ends, in seconds since the epoch.
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
        """The token that each form of this session contains, and that other sites cannot know."""
        return _mac(self.credential, f"csrf {self.identity}")


class Ended:
    """Sessions that were logged out in this process and whose cookies have not expired."""

    def __init__(self) -> None:
        self._expires: dict[str, int] = {}

    def add(self, session: Session, now: float) -> None:
        """Refuse the cookies of a session from now on."""
        kept = {name: end for name, end in self._expires.items() if end > now}
        while len(kept) >= MAX_ENDED:
            kept.pop(next(iter(kept)))
        self._expires = {**kept, session.identity: session.expires}

    def __contains__(self, session: Session) -> bool:
        return session.identity in self._expires


def begin(credential: Credential, now: float) -> Session:
    """Return a new session of a key pair."""
    return Session(credential, secrets.token_urlsafe(16), int(now) + SESSION_SECONDS)


def find(cookie: str, credentials: Sequence[Credential], now: float) -> Session | None:
    """Return the session of a cookie; ``None`` if it is invalid, expired, or its key pair changed.

    Args:
        cookie: The cookie's value; empty for none.
        credentials: All present key pairs.
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
    """Return a text to be signed at login; any instance with the same key pairs accepts it."""
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
    """Return the proof of a secret for a nonce, as the page's script computes it."""
    return hmac.digest(secret.encode(), given.encode(), "sha256").hex()


def proven(
    key_id: str, proof: str, given: str, credentials: Sequence[Credential]
) -> Credential | None:
    """Return the key pair whose secret has signed the nonce; ``None`` if there is none."""
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
    """Compare in a time that does not depend on where the values differ."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
