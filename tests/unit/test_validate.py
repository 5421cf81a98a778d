"""Validation: every item is accepted or kept apart with a reason; a bad dataset stops with one line."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ValidationError
from pipeline.manifest import schema
from pipeline.settings import Validate
from pipeline.validate.step import validate
from pipeline.values import Part, Snapshot, Validation

SETTINGS = Validate.model_validate({"min_items": 4, "max_rejected_share": 0.9, "min_class_items": 1})


def item(path: str, label: str | None = "a", **changes: Any) -> dict[str, Any]:
    content = changes.pop("content", path).encode()
    row = {
        "image": {"bytes": content, "path": path},
        "label": label,
        "split": "",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "format": "PNG",
        "mode": "L",
        "width": 8,
        "height": 8,
        "brightness": 100.0,
        "contrast": 50.0,
        "dhash": hashlib.sha256(content).hexdigest()[:16],
        "problem": None,
        "source": "source",
        "unit": path,
        "accepted": False,
    }
    return row | changes


def good(count: int, label: str | None = "a") -> list[dict[str, Any]]:
    return [item(f"{label}/{number}.png", label) for number in range(count)]


def write(source: Path, *groups: list[dict[str, Any]]) -> Path:
    """A snapshot with a part of each group of items."""
    (source / "parts").mkdir(parents=True)
    parts = []
    for index, rows in enumerate(groups):
        name = f"p{index}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), source / "parts" / name, row_group_size=3)
        parts.append(Part(name=name, items=len(rows)))
    snapshot = Snapshot(id="s1", items=sum(map(len, groups)), ignored=0, parts=tuple(parts))
    (source / "snapshot.json").write_text(snapshot.model_dump_json())
    return source


def run(folder: Path, items: list[dict[str, Any]], settings: Validate = SETTINGS) -> Validation:
    half = (len(items) + 1) // 2
    source = write(folder / "snapshot", items[:half], items[half:])
    names = ("accepted.parquet", "quarantine", "docs", "validation.json")
    return validate(settings, source, *(folder / name for name in names))


def quarantined(folder: Path) -> dict[str, str]:
    with (folder / "quarantine" / "reasons.csv").open(newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def accepted(folder: Path) -> list[dict[str, Any]]:
    """The whole rows of what was accepted."""
    places = pq.read_table(folder / "accepted.parquet").to_pylist()
    parts = {name: pq.read_table(folder / "snapshot/parts" / name).to_pylist() for name in {p["part"] for p in places}}
    return [parts[place["part"]][place["row"]] for place in places]


def paths(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {row["image"]["path"] for row in rows}


def test_each_bad_item_is_named_with_its_reason_and_nothing_is_lost(tmp_path: Path) -> None:
    bad = [
        item(
            "corrupt.png",
            problem="not an image: truncated",
            width=None,
            height=None,
            contrast=None,
            mode=None,
        ),
        item("small.png", width=3),
        item("large.png", height=20_000),
        item("blank.png", contrast=0.5),
        item("none.png", label=None),
        item("copy.png", content="a/1.png"),
        item("x/torn.png", label="x", content="torn"),
        item("a/torn.png", content="torn"),
    ]
    result = run(tmp_path, [*bad, *good(6), item("x/0.png", "x")])
    assert quarantined(tmp_path) == {
        "corrupt.png": "not an image: truncated",
        "small.png": "too small: 3x8 pixels, min_side is 4",
        "large.png": "too large: 8x20000 pixels, max_side is 16384",
        "blank.png": "blank: contrast 0.50, min_contrast is 1",
        "none.png": "no label",
        "copy.png": "duplicate of a/1.png",
        "x/torn.png": "same image under several labels: a, x",
        "a/torn.png": "same image under several labels: a, x",
    }
    assert paths(accepted(tmp_path)) == {f"a/{number}.png" for number in range(6)} | {"x/0.png"}
    assert (result.items, result.accepted, result.rejected) == (15, 7, 8)
    assert result.reasons["not an image"] == result.reasons["duplicate"] == 1
    assert json.loads((tmp_path / "validation.json").read_text()) == result.model_dump()


def test_quarantine_keeps_the_bytes(tmp_path: Path) -> None:
    run(tmp_path, [*good(5), item("blank.png", contrast=0.0, content="the bytes")])
    (row,) = pq.read_table(tmp_path / "quarantine" / "quarantine.parquet").to_pylist()
    assert row["image"] == {"bytes": b"the bytes", "path": "blank.png"}
    assert (row["label"], row["reason"]) == ("a", "blank: contrast 0.00, min_contrast is 1")


def test_a_holdout_copy_is_preferred(tmp_path: Path) -> None:
    copies = [item("1.png", content="same"), item("2.png", content="same", split="holdout")]
    run(tmp_path, [*good(5), *copies])
    assert quarantined(tmp_path) == {"1.png": "duplicate of 2.png"}


def test_data_docs_are_whole_without_network(tmp_path: Path) -> None:
    run(tmp_path, good(5))
    docs = tmp_path / "docs"
    assert "all 11 checks passed" in (docs / "index.html").read_text()
    assert len(list(docs.glob("validations/**/*.html"))) == 2
    for page in docs.rglob("*.html"):
        assert "<script" not in page.read_text()
        assert 'src="http' not in page.read_text()


def test_the_same_snapshot_gives_the_same_pages(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "two"):
        run(tmp_path / name, good(5))
        docs = tmp_path / name / "docs"
        pages.append({page.relative_to(docs): page.read_bytes() for page in docs.rglob("*") if page.is_file()})
    assert len(pages[0]) >= 5
    assert pages[0] == pages[1]


def test_unlabelled_items_need_no_classes(tmp_path: Path) -> None:
    result = run(tmp_path, good(5, label=None))
    assert (result.accepted, result.classes) == (5, {})


FAILURES = [
    ([*good(3)], {}, "3 accepted items, min_items is 4"),
    (
        [*good(5), item("b.png", contrast=0.0)],
        {"max_rejected_share": 0.1},
        "1 of 6 items rejected (1 blank), a share of 0.167, max_rejected_share is 0.1",
    ),
    (
        [*good(5), *good(2, "b")],
        {"min_class_items": 3},
        "class 'b' has 2 accepted items, min_class_items is 3",
    ),
    (
        [*good(8), *good(2, "b")],
        {"max_class_imbalance": 3},
        "class 'a' has 8 items and 'b' 2, 4 times as many, max_class_imbalance is 3",
    ),
    ([*good(5), item("odd.png", mode="odd")], {}, "1 accepted items have a wrong mode (such as 'odd')"),
]


@pytest.mark.parametrize(("items", "changes", "fault"), FAILURES)
def test_a_bad_dataset_stops_with_one_line(
    tmp_path: Path, items: list[dict[str, Any]], changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        run(tmp_path, items, SETTINGS.model_copy(update=changes))
    index = tmp_path / "docs" / "index.html"
    remedy = f"see {index}; thresholds are in params.yaml under validate"
    assert str(caught.value) == f"the dataset fails 1 check: {fault} ({remedy})"
    assert "1 of " in index.read_text()
    assert (tmp_path / "quarantine" / "reasons.csv").exists()
    assert (tmp_path / "validation.json").exists()
    assert not (tmp_path / "accepted.parquet").exists()


def test_nothing_accepted_is_a_clear_failure(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="0 accepted items, min_items is 4"):
        run(tmp_path, [item("b.png", label=None, contrast=0.0)])


def test_what_a_person_accepted_may_be_odd_but_must_be_an_image(tmp_path: Path) -> None:
    odd = [item("a/small", width=2, accepted=True), item("a/blank", contrast=0.0, accepted=True)]
    bad = [item("a/broken", problem="not an image", accepted=True), item("a/tiny", width=2)]
    run(tmp_path, [*good(4), *odd, *bad])
    assert {"a/small", "a/blank"} < paths(accepted(tmp_path))
    assert quarantined(tmp_path).keys() == {"a/broken", "a/tiny"}


def test_what_looks_alike_is_counted_and_stays(tmp_path: Path) -> None:
    alike = [item(f"c/{number}.png", dhash="0f" * 8, brightness=60.0 + number % 2) for number in range(3)]
    others = [item("c/bright.png", dhash="0f" * 8, brightness=90.0), item("c/flat.png", dhash="0f" * 8, contrast=9.0)]
    found = run(tmp_path, [*good(9), *alike, *others])
    assert (found.near_copies, found.accepted) == (3, 14)
    assert run(tmp_path / "other", good(9)).near_copies == 0


def test_a_snapshot_without_any_item_fails_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="0 accepted items"):
        run(tmp_path, [])
