"""Purges: rules that have what they cover made anew, in every tier and on every instance at once.

A rule is a number that goes into the names under which everything that it covers is kept from then
on. What was kept before has another name, so nobody is given it, and leaves as what was not used
for longest. So a purge of a million pictures takes one file, and no tier need know which pictures
are of a style or a prefix; the other design, an index or a look into every file, takes a second for
each 10,000 files and knows nothing of the memory of other processes or of a bucket in another city.

Rules only grow: where two records differ, the higher number counts. So any number of instances may
write and read them in any order.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import orjson

Kind = Literal["key", "prefix", "style"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_KEYS = 1000  # rules for single keys; what the oldest cover has been removed everywhere by then
MAX_OTHERS = 100  # of a bucket; one more, and all of the bucket is made anew in their place
VARIANT = 32  # hexadecimal digits


class Rule(NamedTuple):
    """What is purged.

    Attributes:
        bucket: Of the objects.
        kind: What the text is; an empty prefix is all of a bucket.
        text: A key, the beginning of keys, or the name of a style.
    """

    bucket: str
    kind: Kind
    text: str


Numbers = Mapping[Rule, int]  # rule -> when it was made, in nanoseconds since the epoch, or later


@dataclass(slots=True)
class _OfBucket:
    """The rules of a bucket, to be looked up."""

    by_kind: dict[Kind, dict[str, int]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    lengths: tuple[int, ...] = ()  # of prefixes


class Purges:
    """All rules that are known.

    Attributes:
        numbers: They themselves.
        version: Another one as soon as they are others.
    """

    def __init__(self) -> None:
        self.numbers: Numbers = {}
        self.version = 0
        self._buckets: dict[str, _OfBucket] = {}

    def number(self, rule: Rule) -> int:
        """Return the number of a rule that is made now."""
        return max(time.time_ns(), 1 + max(self.numbers.values(), default=0))

    def merge(self, others: Numbers) -> list[Rule]:
        """Take over rules, and return those that are new or have a higher number."""
        merged = tidied(join(self.numbers, others))
        new = [rule for rule, number in merged.items() if self.numbers.get(rule, 0) < number]
        if new:
            self.numbers, self.version = merged, self.version + 1
            self._buckets = _by_bucket(merged)
        return new

    def renamed(self, variant: str, bucket: str, keys: Iterable[str], styles: Iterable[str]) -> str:
        """Return the name that a variant has by now.

        Args:
            variant: Its first name.
            bucket: Of its objects.
            keys: The source, what is laid on it, and symlinks that lead to them.
            styles: Those that the caller has named.
        """
        rules = self._buckets.get(bucket)
        if rules is None:
            return variant
        numbers = [rules.by_kind["style"].get(style, 0) for style in styles]
        prefixes, single = rules.by_kind["prefix"], rules.by_kind["key"]
        for key in keys:
            numbers.append(single.get(key, 0))
            numbers += [prefixes.get(key[:length], 0) for length in rules.lengths]
        if not any(numbers):
            return variant
        text = f"{variant} {sorted({number for number in numbers if number})}"
        return hashlib.sha256(text.encode()).hexdigest()[:VARIANT]


def join(one: Numbers, other: Numbers) -> dict[Rule, int]:
    """Return all rules of both, each with its higher number."""
    result = dict(one)
    for rule, number in other.items():
        result[rule] = max(number, result.get(rule, 0))
    return result


def tidied(numbers: Numbers) -> dict[Rule, int]:
    """Return as many rules as are needed and no more than may be; nothing purged comes back.

    The same on every instance: it depends on nothing but the rules.
    """
    result: dict[Rule, int] = {}
    of_bucket: defaultdict[str, dict[Rule, int]] = defaultdict(dict)
    for rule, number in numbers.items():
        of_bucket[rule.bucket][rule] = number
    for bucket, rules in of_bucket.items():
        prefixes = {rule.text: n for rule, n in rules.items() if rule.kind == "prefix"}
        left = {rule: n for rule, n in rules.items() if not _is_covered(rule, n, prefixes)}
        others = [rule for rule in left if rule.kind != "key"]
        if len(others) > MAX_OTHERS:
            whole = Rule(bucket, "prefix", "")
            latest = max(left[rule] for rule in others)
            left = {rule: n for rule, n in left.items() if n > latest} | {whole: latest}
        result |= left
    single = sorted((n, rule) for rule, n in result.items() if rule.kind == "key")
    for _, rule in single[:-MAX_KEYS]:
        del result[rule]
    return result


def write(numbers: Numbers) -> bytes:
    """Return rules as JSON."""
    return orjson.dumps([[*rule, number] for rule, number in sorted(numbers.items())])


def read(data: bytes) -> dict[Rule, int]:
    """Return rules from JSON; what is none of ours has none."""
    try:
        rows = orjson.loads(data)
        rules = {Rule(bucket, kind, text): int(n) for bucket, kind, text, n in rows}
    except (ValueError, TypeError):
        return {}
    texts = (text for rule in rules for text in rule)
    known = all(isinstance(text, str) for text in texts) and {r.kind for r in rules} <= {*KINDS}
    return rules if known else {}


def _is_covered(rule: Rule, number: int, prefixes: Mapping[str, int]) -> bool:
    """Is whatever the rule covers covered by a later prefix, too?"""
    if rule.kind == "style":
        return prefixes.get("", 0) >= number
    own = len(rule.text) + (rule.kind == "key")
    return any(prefixes.get(rule.text[:length], 0) >= number for length in range(own))


def _by_bucket(numbers: Numbers) -> dict[str, _OfBucket]:
    result: defaultdict[str, _OfBucket] = defaultdict(_OfBucket)
    for rule, number in numbers.items():
        result[rule.bucket].by_kind[rule.kind][rule.text] = number
    for rules in result.values():
        rules.lengths = tuple(sorted({len(text) for text in rules.by_kind["prefix"]}))
    return dict(result)
