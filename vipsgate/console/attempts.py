"""Limits failed logins, for each address and for all together; pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address, ip_network

WINDOW = 300.0  # seconds for which a failure counts
MAX_FAILURES = 10  # failures of one address in that time
MAX_OF_ALL = 200  # failures of all addresses, so that many addresses cannot guess faster
MAX_ADDRESSES = 1024  # addresses that are remembered


class Attempts:
    """Recent failed logins, and the nonces that have been used."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=MAX_OF_ALL)
        self._used: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str, now: float) -> int:
        """Return the seconds until an address may try again; 0 if it may now."""
        ends = [0.0]
        failed = self._failures.get(_network(address))
        if failed and len(failed) == MAX_FAILURES:
            ends.append(failed[0] + WINDOW)
        if len(self._all) == MAX_OF_ALL:
            ends.append(self._all[0] + WINDOW)
        left = max(ends) - now
        return int(left) + 1 if left > 0 else 0

    def fail(self, address: str, now: float) -> None:
        """Record a failed login."""
        name = _network(address)
        self._failures.setdefault(name, deque(maxlen=MAX_FAILURES)).append(now)
        self._failures.move_to_end(name)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        self._all.append(now)

    def use(self, nonce: str, now: float) -> bool:
        """Mark a nonce as used, and return whether it was unused."""
        while self._used and next(iter(self._used.values())) < now - WINDOW:
            self._used.popitem(last=False)
        if nonce in self._used:
            return False
        self._used[nonce] = now
        return True


def _network(address: str) -> str:
    """Return the address, or for IPv6 its /64, which belongs to one customer."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(ip_network((known, 64), strict=False))
    return str(known)
