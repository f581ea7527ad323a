"""The web console, ``/console/`` on the admin port: buckets, objects, styles, access by looking.

RULE: reaches buckets only through what api, delivery and catalog offer, with the right of the key
that has logged in; never answers on the public port, never sends stored bytes as they are.
"""
