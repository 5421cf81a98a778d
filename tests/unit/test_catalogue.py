"""The catalogue against scores worked by hand, read back by other tools; and what is nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ParamsError
from pipeline.purposes.catalogue import Items, check_segments, shares, tables, write
from pipeline.purposes.search import Search

ITEMS = Items(
    names=np.array(["a", "b", "c", "d"]),
    labels=np.array(["cat", "cat", "dog", "bird"]),
    quality=np.array([0.5, 1.0, 1.0, 1.0], np.float32),
    embeddings=np.array([[1, 0], [2, 0.2], [0, 3], [-1, 0]], np.float32),
)
SEGMENTS = {"young": {"cat": 3, "dog": 1}, "all": {"cat": 1, "dog": 1, "bird": 2}}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.parquet"
    assert write(path, ITEMS, SEGMENTS) == 7
    return path


def test_scores_and_ranks_by_hand() -> None:
    every, young = (table.to_pylist() for table in tables(ITEMS, SEGMENTS))
    assert [(row["item"], row["score"], row["rank"]) for row in young] == [
        ("b", pytest.approx(0.75), 1), ("a", pytest.approx(0.375), 2), ("c", pytest.approx(0.25), 3),
    ]  # fmt: skip
    assert [(row["item"], row["score"]) for row in every] == [("d", 0.5), ("b", 0.25), ("c", 0.25), ("a", 0.125)]
    assert {row["segment"] for row in young} == {"young"}


def test_pandas_reads_it_and_joins_it(catalogue: Path) -> None:
    frame = pd.read_parquet(catalogue)
    assert list(frame) == ["segment", "item", "label", "score", "rank", "embedding"]
    assert not frame.duplicated(["segment", "item"]).any()
    assert np.stack(frame.embedding.tolist()).shape == (7, 2)
    joined = pd.DataFrame({"item": ["c"]}).merge(frame, on="item")
    assert sorted(joined.segment) == ["all", "young"]
    assert np.stack(joined.embedding.tolist()).tolist() == [[0, 3], [0, 3]]


def test_duckdb_reads_it(catalogue: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select item, len(embedding) from '{catalogue}' where segment = 'young' order by rank"
    assert duckdb.sql(query).fetchall() == [("b", 2), ("a", 2), ("c", 2)]


def test_the_table_is_typed(catalogue: Path) -> None:
    schema = pq.read_schema(catalogue)
    assert schema.field("embedding").type == pa.list_(pa.float32(), 2)
    assert (schema.field("score").type, schema.field("rank").type) == (pa.float32(), pa.int32())


def test_the_same_items_in_another_order_give_the_same_file(tmp_path: Path) -> None:
    back = Items(ITEMS.names[::-1], ITEMS.labels[::-1], ITEMS.quality[::-1], ITEMS.embeddings[::-1])
    for name, items in (("one", ITEMS), ("other", back)):
        write(tmp_path / name, items, SEGMENTS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_nearest_by_cosine(catalogue: Path) -> None:
    found = Search(catalogue).similar("a", 2)
    assert [one.item for one in found] == ["b", "c"]
    assert found[0].score == pytest.approx(2 / 4.04**0.5, abs=1e-5)
    assert found[1].score == pytest.approx(0, abs=1e-6)
    assert [one.item for one in Search(catalogue).similar("a", 99)] == ["b", "c", "d"]
    assert Search(catalogue).similar("a", 0) == []


def test_equals_come_by_name(tmp_path: Path) -> None:
    count = 300
    names = np.array([f"n{n:03d}" for n in range(count)])
    vectors = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    vectors[100:120] = vectors[100] * np.arange(1, 21, dtype=np.float32)[:, None]  # one direction
    write(tmp_path / "c", Items(names, np.array(["x"] * count), np.ones(count, np.float32), vectors), {"s": {"x": 1}})
    assert [one.item for one in Search(tmp_path / "c").similar("n110", 5)] == ["n100", "n101", "n102", "n103", "n104"]


def test_the_nearest_as_worked_out_in_full(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((500, 16)).astype(np.float32)
    names = np.array([f"n{n:03d}" for n in range(500)])
    items = Items(names, random.choice(["x", "y"], 500), np.ones(500, np.float32), vectors)
    write(tmp_path / "c", items, {"s": {"x": 1, "y": 1}})
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = names[np.argsort(-(unit @ unit[42]), kind="stable")][1:11]
    assert [one.item for one in Search(tmp_path / "c").similar("n042", 10)] == expected.tolist()


def test_the_best_of_a_segment(catalogue: Path) -> None:
    search = Search(catalogue)
    assert [one.item for one in search.for_segment("young", 2)] == ["b", "a"]
    for ask in (lambda: search.for_segment("old", 2), lambda: search.similar("zz", 2)):
        with pytest.raises(ParamsError):
            ask()


def test_only_the_best_are_kept(tmp_path: Path) -> None:
    assert write(tmp_path / "c", ITEMS, SEGMENTS, most=2) == 4
    assert write(tmp_path / "none", ITEMS, {}) == 0
    with pytest.raises(ParamsError, match="not in the catalogue"):
        Search(tmp_path / "none").similar("a", 1)


@pytest.mark.parametrize(
    "segments",
    [
        {"s": {"cow": 1}},
        {"s": {"cat": -1, "dog": 2}},
        {"s": {"cat": float("nan")}},
        {"s": {"cat": float("inf")}},
        {"s": {"cat": 0}},
        {"s": {}},
        {"../s": {"cat": 1}},
        {"": {"cat": 1}},
    ],
)
def test_segments_that_can_not_be(segments: dict[str, dict[str, float]], tmp_path: Path) -> None:
    with pytest.raises(ParamsError):
        write(tmp_path / "c", ITEMS, segments)
    assert not (tmp_path / "c").exists()


def test_shares_add_up() -> None:
    check_segments(SEGMENTS, {"cat", "dog", "bird"})
    assert shares({"cat": 3, "dog": 1, "bird": 0}) == {"cat": 0.75, "dog": 0.25}


@pytest.mark.parametrize(
    ("names", "quality", "embeddings"),
    [
        (["a", "a"], [1, 1], [[1], [1]]),
        (["a", "b"], [1, 2], [[1], [1]]),
        (["a", "b"], [1, np.nan], [[1], [1]]),
        (["a", "b"], [1, 1], [[1], [np.inf]]),
        (["a", "b"], [1], [[1], [1]]),
        (["a", "b"], [1, 1], [[], []]),
    ],
)
def test_items_that_can_not_be(names: list[str], quality: list[float], embeddings: list[list[float]]) -> None:
    with pytest.raises(ValueError):
        Items(np.array(names), np.array(["x"] * 2), np.array(quality, np.float32), np.array(embeddings, np.float32))


def test_another_file_is_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    pq.write_table(pa.table({"item": ["a"]}), tmp_path / "columns")
    table = pa.table({"segment": ["s"], "item": ["a"], "score": [1.0], "embedding": [[1.0]]})
    pq.write_table(table, tmp_path / "ragged")
    for name in ("text", "columns", "ragged", "absent"):
        with pytest.raises(ParamsError):
            Search(tmp_path / name)
