"""Fixtures that take too long to import for those who run tests of another folder."""

from support.served import served  # noqa: F401
