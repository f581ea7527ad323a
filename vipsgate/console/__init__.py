"""The web console, ``/console/`` on the admin port: buckets, objects, styles, access settings.

RULE: uses buckets only through api, delivery and catalog, with the rights of the key that has
logged in; never answers on the public port, and never sends stored objects unchanged.
"""
