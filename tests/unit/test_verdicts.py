"""The rules over numbers of all parts against the same rules over single items, one after the other."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.facts import digests, paths_of, read_facts, read_rows, write_rows
from pipeline.settings import Validate
from pipeline.validate.items import Why, kind, kinds, reasons, verdicts
from pipeline.validate.parts import summed_up
from tests.unit.test_validate import item, write

SETTINGS = Validate(min_side=4, max_side=100, min_contrast=0.7)
VALUES = {
    "path": st.sampled_from(["a/1", "a/2", "b/1", "b/é", "c"]),
    "label": st.sampled_from(["a", "a", "b", "b, c", None]),
    "content": st.sampled_from("xyzäuvw"),
    "split": st.sampled_from(["", "train", "holdout"]),
    "width": st.sampled_from([3, 4, 50, 100, 101]),
    "height": st.sampled_from([3, 4, 50, 100, 101]),
    "contrast": st.sampled_from([0.0, 0.69, float(np.float32(0.7)), 50.0]),
    "mode": st.sampled_from(["L", "RGB", "odd"]),
    "problem": st.sampled_from([None, None, None, "not an image", "cut: off: at 3", "cut: off: at 4"]),
    "accepted": st.booleans(),
}
ITEMS = st.fixed_dictionaries(VALUES).map(lambda values: item(**values))
ITEMS = ITEMS.map(lambda row: row | {"sha256": row["sha256"][0] * 16 + row["sha256"][16:]})  # z and w begin alike
SOUND = ITEMS.map(lambda row: row | {"width": 8, "height": 8, "contrast": 50.0, "problem": None})
PARTS = st.lists(st.lists(st.one_of(ITEMS, SOUND), max_size=8), min_size=1, max_size=5)


def alone(row: dict[str, Any], labelled: bool) -> str | None:
    """What is wrong with an item, whatever others there are."""
    w, h = row["width"], row["height"]
    if row["problem"]:
        return str(row["problem"])
    if not row["accepted"]:
        if min(w, h) < SETTINGS.min_side:
            return f"too small: {w}x{h} pixels, min_side is 4"
        if max(w, h) > SETTINGS.max_side:
            return f"too large: {w}x{h} pixels, max_side is 100"
        if np.float32(row["contrast"]) < np.float32(SETTINGS.min_contrast):
            return f"blank: contrast {row['contrast']:.2f}, min_contrast is 0.7"
    return "no label" if labelled and row["label"] is None else None


def plainly(rows: list[dict[str, Any]]) -> list[str | None]:
    labelled = any(row["label"] is not None for row in rows)
    found = [alone(row, labelled) for row in rows]
    good = [number for number, why in enumerate(found) if why is None]
    for number in good:
        copies = [other for other in good if rows[other]["sha256"] == rows[number]["sha256"]]
        first = min(copies, key=lambda n: (rows[n]["split"] != "holdout", rows[n]["image"]["path"], n))
        labels = {rows[other]["label"] for other in copies}
        if len(labels) > 1:
            found[number] = f"same image under several labels: {', '.join(sorted(labels))}"
        elif number != first:
            found[number] = f"duplicate of {rows[first]['image']['path']}"
    return found


@settings(deadline=None)
@given(PARTS)
def test_rules_over_columns_are_the_rules_over_items(groups: list[list[dict[str, Any]]]) -> None:
    rows = [row for group in groups for row in group]
    expected = plainly(rows)
    with tempfile.TemporaryDirectory() as folder:
        source = write(Path(folder) / "snapshot", *groups)
        facts = read_facts(source)
        found = verdicts(facts, SETTINGS, partial(paths_of, source, facts))
        good = found.why == Why.ACCEPTED
        write_rows(Path(folder) / "accepted.parquet", facts, good)
        assert np.array_equal(read_rows(Path(folder) / "accepted.parquet", facts), good)
    assert good.tolist() == [why is None for why in expected]
    bad = np.flatnonzero(~good)
    assert [reasons(facts, found, SETTINGS, bad[i : i + 1])[0] for i in range(len(bad))] == list(filter(None, expected))
    assert not len(bad) or reasons(facts, found, SETTINGS, bad) == list(filter(None, expected))
    names = [kind(why) for why in expected if why]
    assert kinds(facts, found) == {name: names.count(name) for name in sorted(set(names))}
    summary = summed_up(facts, good)
    assert not summary[["copies", "problems"]].to_numpy().any()
    for row, group, first in zip(summary.to_dict("records"), groups, facts.starts, strict=False):
        judged = [
            i for i, n in zip(group, range(first, first + len(group)), strict=True) if good[n] and not i["accepted"]
        ]
        assert row["unknown_modes"] == sum(i["mode"] == "odd" for i in judged)
        sides = [side for i in judged for side in (i["width"], i["height"])]
        assert not sides or (row["smallest_side"], row["largest_side"]) == (min(sides), max(sides))
        assert bool(sides) != np.isnan(row["lowest_contrast"])


def test_what_is_no_hash_is_refused() -> None:
    assert digests(
        pa.chunked_array([pa.array(["0f" * 32, "10" * 32]).slice(1), pa.array([], pa.string())])
    ).tolist() == [[16] * 32]
    for wrong in (["0" * 63], ["0" * 65, "0" * 63], ["x" * 64], [None]):
        with pytest.raises(ValueError):
            digests(pa.chunked_array([wrong], pa.string()))
