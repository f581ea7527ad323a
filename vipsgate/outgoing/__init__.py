"""HTTP requests to other servers: allowed hosts, checked addresses, time limits, a breaker.

RULE: requests go to hosts that the operator has listed, and to no others; knows no buckets and no
objects.
"""
