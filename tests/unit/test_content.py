"""A snapshot's id tells what is in it, not how it is divided or in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.collect.content import content_id, content_of, content_of_table, noted, with_content
from pipeline.values import Part

Row = tuple[str, str | None, str]
ROWS: list[Row] = [("a1", "x", ""), ("a1", None, ""), ("a1", "", ""), ("b2", "x", "train"), ("b2", "x", "train")]


def part(rows: list[Row]) -> Part:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    table = pa.table({"sha256": columns[0], "label": columns[1], "split": columns[2], "problem": [None] * len(rows)})
    return noted("p", table, content_of(*columns))


def test_any_order_and_any_division_give_one_id() -> None:
    random, ids = np.random.default_rng(0), set[str]()
    for _ in range(20):
        rows = [ROWS[i] for i in random.permutation(len(ROWS))]
        ends = sorted(random.integers(0, len(rows) + 1, 3).tolist())
        groups = [rows[begin:end] for begin, end in zip([0, *ends], [*ends, len(rows)], strict=True)]
        ids.add(content_id(part(group) for group in groups))
    assert len(ids) == 1 and len(ids.pop()) == 16


def test_another_set_has_another_id() -> None:
    sets: list[list[Row]] = [[row] for row in ROWS[:4]]
    sets += [ROWS, ROWS[:4], [("a1", "train", "x")], [("a1", "x", "train")], [("a", "1x", "")], []]
    assert len({content_id([part(rows)]) for rows in sets}) == len(sets)


def test_a_part_of_an_old_snapshot_is_read(tmp_path: Path) -> None:
    table = pa.table({"sha256": ["a1", "b2"], "label": [None, "x"], "split": ["", ""], "problem": ["blank", None]})
    pq.write_table(table, tmp_path / "p")
    found = with_content(Part(name="p", items=2), tmp_path / "p")
    assert found == noted("p", table, content_of_table(table)) and (found.items, found.images) == (2, 1)
    assert with_content(found, tmp_path / "nowhere") == found
