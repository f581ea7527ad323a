"""Buckets in an object store: S3, GCS or Azure, through obstore.

RULE: :mod:`.store` is the entry point. Each call has a timeout and passes the circuit breaker.
obstore is imported inside of functions, because it is an optional dependency.
"""
