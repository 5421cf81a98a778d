import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.collect import chunks, writer
from pipeline.collect.labels import label_and_split
from pipeline.collect.snapshot import collect
from pipeline.collect.sources import fingerprint, open_source
from pipeline.errors import SourceError
from pipeline.manifest import read_bytes, read_manifest
from pipeline.media.image import encode_png
from pipeline.settings import Collect
from pipeline.values import Snapshot

MNIST = Path(__file__).parents[3] / "shared/data/mnist-png.tar.xz"


def png(seed: int, side: int = 8) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (1, side, side), dtype=np.uint8))


FILES = {f"{split}/{label}/{i}.png": png(hash((i, label == "a", split == "train")) % 2**32)
         for split in ("train", "test") for label in "ab" for i in range(3)}  # fmt: skip


def folder(root: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def snap(source: Path | str, workspace: Path, **settings: int) -> tuple[Snapshot, dict[str, str | None]]:
    snapshot = collect(
        Collect(source=str(source), **settings),
        workspace,
        workspace / "snapshot",
        workspace / "pixels",
        workspace / "ledgers",
    )
    table = read_manifest(workspace / "snapshot")
    return snapshot, dict(zip(table["path"].to_pylist(), table["problem"].to_pylist(), strict=True))


def test_folder_tar_and_zip_are_one_snapshot_in_any_order(tmp_path: Path) -> None:
    backwards = dict(reversed(FILES.items()))
    (tmp_path / "a.tar").write_bytes(tar(backwards))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar(FILES)))
    (tmp_path / "a.tar.zst").write_bytes(zstandard.compress(tar(FILES)))
    folder(tmp_path / "plain")
    zipped(tmp_path / "a.zip", {f"wrap/{name}": data for name, data in FILES.items()})
    ids = {snap(name, tmp_path)[0].id for name in ("plain", "a.tar", "a.tar.gz", "a.tar.zst", "a.zip")}
    assert len(ids) == 1


TREES = {
    "flat": (["1.png", "2.png", "3.png"], {None}),
    "flat in a wrapper": (["w/1.png", "w/2.png", "w/3.png"], {None}),
    "flat in wrappers": (["v/w/1.png", "v/w/2.png"], {None}),
    "classes": (["a/1.png", "b/1.png", "b/2.png"], {"a", "b"}),
    "classes in a wrapper": (["w/a/1.png", "w/b/1.png", "w/b/2.png"], {"a", "b"}),
    "train and test": (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"], {"a", "b"}),
    "train and test in a wrapper": (["w/train/a/1.png", "w/train/b/1.png", "w/test/a/1.png"], {"a", "b"}),
    "train and test of one class": (["train/a/1.png", "test/a/1.png"], {"a"}),
    "deeper below classes": (["a/x/1.png", "a/y/2.png", "b/x/1.png", "b/z/z/1.png"], {"a", "b"}),
    "deeper in a wrapper": (["w/a/x/1.png", "w/a/2.png", "w/b/1.png"], {"a", "b"}),
    "odd names": (["w/é ü/1.png", "w/%2e%2e/1.png", "w/日本\\語/1.png"], {"é ü", "%2e%2e", "日本\\語"}),
    "a dot before": (["./a/1.png", "./b/1.png"], {"a", "b"}),
}  # fmt: skip


@pytest.mark.parametrize("part_bytes", [1, writer.PART_BYTES])
@pytest.mark.parametrize("tree", TREES)
def test_a_folder_its_tar_and_its_zip_are_one_snapshot(
    tmp_path: Path, tree: str, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the tar's first parts were written before its root was known."""
    monkeypatch.setattr(writer, "PART_BYTES", part_bytes)
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 1)
    paths, labels = TREES[tree]
    files = {path: png(i) for i, path in enumerate(paths)}
    folder(tmp_path / "plain", files)
    zipped(tmp_path / "a.zip", files)
    (tmp_path / "a.tar").write_bytes(tar(files))
    (tmp_path / "b.tar").write_bytes(tar(dict(reversed(files.items()))))
    found = set()
    for name in ("plain", "a.zip", "a.tar", "b.tar"):
        found.add(snap(name, tmp_path)[0].id)
        assert set(read_manifest(tmp_path / "snapshot")["label"].to_pylist()) == labels, name
    assert len(found) == 1


def test_columns_and_bytes(tmp_path: Path) -> None:
    snapshot, _ = snap(folder(tmp_path / "s"), tmp_path)
    table = read_manifest(tmp_path / "snapshot")
    rows = table.to_pylist()
    assert {(r["label"], r["split"]) for r in rows} == {(c, s) for c in "ab" for s in ("train", "holdout")}
    assert read_bytes(tmp_path / "snapshot", snapshot.parts[0].name, [5, 0, 5]) == [
        FILES[rows[i]["path"]] for i in (5, 0, 5)
    ]


def test_collecting_again_gives_the_same_parts(tmp_path: Path) -> None:
    source = folder(tmp_path / "s")
    assert snap(source, tmp_path)[0] == snap(source, tmp_path)[0]


def test_digits(tmp_path: Path) -> None:
    snapshot, problems = snap("sample://digits", tmp_path)
    labels = read_manifest(tmp_path / "snapshot")["label"].unique().to_pylist()
    assert snapshot.items == 1797 and sorted(labels) == list("0123456789") and set(problems.values()) == {None}


def test_idx_pair(tmp_path: Path) -> None:
    pixels = np.arange(3 * 64, dtype=np.uint8).tobytes()
    images = struct.pack(">4I", 0x803, 3, 8, 8) + pixels
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 3) + bytes([7, 8, 9]))
    for source in (tmp_path, tmp_path / "t10k-images-idx3-ubyte.gz"):
        items = list(open_source(str(source), tmp_path))
        assert [(item.label, item.split) for item in items] == [(x, "holdout") for x in "789"]
    assert items[0].data == encode_png(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))


