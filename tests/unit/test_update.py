"""A snapshot goes along with its sources: only what is new is read, what is gone leaves, a kill changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.collect import chunks, writer
from pipeline.collect.snapshot import collect
from pipeline.errors import SourceError
from pipeline.files import sha256_file
from pipeline.manifest import read_manifest
from pipeline.media.image import encode_png, inspect_all
from pipeline.settings import Collect, Source
from pipeline.values import Snapshot
from tests.unit.test_collect import folder, png, tar


def sources(*entries: dict[str, Any]) -> Collect:
    return Collect(sources=tuple(Source(**entry) for entry in entries))


def update(root: Path, settings: Collect, only: tuple[str, ...] = ()) -> Snapshot:
    return collect(settings, root, root / "snapshot", root / "pixels", root / "ledgers", only=only)


def contents(root: Path) -> dict[str, str]:
    """Every file of the snapshot, by its hash."""
    place = root / "snapshot"
    return {str(path.relative_to(place)): sha256_file(path) for path in sorted(place.rglob("*")) if path.is_file()}


def paths(root: Path) -> list[str]:
    return sorted(read_manifest(root / "snapshot")["path"].to_pylist())


def here(function: Callable[[Any], Any], tasks: Iterable[Any], *_: object) -> Iterator[Any]:
    """Each task in this process."""
    return map(function, tasks)


TREE = {f"{label}/{i}.png": png(i + 10 * (label == "b")) for label in "ab" for i in range(4)}


def test_what_is_unchanged_is_not_read_again(tmp_path: Path) -> None:
    tree, settings = folder(tmp_path / "s", TREE), Collect(source="s")
    before = update(tmp_path, settings)
    inode = (tmp_path / "snapshot/parts" / before.parts[0].name).stat().st_ino
    kept = (tree / "a/0.png").stat()
    (tree / "a/0.png").write_bytes(b"x" * kept.st_size)  # what nobody reads, nobody sees
    os.utime(tree / "a/0.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    folder(tree, {"b/9.png": png(99)})
    after = update(tmp_path, settings)
    assert set(before.parts) < set(after.parts) and after.items == before.items + 1
    assert (tmp_path / "snapshot/parts" / before.parts[0].name).stat().st_ino == inode
    assert set(read_manifest(tmp_path / "snapshot")["problem"].to_pylist()) == {None}
    again = contents(tmp_path)
    assert update(tmp_path, settings) == after and contents(tmp_path) == again


def test_what_is_gone_or_changed_leaves_and_an_anew_collected_set_is_the_same(tmp_path: Path) -> None:
    tree, settings = folder(tmp_path / "s", TREE), Collect(source="s")
    update(tmp_path, settings)
    (tree / "a/1.png").unlink()
    folder(tree, {"a/2.png": png(77), "b/7.png": png(78)})
    shutil.move(tree / "b/3.png", tree / "a/8.png")
    after = update(tmp_path, settings)
    assert paths(tmp_path) == ["a/0.png", "a/2.png", "a/3.png", "a/8.png", "b/0.png", "b/1.png", "b/2.png", "b/7.png"]
    anew = tmp_path / "anew"
    anew.mkdir()
    assert update(anew, Collect(source=str(tree))).id == after.id


def test_what_was_known_by_its_bytes_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Touched and moved files, and a ledger that was lost."""
    tree, settings = folder(tmp_path / "s", TREE), Collect(source="s")
    before = update(tmp_path, settings)
    pixels = {path.name: path.read_bytes() for path in (tmp_path / "pixels").iterdir()}
    decoded = list[bytes]()

    def watched(found: list[bytes], areas_side: int) -> Any:
        decoded.extend(found)
        return inspect_all(found)

    monkeypatch.setattr("pipeline.media.image.inspect_all", watched)
    monkeypatch.setattr("pipeline.collect.decoding.each", here)
    for path in tree.rglob("*.png"):
        os.utime(path)
    assert update(tmp_path, settings) == before and not decoded
    shutil.rmtree(tmp_path / "ledgers")
    assert update(tmp_path, settings) == before and not decoded
    assert {path.name: path.read_bytes() for path in (tmp_path / "pixels").iterdir()} == pixels
    (tree / "a/1.png").rename(tree / "a/new.png")
    folder(tree, {"a/other.png": png(50)})
    update(tmp_path, settings)
    assert decoded == [png(50)]


