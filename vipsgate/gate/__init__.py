"""Targets, signatures and access rights of requests.

RULE: pure. Nothing here waits, or knows aiohttp or pyvips. Functions take text and records, and
return a decision or raise an error of :mod:`vipsgate.errors`; the clock is a parameter.
"""
