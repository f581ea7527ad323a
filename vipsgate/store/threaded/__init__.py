"""A folder whose file system may let its reader wait: NFS, CephFS, SMB, FUSE.

RULE: nothing here touches a file but in a thread of its bucket (:mod:`.threads`), and no descriptor
of such a file leaves this package: a copy does.
"""
