"""Rights: what a call asks for, and which roles and ACLs give it.

A reader may do what OSS's AliyunOSSReadOnlyAccess allows (Get and List calls); a writer puts
objects besides, in every way; only an owner takes objects away and changes settings. Who does not
sign has what the object's ACL gives, or the bucket's where the object has none of its own
(OSS guide, ACL; PutObjectACL).
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):  # whose hash is that of a text, which is quicker than an Enum's
    """What a call does."""

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
