"""Why an item is rejected: rules over the facts of all rows, whole columns at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.facts import Facts
from pipeline.settings import Validate


class Why(IntEnum):
    """An item has the first reason that holds."""

    ACCEPTED = 0
    PROBLEM = 1
    SMALL = 2
    LARGE = 3
    BLANK = 4
    NO_LABEL = 5
    CONFLICT = 6
    DUPLICATE = 7


DUPLICATE = "duplicate of "
KINDS = {
    Why.SMALL: "too small",
    Why.LARGE: "too large",
    Why.BLANK: "blank",
    Why.NO_LABEL: "no label",
    Why.CONFLICT: "same image under several labels",
    Why.DUPLICATE: DUPLICATE.split()[0],
}


@dataclass(frozen=True)
class Verdicts:
    """why: uint8 [N], a Why for each row. copies: int64 [M], rows that are rejected as copies of others, ascending;
    of: what each is a copy of, or all the labels that it has."""

    why: NDArray[np.uint8]
    copies: NDArray[np.int64]
    of: list[str]


def verdicts(facts: Facts, settings: Validate, paths: Callable[[NDArray[np.int64]], list[str]]) -> Verdicts:
    """paths: of ascending rows.

    What a person accepted may be small, large or blank; it still has to be an image, to have a label where others
    have, and to be no copy.
    """
    why = np.where(facts.problem.known, Why.PROBLEM, Why.ACCEPTED).astype(np.uint8)
    _reject(why, np.minimum(facts.width, facts.height) < settings.min_side, Why.SMALL)
    _reject(why, np.maximum(facts.width, facts.height) > settings.max_side, Why.LARGE)
    _reject(why, facts.contrast < settings.min_contrast, Why.BLANK)
    why[facts.accepted & (why != Why.PROBLEM)] = Why.ACCEPTED
    if facts.label.known.any():
        _reject(why, ~facts.label.known, Why.NO_LABEL)
    rows, groups = alike(facts, why == Why.ACCEPTED)
    torn = _torn(groups, facts.label.codes[rows], facts.label.names)
    kept = _kept(groups, ~facts.split.among({"holdout"})[rows], paths(rows))
    of: dict[int, str] = {}
    for place, (row, group) in enumerate(zip(rows.tolist(), groups.tolist(), strict=True)):
        if group in torn:
            why[row], of[row] = Why.CONFLICT, torn[group]
        elif place != kept[group][2]:
            why[row], of[row] = Why.DUPLICATE, kept[group][1]
    return Verdicts(why, np.array(list(of), np.int64), list(of.values()))


def _reject(why: NDArray[np.uint8], where: NDArray[np.bool_], reason: Why) -> None:
    why[(why == Why.ACCEPTED) & where] = reason


def alike(facts: Facts, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the chosen rows those whose content another one has, ascending, and for each the number of its content.

    Sorted by eight bytes of the hash; whole hashes are compared only where those are equal.
    """
    rows = np.flatnonzero(chosen)
    begins = np.ascontiguousarray(facts.sha256[:, :8]).view(np.uint64)[rows, 0]
    ordered = np.sort(begins)
    rows = rows[np.isin(begins, ordered[1:][ordered[1:] == ordered[:-1]])]
    words = facts.sha256[rows].view(np.uint64)
    order = np.lexsort(words.T)
    new = (words[order][1:] != words[order][:-1]).any(axis=1)
    groups = np.empty(len(rows), np.int64)
    groups[order] = np.insert(np.cumsum(new), 0, 0)[: len(rows)]
    several = np.bincount(groups)[groups] > 1
    return rows[several], groups[several]


def near_copies(facts: Facts, good: NDArray[np.bool_]) -> int:
    """How many of the good rows look like another one of other content: of one difference hash, and of one brightness
    and contrast to a grey level. They are reported, not rejected: simple images, such as digits, are often alike."""
    rows = np.flatnonzero(good)
    hashes, brightness = facts.dhash[rows].view(np.uint64).ravel(), facts.brightness[rows]
    order = np.lexsort((brightness, hashes))
    same = hashes[order][1:] == hashes[order][:-1]
    for values in (brightness, facts.contrast[rows]):
        same &= np.abs(np.diff(values[order])) <= 1
    return int((np.append(same, False) | np.insert(same, 0, False)).sum()) if len(rows) else 0


def _torn(groups: NDArray[np.int64], labels: NDArray[np.int32], names: tuple[str, ...]) -> dict[int, str]:
    """The labels of each content that stands under more than one: no copy of it can be trusted."""
    found: dict[int, set[int]] = {}
    for group, label in zip(groups.tolist(), labels.tolist(), strict=True):
        found.setdefault(group, set()).add(label)
    return {group: ", ".join(sorted(names[c] for c in codes)) for group, codes in found.items() if len(codes) > 1}


def _kept(groups: NDArray[np.int64], train: NDArray[np.bool_], paths: list[str]) -> dict[int, tuple[bool, str, int]]:
    """The copy of each content that stays, its place last: a holdout copy if there is one, then the first by path."""
    found: dict[int, tuple[bool, str, int]] = {}
    for place, (group, *rank) in enumerate(zip(groups.tolist(), train.tolist(), paths, strict=True)):
        entry = (*rank, place)
        if group not in found or entry < found[group]:
            found[group] = entry
    return found


def reasons(facts: Facts, found: Verdicts, settings: Validate, rows: NDArray[np.int64]) -> list[str]:
    """Of ascending rows that are rejected, in words."""
    begin, end = np.searchsorted(found.copies, [rows[0], rows[-1] + 1])
    of = dict(zip(found.copies[begin:end].tolist(), found.of[begin:end], strict=True))
    return [_reason(facts, Why(found.why[row]), of.get(row, ""), settings, row) for row in rows.tolist()]


def _reason(facts: Facts, why: Why, of: str, settings: Validate, row: int) -> str:
    size = f"{facts.width[row]}x{facts.height[row]} pixels"
    match why:
        case Why.PROBLEM:
            return facts.problem.names[int(facts.problem.codes[row])]
        case Why.SMALL:
            return f"{KINDS[why]}: {size}, min_side is {settings.min_side}"
        case Why.LARGE:
            return f"{KINDS[why]}: {size}, max_side is {settings.max_side}"
        case Why.BLANK:
            return f"{KINDS[why]}: contrast {facts.contrast[row]:.2f}, min_contrast is {settings.min_contrast:g}"
        case Why.CONFLICT:
            return f"{KINDS[why]}: {of}"
        case Why.DUPLICATE:
            return f"{DUPLICATE}{of}"
    return KINDS[why]


def kinds(facts: Facts, found: Verdicts) -> dict[str, int]:
    """How many items were rejected for what, without the particulars."""
    counts = Counter({kind: int((found.why == why).sum()) for why, kind in KINDS.items()})
    for problem, count in facts.problem.counts(found.why == Why.PROBLEM).items():
        counts[kind(problem)] += count
    return {name: count for name, count in sorted(counts.items()) if count}


def kind(reason: str) -> str:
    """The reason without its particulars: what reports count by."""
    return KINDS[Why.DUPLICATE] if reason.startswith(DUPLICATE) else reason.partition(":")[0].strip()