def test_parquet_with_class_names(tmp_path: Path) -> None:
    image = pa.array([{"bytes": png(i), "path": f"{i}.png"} for i in range(2)])
    table = pa.table({"image": image, "label": [1, 0]})
    info = b'{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'
    pq.write_table(table.replace_schema_metadata({b"huggingface": info}), tmp_path / "train-0.parquet")
    for source in (tmp_path, tmp_path / "train-0.parquet"):
        assert [(i.label, i.split) for i in open_source(str(source), tmp_path)] == [("dog", "train"), ("cat", "train")]


def table(path: Path, images: list[dict[str, object] | None], **columns: pa.Array) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), **columns}), path)
    return path


IMAGES: list[dict[str, object] | None] = [{"bytes": png(i), "path": None} for i in range(3)]
DICTIONARY = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), pa.array(["x", "y"]))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array(["a/b", "../../etc", "é\n"]), ["a/b", "../../etc", "é\n"]),
        (pa.array(["", None, " "]), [None, None, " "]),
        (pa.array([0, -1, None]), ["0", None, None]),
        (pa.array([0, 2**63, 7], pa.uint64()), ["0", str(2**63), "7"]),
        (pa.array([3.0, float("nan"), 0.5]), ["3", None, "0.5"]),
        (pa.array([True, False, None]), ["True", "False", None]),
        (pa.array([b"cat", b"\xff", None]), ["cat", "\\xff", None]),
        (pa.array(["a", "b", "c"], pa.large_string()), ["a", "b", "c"]),
        (DICTIONARY, ["x", "y", None]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_labels_of_any_type_that_names_a_class(tmp_path: Path, labels: pa.Array, expected: list[str | None]) -> None:
    source = table(tmp_path / "a.parquet", IMAGES, label=labels)
    items = list(open_source(str(source), tmp_path))
    assert [item.label for item in items] == expected
    assert [item.data for item in items] == [image["bytes"] for image in IMAGES if image]


@pytest.mark.parametrize(
    "labels", [pa.array([["a"], [], None]), pa.array([{"x": 1}] * 3), pa.array([None, 1, 2]).cast(pa.timestamp("s"))]
)
def test_labels_that_name_no_class_are_refused(tmp_path: Path, labels: pa.Array) -> None:
    source = table(tmp_path / "a.parquet", IMAGES, label=labels)
    with pytest.raises(SourceError, match=f"column label is .*{str(labels.type)[:4]}") as caught:
        list(open_source(str(source), tmp_path))
    assert caught.value.where == "a.parquet"


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    source = table(tmp_path / "a.parquet", [None, {"bytes": None, "path": "../x.png"}, *IMAGES])
    _, problems = snap(source, tmp_path)
    assert {path: why for path, why in problems.items() if why} == {
        "a.parquet/000000": "empty file",
        "../x.png": "empty file",
    }


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (pa.array([b"x"]), "no column image: struct"),
        (pa.array([{"bytes": [1, 2]}]), "image.bytes of a.parquet is list"),
    ],
)
def test_a_parquet_of_another_shape_is_refused(tmp_path: Path, image: pa.Array, text: str) -> None:
    pq.write_table(pa.table({"image": image}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=text):
        list(open_source("a.parquet", tmp_path))


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    source = table(tmp_path / "a.parquet", [{"bytes": bytes(range(256)) * 40, "path": None}] * 50)
    raw = bytearray(source.read_bytes())
    raw[4:4000] = bytes(3996)
    source.write_bytes(raw)
    with pytest.raises(SourceError, match="damaged"):
        list(open_source("a.parquet", tmp_path))


BOMB = """
import re, sys
from pathlib import Path
from pipeline.collect.sources import open_source
import numpy, pyarrow.compute, pyarrow.parquet, pipeline.media.image
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # of this process alone
before = peak()
try:
    for item in open_source(sys.argv[1], Path(sys.argv[1]).parent, 1 << 20):
        assert not item.data or len(item.data) < 1000, len(item.data)
        print(item.problem)
except Exception as error:
    print(type(error).__name__, error)
print((peak() - before) // 1024)
"""


def bomb(path: Path) -> tuple[list[str], int]:
    """What reading it in a process of its own says, and the MiB it took at most."""
    command = [sys.executable, "-c", BOMB, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    *lines, megabytes = done.stdout.splitlines()
    return lines, int(megabytes)


linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@linux
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_parquet_that_unpacks_to_gigabytes_is_quarantined_in_little_memory(tmp_path: Path, dictionary: bool) -> None:
    """400 times 8 MiB: one value in a dictionary, or each in a page of its own that zstd makes small."""
    large = pa.array([bytes(8 << 20)] * 20)
    image = pa.StructArray.from_arrays([large, pa.array([None] * 20, pa.string())], ["bytes", "path"])
    schema = pa.schema([("image", image.type)])
    options = {
        "compression": "zstd",
        "use_dictionary": dictionary,
        "dictionary_pagesize_limit": 1 << 30,
        "write_batch_size": 1,
    }
    with pq.ParquetWriter(tmp_path / "a.parquet", schema, **options) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"image": image}), row_group_size=400)
    assert (tmp_path / "a.parquet").stat().st_size < 1_000_000
    lines, megabytes = bomb(tmp_path / "a.parquet")
    assert lines == [f"too large: {8 << 20} bytes, max_item_bytes is {1 << 20}"] * 400
    assert megabytes < 150


