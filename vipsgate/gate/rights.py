"""Rights: those that calls need, and those that roles and ACLs give.

A reader may do what OSS's AliyunOSSReadOnlyAccess allows (Get and List calls). A writer may also
write objects by all calls. Only an owner may delete objects and change settings. Anonymous callers
have the rights that the object's ACL gives, or the bucket's if the object has none (OSS guide, ACL;
PutObjectACL).
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):  # hashes like a text, which is quicker than an Enum
    """The right that a call needs."""

    READ = "read"  # an object, also as a source of a copy or a picture
    WRITE = "write"  # an object: put, copied to, sent in parts, saved as
    DELETE = "delete"  # an object
    VIEW = "view"  # a bucket: its listing and its settings; an object's ACL
    RULE = "rule"  # a bucket: made, removed, set; an object's ACL


ROLES = {
    "reader": frozenset((Right.READ, Right.VIEW)),
    "writer": frozenset((Right.READ, Right.VIEW, Right.WRITE)),
    "owner": frozenset(Right),
}
ACLS = {
    "private": frozenset[Right](),
    "public-read": frozenset((Right.READ,)),
    "public-read-write": frozenset((Right.READ, Right.WRITE, Right.DELETE)),
}
OF_OBJECTS = frozenset((Right.READ, Right.WRITE, Right.DELETE))  # what an object's own ACL settles
