"""Decides whether a configuration that was read again may replace the one in force.

A file that was truncated, by an editor or a full disk, reads as a complete one without its last
tables. As settings close a bucket, such a file would open it by accident. So a setting that is
written out is adopted, whatever it opens; but if anything would be opened only because a setting is
missing, the whole file is refused, and the last good configuration stays in force. A restart
accepts any file.

:data:`CLOSING` lists the settings that close a bucket. All others that a reload adopts open it by
being written (styles, domains, separators, ``legacy_at_api``), or open nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from ..buckets import Bucket, ProtectionRule
from ..delivery.services import Services
from ..gate.rights import ACLS, ROLES
from ..settings import Credential, Settings

SHOWN_TO = ("", "cross-origin", "same-site", "same-origin")  # from most open to most closed
REMEDY = "; set it explicitly, or restart to apply it anyway"
GONE = ", because the bucket is no longer declared; restart to apply it anyway"


@dataclass(frozen=True, slots=True)
class Row:
    """A setting that closes a bucket.

    Attributes:
        key: Its name in the document.
        opens: Returns whether the second document's value may allow a caller something that the
            first one's does not.
    """

    key: str
    opens: Callable[[Bucket, Bucket], bool]

    def value(self, bucket: Bucket) -> object:
        """Return the value in a document."""
        value: object = bucket
        for name in self.key.split("."):
            value = getattr(value, name)
        return value

    def written(self, bucket: Bucket) -> bool:
        """Return whether a document has the setting, and not only its default."""
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
    """Return whether ``other`` covers all that ``one`` covers."""
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
    """Return the check of a setting on how much of a URL is compared, as any change may open."""

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
    # objects of another origin are read-only, and hide local ones
    Row("origin", lambda old, new: old.origin != new.origin),
)


def take_over(services: Services, settings: Settings) -> list[str]:
    """Adopt a configuration, unless a missing setting would open something.

    An equal one changes nothing, so that remembered requests stay valid.

    Returns:
        The reasons why it is refused; empty if it is in force.
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
    """Return the reasons why a configuration may not replace another; empty if it may.

    Args:
        before: The configuration in force.
        after: The one that was read again.
        documents: The documents of buckets in the store.
        there: Returns whether a bucket of this name exists without any document.
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
    """Yield the settings that a bucket's declaration opens by not having them.

    Args:
        name: The bucket.
        old: Its document in force.
        new: Its new declaration.
        whole: Whether the list of rules is written inline, so that it cannot be truncated.
    """
    for row in CLOSING:
        written = row.written(new)
        if row.key == "protection.rules" and not whole:
            written = written and not _cut(old.protection.rules, new.protection.rules)
        if row.opens(old, new) and not written:
            yield _told(name, row, old, new) + REMEDY


def _cut(old: Sequence[ProtectionRule], new: Sequence[ProtectionRule]) -> bool:
    """Return whether rules in tables of their own may have been truncated.

    That is so if there are fewer, or the last one lacks ``case_insensitive``. If it lacks its
    prefix or suffix, it only covers more.
    """
    if len(new) != len(old) or not old:
        return len(new) < len(old)
    return old[-1].case_insensitive and "case_insensitive" not in new[-1].model_fields_set


def _undeclared(name: str, old: Bucket, new: Bucket) -> Iterator[str]:
    """Yield the settings that are opened as a bucket is not declared any more."""
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
            "document would be public-read; restart to apply it anyway"
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
    """Return a value nearly as it is written in the file."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, ProtectionRule):
        rows = value.model_dump(exclude_defaults=True).items()
        return f"{{ {', '.join(f'{key} = {_shown(item)}' for key, item in rows)} }}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
