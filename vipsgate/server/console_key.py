"""A temporary key pair for the console, if no credentials are configured."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

from ..gate.sign import Credential
from ..settings import Settings


def local_key(settings: Settings) -> Credential | None:
    """Return a key pair for this run's console, if none is configured and the port is local.

    Without it, the console of a demo would be open to no one, or to every user and web page of the
    machine. It is shown on the terminal only, and is valid only for the console.
    """
    host = settings.server.admin_host
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if settings.credentials or not local:
        return None
    return Credential("console", secrets.token_urlsafe(24), "owner")
