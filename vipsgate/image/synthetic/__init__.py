"""Pictures of synthetic buckets: painted from their names, with the same bytes on every machine.

RULE: a name in, a picture out; :mod:`.scene` is arithmetic, :mod:`.painter` uses libvips.
"""
