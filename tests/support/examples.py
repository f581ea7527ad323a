"""How many examples of a property are tried: in CI all of them, in the inner loop a quarter."""

import os

THOROUGH = bool(os.environ.get("CI"))


def times(count: int) -> int:
    """So many, or a quarter of it where somebody waits."""
    return count if THOROUGH else max(1, count // 4)
