"""Names in an object store: maps keys that end in ``/`` to names that do not, keeping the order.

obstore removes a ``/`` from the end of a name. So if the last part of a key is empty, or has only
blanks, its name has one more blank; thus no two keys have the same name::

    photos/     ->  "photos/ "          photos/a    ->  "photos/a"
    photos/ and one blank  ->  photos/ and two blanks

A blank sorts before all other characters of a name. Thus names sort like their keys: listings need
no sorting, and no request for each folder. The alternative was that of the disk,
``photos/.vipsgate/folder``. There ``photos/`` would sort after ``photos/+``, so a listing would
have to request it in every folder that it comes to.
"""

from __future__ import annotations

import re

BLANK = " "  # sorts before every other character of a name, as obstore allows no control characters
LAST = re.compile(r"/ *\Z")  # a key whose last part is empty or blank
LONGER = re.compile(r"/ +\Z")  # the name of such a key, which has one more blank


def name_of(key: str) -> str:
    """Return the name of a key; for texts without control characters, this keeps their order."""
    return key + BLANK if LAST.search(key) else key


def key_of(name: str) -> str:
    """Return the key of a name."""
    return name.removesuffix(BLANK) if LONGER.search(name) else name
