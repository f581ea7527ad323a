"""Reload of the configuration: what may take the place of the one in force.

A file that is cut short, by an editor or a full disk, reads as a whole one without its last tables;
an empty one has none. A bucket is closed by what is written, so such a file would open it without
anybody having said so. Therefore what is written out is followed, whatever it opens. Where anything
would be open only because something is not written any more, the whole file is refused, and the
last good configuration stays in force. A restart takes the file as it is.

:data:`CLOSING` has the settings of a bucket that close something. All else that a reload takes over
opens by being written (styles, domains, separators, ``legacy_at_api``) or opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from ..buckets import Bucket, ProtectionRule
from ..delivery.services import Services
from ..gate.rights import ACLS, ROLES
from ..settings import Credential, Settings

SHOWN_TO = ("", "cross-origin", "same-site", "same-origin")  # fewer and fewer pages
REMEDY = "; write it out, or restart to do it all the same"
GONE = ", as the bucket is not declared any more; restart to do it all the same"


@dataclass(frozen=True, slots=True)
class Row:
    """A setting of a bucket that closes something.

    Attributes:
        key: Its name in the document.
        opens: May the second document let a caller do, by this setting, what the first does not?
    """

    key: str
    opens: Callable[[Bucket, Bucket], bool]

    def value(self, bucket: Bucket) -> object:
        """What the document says."""
        value: object = bucket
        for name in self.key.split("."):
            value = getattr(value, name)
        return value

    def written(self, bucket: Bucket) -> bool:
        """Is it written out in the document, or only as it is by default?"""
        value: object = bucket
        for name in self.key.split("."):
            if not (isinstance(value, BaseModel) and name in value.model_fields_set):
                return False
            value = getattr(value, name)
        return True


def _extensions(old: Bucket, new: Bucket) -> bool:
    if not (old.protection.enabled and new.protection.enabled):
        return False
    was, would = (
        {item.lower().removeprefix(".") for item in bucket.protection.extensions}
        for bucket in (old, new)
    )
    return not was <= would


def _rules(old: Bucket, new: Bucket) -> bool:
    if not (old.protection.enabled and new.protection.enabled):
        return False
    rules = new.protection.rules
    return not all(any(_implies(one, other) for other in rules) for one in old.protection.rules)


def _implies(one: ProtectionRule, other: ProtectionRule) -> bool:
    """Is whatever the one rule covers covered by the other, too?"""
    prefix, suffix = one.prefix, one.suffix
    if other.case_insensitive:
        prefix, suffix = prefix.lower(), suffix.lower()
        return prefix.startswith(other.prefix.lower()) and suffix.endswith(other.suffix.lower())
    return (
        not one.case_insensitive
        and prefix.startswith(other.prefix)
        and suffix.endswith(other.suffix)
    )


def _allow_empty(old: Bucket, new: Bucket) -> bool:
    was, would = old.referer, new.referer
    return bool(was.whitelist and would.whitelist) and would.allow_empty > was.allow_empty


def _whitelist(old: Bucket, new: Bucket) -> bool:
    was, would = frozenset(old.referer.whitelist), frozenset(new.referer.whitelist)
    return bool(was) and not (would and would <= was)


def _blacklist(old: Bucket, new: Bucket) -> bool:
    return not frozenset(old.referer.blacklist) <= frozenset(new.referer.blacklist)


def _truncated(key: str) -> Callable[[Bucket, Bucket], bool]:
    """Which parts of a URL count: either way may let a page through."""

    def opens(old: Bucket, new: Bucket) -> bool:
        lists = [policy.whitelist or policy.blacklist for policy in (old.referer, new.referer)]
        return all(lists) and getattr(old.referer, key) != getattr(new.referer, key)

    return opens


def _resource_policy(old: Bucket, new: Bucket) -> bool:
    was, would = old.cross_origin_resource_policy, new.cross_origin_resource_policy
    return SHOWN_TO.index(would) < SHOWN_TO.index(was)


def _valid_longer(old: Bucket, new: Bucket) -> bool:
    was, would = old.cdn_signing, new.cdn_signing
    return bool(was.type and would.type) and would.valid_seconds > was.valid_seconds


CLOSING = (
    Row("acl", lambda old, new: not ACLS[new.acl] <= ACLS[old.acl]),
    Row("protection.enabled", lambda old, new: old.protection.enabled > new.protection.enabled),
    Row("protection.extensions", _extensions),
    Row("protection.rules", _rules),
    Row("referer.allow_empty", _allow_empty),
    Row("referer.whitelist", _whitelist),
    Row("referer.blacklist", _blacklist),
    Row("referer.truncate_query", _truncated("truncate_query")),
    Row("referer.truncate_path", _truncated("truncate_path")),
    Row("cross_origin_resource_policy", _resource_policy),
    Row("cdn_signing.valid_seconds", _valid_longer),
    # what is elsewhere is read only, and not what may lie under its name here
    Row("origin", lambda old, new: old.origin != new.origin),
)


def take_over(services: Services, settings: Settings) -> list[str]:
    """Put a configuration in force, unless something would be open that nobody has written out.

    One that is as it was changes nothing, and what is known of requests stays so.

    Returns:
        The reasons against it; empty where it is in force.
    """
    registry, before = services.registry, services.configuration.settings
    reasons = refusals(before, settings, registry.documents.known, registry.is_there)
    if not reasons and dict(settings) != dict(before):
        services.adopt(settings)
    return reasons


def refusals(
    before: Settings,
    after: Settings,
    documents: Mapping[str, Bucket],
    there: Callable[[str], bool],
) -> list[str]:
    """Why the second configuration may not take the place of the first; empty where it may.

    Args:
        before: In force.
        after: Read again.
        documents: Of the store's buckets.
        there: Says whether there would be a bucket of this name without any document.
    """
    reasons = list(_credentials(before.credentials, after.credentials))
    was, would = before.server.v4_expires_max, after.server.v4_expires_max
    if would > was and "v4_expires_max" not in after.server.model_fields_set:
        reasons.append(f"server.v4_expires_max: was {was}, would be {would}{REMEDY}")
    for name in sorted({*before.buckets, *after.buckets}):
        old = before.buckets.get(name) or documents.get(name)
        if old is None:
            if not there(name):
                continue
            old = Bucket(acl=before.default_acl)
        new = after.buckets.get(name)
        if new is not None:
            reasons += _bucket(name, old, new, whole=not after.rules_may_follow)
            continue
        new = documents.get(name)
        if new is None and there(name):
            new = Bucket(acl=after.default_acl)
        if new is not None:
            reasons += _undeclared(name, old, new)
    return reasons


def _bucket(name: str, old: Bucket, new: Bucket, *, whole: bool) -> Iterator[str]:
    """What the declaration of a bucket opens without saying so.

    Args:
        name: The bucket's.
        old: What is in force for it.
        new: Its declaration.
        whole: Whether a list of rules is written in one piece, which cannot be cut.
    """
    for row in CLOSING:
        written = row.written(new)
        if row.key == "protection.rules" and not whole:
            written = written and not _cut(old.protection.rules, new.protection.rules)
        if row.opens(old, new) and not written:
            yield _told(name, row, old, new) + REMEDY


def _cut(old: Sequence[ProtectionRule], new: Sequence[ProtectionRule]) -> bool:
    """May rules in tables of their own have been cut: are some gone, or the end of the last?

    Without its prefix or its suffix a rule covers more, which is no harm.
    """
    if len(new) != len(old) or not old:
        return len(new) < len(old)
    return old[-1].case_insensitive and "case_insensitive" not in new[-1].model_fields_set


def _undeclared(name: str, old: Bucket, new: Bucket) -> Iterator[str]:
    """What is open in a bucket that is not declared any more."""
    for row in CLOSING:
        if row.opens(old, new):
            yield _told(name, row, old, new) + GONE


def _told(name: str, row: Row, old: Bucket, new: Bucket) -> str:
    was, would = _shown(row.value(old)), _shown(row.value(new))
    return f"buckets.{name}.{row.key}: was {was}, would be {would}"


def _credentials(old: tuple[Credential, ...], new: tuple[Credential, ...]) -> Iterator[str]:
    if old and not new:
        yield (
            f"credentials: there were {len(old)}, there would be none, and buckets without a "
            "document would be public-read; restart to do it all the same"
        )
    for item in new:
        same = [one for one in old if one.access_key_id == item.access_key_id]
        twins = [one for one in same if one.access_key_secret == item.access_key_secret] or same
        if not twins:
            continue
        name, written = f"credentials.{item.access_key_id}", item.model_fields_set
        rights = frozenset().union(*(ROLES[one.role] for one in twins))
        if not ROLES[item.role] <= rights and "role" not in written:
            was = " and ".join(sorted({repr(one.role) for one in twins}))
            yield f"{name}.role: was {was}, would be {item.role!r}{REMEDY}"
        if "security_token" not in written and all(one.security_token for one in twins):
            yield f"{name}.security_token: there was one, there would be none{REMEDY}"


def _shown(value: object) -> str:
    """As it stands in the file, or nearly so."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, ProtectionRule):
        rows = value.model_dump(exclude_defaults=True).items()
        return f"{{ {', '.join(f'{key} = {_shown(item)}' for key, item in rows)} }}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
