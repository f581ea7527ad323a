"""What a request means, who signed it, and what its caller may have.

RULE: pure. Nothing here waits, knows aiohttp or knows pyvips; text and records come in, a decision
or an error of :mod:`vipsgate.errors` goes out, and the clock is a parameter.
"""
