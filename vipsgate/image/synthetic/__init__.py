"""Pictures that no object is the source of: painted from their names, the same bytes everywhere.

RULE: a name in, a picture out; :mod:`.scene` is arithmetic, :mod:`.painter` is libvips.
"""
