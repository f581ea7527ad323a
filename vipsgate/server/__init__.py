"""The running server: everything put together, started, watched and ended in order.

RULE: composes and runs; nobody imports it but :mod:`vipsgate.cli` and :mod:`vipsgate.emulator`.
"""