def test_a_label_of_megabytes_is_quarantined(tmp_path: Path) -> None:
    source = table(tmp_path / "a.parquet", IMAGES, label=pa.array(["x" * 5_000_000, "b", "b"]))
    _, problems = snap(source, tmp_path)
    assert [why is None for why in problems.values()] == [False, True, True]


@linux
@pytest.mark.parametrize(
    ("count", "height", "width", "words"),
    [
        (2**32 - 1, 8, 8, "ends early"),
        (1, 10**9, 10**9, "images of 1000000000x1000000000 pixels"),
        (2**32 - 1, 0, 0, "images of 0x0 pixels"),
    ],
)
def test_an_idx_header_is_not_believed(tmp_path: Path, count: int, height: int, width: int, words: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, count, height, width) + png(1)[:64]))
    lines, megabytes = bomb(path)
    assert lines[-1].startswith("SourceError") and words in lines[-1]
    assert megabytes < 50


def test_hostile_tar(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind in (("/etc/x", b"0"), ("a/../../x", b"0"), ("link", b"2"), ("dev", b"3"), ("big", b"0")):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, 300 if name == "big" else 0
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        for name in ("ok.png", ".hidden", "__MACOSX/x"):
            member = tarfile.TarInfo(name)
            member.size = len(png(1))
            archive.addfile(member, io.BytesIO(png(1)))
    (tmp_path / "a.tar").write_bytes(data.getvalue())
    snapshot, problems = snap("a.tar", tmp_path, max_item_bytes=250)
    assert snapshot.ignored == 2
    assert problems.pop("big", "").startswith("too large")  # type: ignore[union-attr]
    unsafe = "unsafe path in archive"
    assert problems == {
        "/etc/x": unsafe,
        "a/../../x": unsafe,
        "link": "link in archive",
        "dev": "device in archive",
        "ok.png": None,
    }


def test_hostile_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"../x": b"x", "locked": b"secret", "ok.png": png(1), "big": b"x" * 999})
    raw = path.read_bytes()
    at = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)
    path.write_bytes(raw[: at + 8] + b"\x01" + raw[at + 9 :])
    _, problems = snap("a.zip", tmp_path, max_item_bytes=500)
    assert problems["../x"] == "unsafe path in archive" and problems["locked"] == "encrypted"
    assert (problems["big"] or "").startswith("too large") and problems["ok.png"] is None


