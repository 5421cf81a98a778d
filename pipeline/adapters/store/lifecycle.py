"""A bucket's lifecycle rules: ours beside those of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OURS = "genloop-"  # what the ids of our rules begin with
UNFINISHED_DAYS = 2  # until parts of an upload that nobody finished are deleted; they are paid for and not listed

Rule = dict[str, Any]


def merged(there: Sequence[Rule], days: Mapping[str, int]) -> list[Rule]:
    """Rules of others as they are, then ours: objects below each prefix expire after so many days.

    Raises ValueError for less than a day. Versions that a bucket keeps of an object are left to its owner.
    """
    for prefix, count in days.items():
        if count < 1:
            raise ValueError(f"{prefix!r}: {count} days are less than one")
    return [rule for rule in there if not is_ours(rule)] + [_rule(*pair) for pair in sorted(days.items())]


def is_ours(rule: Rule) -> bool:
    return str(rule.get("ID", "")).startswith(OURS)


def same(some: Sequence[Rule], others: Sequence[Rule]) -> bool:
    """Whether both say the same of our prefixes; a server may add to a rule, and order them as it likes."""
    return sorted(_said(rule) for rule in some if is_ours(rule)) == sorted(
        _said(rule) for rule in others if is_ours(rule)
    )


def _said(rule: Rule) -> tuple[str, str, int, str]:
    prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))
    return str(rule["ID"]), str(prefix), int(rule.get("Expiration", {}).get("Days", 0)), str(rule.get("Status"))


def _rule(prefix: str, days: int) -> Rule:
    return {
        "ID": f"{OURS}{prefix}"[:255],
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
    }
