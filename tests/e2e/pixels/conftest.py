"""Pictures by description; see :mod:`support.sources`."""

import pytest
from support.chains import MARKS
from support.sources import *  # noqa: F403


@pytest.fixture(scope="session")
def marks(picture):
    """What watermarks are made of."""
    kinds = ("png 15x9 alpha", "webp 20x20", "gif 12x8x3", "jpg 30x20 grey o6", "heic 16x16 10bit")
    return dict(zip(MARKS, [*map(picture, kinds), b"no picture"], strict=True))
