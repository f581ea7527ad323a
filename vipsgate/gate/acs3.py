"""Signature V3 of Alibaba Cloud's own APIs, ``ACS3-HMAC-SHA256``: for webhooks to its CDN.

OSS's own signatures are in :mod:`.sign`. All headers that begin with ``x-acs-`` are signed, with
Host and Content-Type (Alibaba Cloud SDK guide, V3 request structure and signature).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

NAME = "ACS3-HMAC-SHA256"


def sign(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    key_id: str,
    secret: str,
    now: float,
    nonce: str,
) -> dict[str, str]:
    """Return the headers to add to a request to sign it.

    Args:
        method: Method of the request.
        url: The whole URL, percent-encoded.
        headers: Its other headers, including ``x-acs-action`` and ``x-acs-version``.
        body: The body.
        key_id: Id of the access key.
        secret: Secret of the access key.
        now: Seconds since the epoch.
        nonce: A random text that is used once.
    """
    parts = urlsplit(url)
    digest = hashlib.sha256(body).hexdigest()
    added = {
        "x-acs-date": datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": digest,
    }
    known = {name.lower(): value.strip() for name, value in headers}
    sent = {"host": parts.netloc, **known, **added}
    signed = sorted(
        name for name in sent if name.startswith("x-acs-") or name in ("host", "content-type")
    )
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    canonical = "\n".join(
        (
            method,
            parts.path or "/",
            "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in query),
            "".join(f"{name}:{sent[name]}\n" for name in signed),
            ";".join(signed),
            digest,
        )
    )
    text = f"{NAME}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(secret.encode(), text.encode(), "sha256").hex()
    words = f"Credential={key_id},SignedHeaders={';'.join(signed)},Signature={signature}"
    return {**added, "Authorization": f"{NAME} {words}"}


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
