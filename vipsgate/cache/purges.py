"""Purges: rules by which pictures are made anew, in every tier and on every instance.

A rule covers a key, a prefix or a style, and has a number, which is part of the names of all
entries that it covers. A purge is a new number: entries from before have other names, so they are
not found any more, and are removed in time as the least recently used. So a purge of a million
pictures writes one file, and no tier has to know which pictures are of a style or a prefix. The
alternative, an index or a scan of all files, takes a second for each 10,000 files, and does not
reach the memory of other processes or a bucket elsewhere.

Numbers only grow: of two records of a rule, the higher number counts. So any number of instances
may write and read rules in any order.
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
MAX_KEYS = 1000  # rules for keys; the entries of older ones have been removed everywhere by then
MAX_OTHERS = 100  # other rules of a bucket; beyond, one rule for the whole bucket replaces them
VARIANT = 32  # hexadecimal digits


class Rule(NamedTuple):
    """The entries that a purge covers.

    Attributes:
        bucket: The bucket of the sources.
        kind: What ``text`` is: a key, a prefix or a style. An empty prefix covers the whole bucket.
        text: A key, the beginning of keys, or the name of a style.
    """

    bucket: str
    kind: Kind
    text: str


Numbers = Mapping[Rule, int]  # rule -> when it was made, in nanoseconds since the epoch, or later


@dataclass(slots=True)
class _OfBucket:
    """The rules of one bucket, indexed."""

    by_kind: dict[Kind, dict[str, int]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    lengths: tuple[int, ...] = ()  # of prefixes


class Purges:
    """All known rules.

    Attributes:
        numbers: The number of each rule.
        version: Changes whenever ``numbers`` does.
    """

    def __init__(self) -> None:
        self.numbers: Numbers = {}
        self.version = 0
        self._buckets: dict[str, _OfBucket] = {}

    def number(self, rule: Rule) -> int:
        """Return the number for a purge that is made now."""
        return max(time.time_ns(), 1 + max(self.numbers.values(), default=0))

    def merge(self, others: Numbers) -> list[Rule]:
        """Add rules, and return those that were unknown or have a higher number."""
        merged = tidied(join(self.numbers, others))
        new = [rule for rule, number in merged.items() if self.numbers.get(rule, 0) < number]
        if new:
            self.numbers, self.version = merged, self.version + 1
            self._buckets = _by_bucket(merged)
        return new

    def renamed(self, variant: str, bucket: str, keys: Iterable[str], styles: Iterable[str]) -> str:
        """Return the name of a variant under the rules that cover it.

        Args:
            variant: Its name without rules.
            bucket: The bucket of its objects.
            keys: Keys of the source, of its watermarks, and of symlinks that lead to them.
            styles: Names of the styles in the request.
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
    """Return the rules of both, each with its higher number."""
    result = dict(one)
    for rule, number in other.items():
        result[rule] = max(number, result.get(rule, 0))
    return result


def tidied(numbers: Numbers) -> dict[Rule, int]:
    """Return the rules without superfluous ones, within the limits; no purged entry reappears.

    The result depends on the rules alone, so it is the same on every instance.
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
    """Return rules from JSON; none if it is not ours."""
    try:
        rows = orjson.loads(data)
        rules = {Rule(bucket, kind, text): int(n) for bucket, kind, text, n in rows}
    except (ValueError, TypeError):
        return {}
    texts = (text for rule in rules for text in rule)
    known = all(isinstance(text, str) for text in texts) and {r.kind for r in rules} <= {*KINDS}
    return rules if known else {}


def _is_covered(rule: Rule, number: int, prefixes: Mapping[str, int]) -> bool:
    """Return whether a later rule for a prefix covers all that this rule covers."""
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