def test_an_archive_beside_images_is_a_unit(tmp_path: Path) -> None:
    tree, settings = folder(tmp_path / "s", {"a/0.png": png(0), "b/1.png": png(1)}), Collect(source="s")
    for index in range(3):
        (tree / f"train-{index}.tar").write_bytes(tar({f"w/{c}/{index}.png": png(20 + index + ord(c)) for c in "ab"}))
    first = update(tmp_path, settings)
    table = read_manifest(tmp_path / "snapshot")
    assert set(zip(table["unit"].to_pylist(), table["label"].to_pylist(), table["split"].to_pylist(), strict=True)) == {
        ("a/0.png", "a", ""),
        ("b/1.png", "b", ""),
        *((f"train-{index}.tar", label, "train") for index in range(3) for label in "ab"),
    }
    (tree / "train-1.tar").unlink()
    (tree / "train-3.tar").write_bytes(tar({"w/a/3.png": png(90), "w/b/3.png": png(91)}))
    second = update(tmp_path, settings)
    assert len(set(first.parts) - set(second.parts)) == len(set(second.parts) - set(first.parts)) == 1
    assert paths(tmp_path) == sorted(["a/0.png", "b/1.png", *(f"w/{c}/{i}.png" for c in "ab" for i in (0, 2, 3))])


def test_a_folder_that_becomes_a_class_gives_its_old_items_their_label(tmp_path: Path) -> None:
    tree, settings = folder(tmp_path / "s", {"a/0.png": png(0)}), Collect(source="s")
    update(tmp_path, settings)
    assert read_manifest(tmp_path / "snapshot")["label"].to_pylist() == [None]
    folder(tree, {"b/0.png": png(1)})
    update(tmp_path, settings)
    assert sorted(read_manifest(tmp_path / "snapshot")["label"].to_pylist()) == ["a", "b"]


def test_several_sources_each_by_its_rules(tmp_path: Path) -> None:
    folder(tmp_path / "one", {"x/cat_1.png": png(1), "x/dog_2.png": png(2), "x/note.txt": b"no", "x/bird3.png": png(3)})
    folder(tmp_path / "two", {"1.png": png(4), "2.png": png(5)})
    folder(tmp_path / "three", {"1.png": png(6)})
    settings = sources(
        {"name": "shop", "uri": "one", "label_pattern": "([a-z]+)_", "include": ["*.png"], "exclude": ["*bird*"]},
        {"name": "owls", "uri": "two", "label": "owl", "licence": "CC0", "require": ["licence"]},
        {"name": "theirs", "uri": "three", "label": "owl", "require": ["licence", "consent"]},
    )
    snapshot = update(tmp_path, settings)
    table = read_manifest(tmp_path / "snapshot")
    rows = {(row["source"], row["path"]): (row["label"], row["problem"]) for row in table.to_pylist()}
    assert rows == {
        ("shop", "x/cat_1.png"): ("cat", None),
        ("shop", "x/dog_2.png"): ("dog", None),
        ("owls", "1.png"): ("owl", None),
        ("owls", "2.png"): ("owl", None),
        ("theirs", "1.png"): ("owl", "no licence and no consent: of source theirs"),
    }
    assert [origin.licence for origin in snapshot.sources] == ["", "CC0", ""]
    given = settings.sources[2].model_copy(update={"licence": "mine", "consent": "2026-11-01, by mail"})
    update(tmp_path, Collect(sources=(*settings.sources[:2], given)))
    assert set(read_manifest(tmp_path / "snapshot")["problem"].to_pylist()) == {None}
    update(tmp_path, Collect(sources=settings.sources[:1]))
    assert set(read_manifest(tmp_path / "snapshot")["source"].to_pylist()) == {"shop"}


def test_only_the_sources_that_are_named_are_looked_at(tmp_path: Path) -> None:
    folder(tmp_path / "one", {"1.png": png(1)})
    folder(tmp_path / "two", {"2.png": png(2)})
    settings = sources({"name": "one", "uri": "one", "label": "x"}, {"name": "two", "uri": "two", "label": "y"})
    update(tmp_path, settings)
    folder(tmp_path / "one", {"3.png": png(3)})
    folder(tmp_path / "two", {"4.png": png(4)})
    update(tmp_path, settings, only=("one",))
    assert paths(tmp_path) == ["1.png", "2.png", "3.png"]
    shutil.rmtree(tmp_path / "ledgers")
    update(tmp_path, settings, only=("one",))
    assert paths(tmp_path) == ["1.png", "2.png", "3.png"]
    update(tmp_path, settings)
    assert paths(tmp_path) == ["1.png", "2.png", "3.png", "4.png"]


