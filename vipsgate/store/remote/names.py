"""Names in an object store: a key that ends in ``/`` has one that does not, and in the same order.

obstore takes a ``/`` off the end of every name. So a key whose last part is empty, or has nothing
but blanks, has one blank more as its name, and no two keys have the same::

    photos/     ->  "photos/ "          photos/a    ->  "photos/a"
    photos/ (and one blank)  ->  the same and two

A blank is the first character that a name can have. Thus names come in the order of their keys:
listings need neither sorting nor a look at any folder. The other design was the disk's own,
``photos/.vipsgate/folder``. There ``photos/`` would come behind ``photos/+``, so a listing would
have to ask for it in every folder that it comes to.
"""

from __future__ import annotations

import re

BLANK = " "  # before every other character of a name: obstore has none of control characters
LAST = re.compile(r"/ *\Z")  # of a key: a last part that is empty or blank
LONGER = re.compile(r"/ +\Z")  # of a name: the same with one blank more


def name_of(key: str) -> str:
    """The name of a key; of any texts without control characters, in their order."""
    return key + BLANK if LAST.search(key) else key


def key_of(name: str) -> str:
    """The key of a name."""
    return name.removesuffix(BLANK) if LONGER.search(name) else name
