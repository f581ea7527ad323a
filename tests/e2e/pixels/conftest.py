"""Pictures by description; see :mod:`support.sources`."""

from support.sources import *  # noqa: F403