def test_a_source_that_vanishes_takes_nothing_with_it(tmp_path: Path) -> None:
    tree, settings = folder(tmp_path / "s", TREE), Collect(source="s")
    update(tmp_path, settings)
    before = contents(tmp_path)
    shutil.rmtree(tree)
    with pytest.raises(SourceError, match="not there"):
        update(tmp_path, settings)
    tree.mkdir()
    with pytest.raises(SourceError, match="empty"):  # an unmounted disk looks like this
        update(tmp_path, settings)
    assert contents(tmp_path) == before


def test_a_source_that_fails_half_way_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the fault is not read again, and ends in the same snapshot."""
    monkeypatch.setattr(writer, "PART_ITEMS", 3)
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 3)
    monkeypatch.setattr("pipeline.collect.decoding.each", here)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    tree = folder(tmp_path / "s", TREE | {"z.tar": tar({f"w/a/{i}.png": png(40 + i) for i in range(7)})})
    settings = Collect(source=str(tree))
    update(undisturbed, settings)

    whole = (tree / "z.tar").read_bytes()
    stamp = (tree / "z.tar").stat()
    (tree / "z.tar").write_bytes(whole[:3000] + b"\0" * 100 + b"\xff" * (len(whole) - 3100))
    with pytest.raises(SourceError, match="damaged"):
        update(tmp_path, settings)
    assert not (tmp_path / "snapshot").exists()
    first = (tree / "a/0.png").stat()
    (tree / "a/0.png").write_bytes(b"x" * first.st_size)
    os.utime(tree / "a/0.png", ns=(first.st_atime_ns, first.st_mtime_ns))
    (tree / "z.tar").write_bytes(whole)
    os.utime(tree / "z.tar", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    update(tmp_path, settings)
    assert contents(tmp_path) == contents(undisturbed)


KILLED = """
import sys
from pathlib import Path
from pipeline.collect import chunks, snapshot, writer
from pipeline.settings import Collect
writer.PART_ITEMS, chunks.CHUNK_ITEMS = 40, 10
root = Path(sys.argv[1])
snapshot.collect(Collect(source=sys.argv[2]), root, root / "snapshot", root / "pixels", root / "ledgers")
"""


def test_killed_at_any_moment_it_ends_in_the_same_snapshot(tmp_path: Path) -> None:
    """Twenty kills, in the first collection and in an update with additions, removals and a changed archive."""
    random = np.random.default_rng(0)
    images = [encode_png(random.integers(0, 256, (1, 24, 24), dtype=np.uint8)) for _ in range(900)]
    tree = folder(tmp_path / "s", {f"{i % 3}/{i:03}.png": data for i, data in enumerate(images[:500])})
    (tree / "x.tar").write_bytes(tar({f"{i % 3}/t{i:03}.png": data for i, data in enumerate(images[500:700])}))

    def start(root: Path) -> subprocess.Popen[bytes]:
        root.mkdir(exist_ok=True)
        return subprocess.Popen([sys.executable, "-c", KILLED, str(root), str(tree)])

    def seconds(root: Path) -> float:
        begun = time.perf_counter()
        assert start(root).wait() == 0
        return time.perf_counter() - begun

    def killed_until_done(root: Path, took: float) -> int:
        kills = 0
        for share in random.uniform(0.3, 0.9, 10):
            process = start(root)
            time.sleep(share * took)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert start(root).wait() == 0
        return kills

    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    took = seconds(undisturbed)
    kills = killed_until_done(disturbed, took)
    assert contents(disturbed) == contents(undisturbed)
    for index in range(0, 500, 7):
        (tree / f"{index % 3}/{index:03}.png").unlink()
    folder(tree, {f"{i % 3}/n{i:03}.png": data for i, data in enumerate(images[700:])})
    (tree / "x.tar").write_bytes(tar({f"{i % 3}/t{i:03}.png": data for i, data in enumerate(images[510:720])}))
    took = seconds(undisturbed)
    kills += killed_until_done(disturbed, took)
    assert contents(disturbed) == contents(undisturbed)
    assert kills >= 6  # of 20; how many come too late depends on what else runs
    assert {path.name for path in disturbed.iterdir()} == {"snapshot", "pixels", "ledgers"}
