"""DNS rebinding: tells by Host whether a port without credentials is really addressed; pure.

A page of another site may have its own name point to this machine after it was loaded. For a
browser the port then is of the page's origin, so its scripts read every answer and send every
method. The name stays in Host. So only names are accepted that no other site can have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from ..errors import AccessDenied, shown

HOST = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")  # host and port (RFC 9110, 7.2)
PLAIN_NAME = re.compile(r"[a-z0-9_-]+")  # of a service, a container, or this machine
LOCAL = ".localhost"  # ending of names that are always this machine (RFC 6761, 6.3)


def check(hosts: Sequence[str], own: str) -> None:
    """Refuse a request whose Host may be the name of another site.

    Args:
        hosts: All values of the header Host, with their ports.
        own: The name that is configured for the port, or its address.

    Raises:
        AccessDenied: There is not one Host, or it is neither an IP address, nor ``localhost`` or
            below it, nor ``own``, nor a name without dots.
    """
    if len(hosts) == 1 and _is_local(hosts[0].strip().lower(), own.lower()):
        return
    names = ", ".join(hosts)
    raise AccessDenied(
        f"The value: {shown(names)!r} of header: Host is not accepted here without credentials, as "
        "it may be the name of another site's page. It expects one IP address, localhost, the "
        "admin_host of the configuration, or a name without dots; or configure credentials."
    )


def _is_local(host: str, own: str) -> bool:
    match = HOST.fullmatch(host)
    name = match[1] if match else ""
    if PLAIN_NAME.fullmatch(name) or (name and name == own) or name.endswith(LOCAL):
        return True
    try:
        IPv6Address(name[1:-1]) if name.startswith("[") else IPv4Address(name)
    except ValueError:
        return False
    return True
