"""What this server asks of others over HTTP: to whom, through which address, for how long.

RULE: to hosts that the operator has listed, and to no others; knows no buckets and no objects.
"""