def test_bad_files_are_named(tmp_path: Path) -> None:
    source = folder(tmp_path / "s", {"ok.png": png(1), "cut.png": png(2)[:60], "note.txt": b"words", "no.png": b""})
    (source / "out.png").symlink_to("/etc/passwd")
    (source / ".DS_Store").write_bytes(b"x")
    snapshot, problems = snap(source, tmp_path)
    assert snapshot.ignored == 1
    assert (problems.pop("cut.png") or "").startswith("truncated or damaged image")
    assert problems == {
        "ok.png": None,
        "note.txt": "not an image",
        "no.png": "empty file",
        "out.png": "link out of the source",
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("1.png", (None, "")),
        ("é/1.png", ("é", "")),
        ("mnist/Train/7/1.png", ("7", "train")),
        ("val/1.png", (None, "holdout")),
        ("test.png", (None, "")),
    ],
)
def test_labels(path: str, expected: tuple[str | None, str]) -> None:
    assert label_and_split(path) == expected


def test_faults_name_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.collect.web.FIRST_WAIT_S", 0.01)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar(FILES))[:-300])
    (tmp_path / "a.zip").write_bytes(b"no zip")
    (tmp_path / "a.doc").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "text", {"a.txt": b"words"})
    for source, text in {
        "gone": "not there",
        "a.tar.gz": "damaged",
        "a.zip": "damaged",
        "a.doc": "not a known kind",
        "empty": "empty",
        "text": "no images in the source",
        "http://127.0.0.1:9/a.zip": "network|not there",
    }.items():
        with pytest.raises(SourceError, match=text) as caught:
            snap(source, tmp_path)
        assert caught.value.where == source and caught.value.remedy
    assert not (tmp_path / "snapshot").exists()


def test_fingerprint_sees_a_change(tmp_path: Path) -> None:
    source = folder(tmp_path / "s")
    before = fingerprint("s", tmp_path)
    assert before == fingerprint(str(source), tmp_path)
    (source / "new.png").write_bytes(png(1))
    assert before != fingerprint("s", tmp_path)


@pytest.mark.skipif(not MNIST.exists(), reason="../shared/data is absent")
def test_mnist(tmp_path: Path) -> None:
    _, problems = snap(MNIST, tmp_path)
    splits = read_manifest(tmp_path / "snapshot")["split"].value_counts().to_pylist()
    assert {s["values"]: s["counts"] for s in splits} == {"": 1, "holdout": 10_000, "train": 60_000}
    assert {path for path, problem in problems.items() if problem} == {"LICENSE"}


def test_what_stands_behind_a_damaged_header_is_not_lost_silently(tmp_path: Path) -> None:
    data = bytearray(tar(FILES))
    second = data.index(list(FILES)[1].encode())
    data[second] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged.*bad checksum"):
        snap("a.tar", tmp_path)
