"""A store in a folder whose file system may block its readers: NFS, CephFS, SMB, FUSE.

RULE: files are accessed only in threads of their bucket (:mod:`.threads`), and no descriptor of
such a file leaves this package, only those of copies.
"""
