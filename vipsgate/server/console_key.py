"""The key pair for the console of one run, where nobody has one."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

from ..gate.sign import Credential
from ..settings import Settings


def local_key(settings: Settings) -> Credential | None:
    """A key pair for the console of this run, where nobody has one and only this machine connects.

    Without it either nobody could use the console of a demo, or every user and every web page of
    the machine could. It is shown on the terminal only, and is valid for nothing but the console.
    """
    host = settings.server.admin_host
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if settings.credentials or not local:
        return None
    return Credential("console", secrets.token_urlsafe(24), "owner")
