"""Batches: read by tools that are not ours, marked, traceable, the same whatever happened while they were made."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flows import services
from pipeline.adapters.store import FolderStore, S3Store
from pipeline.environment import SIGNING
from pipeline.errors import BatchError, GenloopError, WithdrawnError
from pipeline.generate import publish
from pipeline.generate.batches import COMMIT, batches, find_batch, home, read_manifest
from pipeline.generate.find import order_of as read_order
from pipeline.generate.find import row_of
from pipeline.generate.known import note_batches, unnoted
from pipeline.generate.part import Task, Workplace, make_part
from pipeline.generate.regenerate import regenerate
from pipeline.generate.release import Withdrawal
from pipeline.generate.verify import verify_batch, verify_file
from pipeline.generate.withdraw import withdraw_batch, withdraw_item
from pipeline.generated import read_generated
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.model.bundle import load_bundle
from pipeline.settings import Costs
from pipeline.values import Batch
from tests.contract.delivering import CLASSES, PROVENANCE, delivered, make_bundle, order_of, pixels_of
from tests.contract.dying_store import Cut, Dies

WHY = Withdrawal(at="2026-11-25T00:00:00+00:00", by="me", why="looks like <someone>")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "bucket")


def certificates(root: Path) -> bytes:
    return make_signer(SignerSettings(), root / SIGNING).certificates


def rows_of(store: FolderStore, batch: Batch) -> list[dict[str, object]]:
    tables = [pq.read_table(store.folder / key) for key in store.keys(f"{home(batch)}/items/")]
    return [row for table in tables for row in table.to_pylist()]


def seen(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.size


def folder_of(store: FolderStore, batch: Batch) -> str:
    return str(store.folder / home(batch))


def test_datasets_pandas_and_duckdb_read_it(
    root: Path, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import duckdb
    import pandas as pd

    datasets.disable_progress_bars()
    _, batch = delivered(root, lambda bucket: store)
    where = folder_of(store, batch)
    for found in (
        datasets.load_dataset(where, split="train", cache_dir=str(tmp_path / "hf")),
        datasets.load_dataset("parquet", data_files=f"{where}/data/*.parquet", split="train", cache_dir=str(tmp_path)),
    ):
        assert found.num_rows == 30 and found[0]["image"].size == (16, 16)
        assert sorted(found["index"]) == list(range(30))
    told = duckdb.sql(f"select label, count(*) from '{where}/data/*.parquet' group by 1").fetchall()
    assert dict(told) == dict.fromkeys(CLASSES, 10)
    frame = pd.read_parquet(f"{where}/data")
    assert seen(frame["image"][0]["bytes"]) == ("PNG", (16, 16))


@pytest.mark.parametrize("form", ["png", "webp", "jpeg"])
def test_plain_files_are_an_image_folder(
    root: Path, store: FolderStore, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    _, batch = delivered(root, lambda bucket: store, layout="files", image={"format": form, "size": 24}, count=12)
    files = sorted((store.folder / home(batch) / "images").rglob("*.*"))
    images = [path for path in files if path.suffix != ".jsonl"]
    assert len(images) == 12
    assert {seen(path.read_bytes()) for path in images} == {(form.upper(), (24, 24))}
    found = datasets.load_dataset(f"{folder_of(store, batch)}", split="train", cache_dir=str(tmp_path / "hf"))
    assert found.num_rows == 12 and set(found["label"]) == set(CLASSES)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its files open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_reads_it(root: Path, store: FolderStore) -> None:
    import webdataset

    _, batch = delivered(root, lambda bucket: store, layout="webdataset")
    tars = sorted(map(str, (store.folder / home(batch) / "data").glob("*.tar")))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert len(samples) == 30
    assert {sample["json"]["label"] for sample in samples} == set(CLASSES)
    assert all(sample["png"].size == (16, 16) for sample in samples)


def test_a_client_that_is_not_ours_reads_it_from_s3(root: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    with services.for_run(tmp_path / "w", ["s3"]) as run:
        run.wait()
        variables = services.s3_environment(tmp_path / "w", run["s3"])
        endpoint, login = variables["GENLOOP_S3_ENDPOINT"], services.credentials_file(tmp_path / "w")
        own = S3Store("genloop", endpoint, login)
        _, batch = delivered(root, lambda bucket: own, layout="files", count=6)
        host = endpoint.removeprefix("http://")
        options = [
            f"--access_key={variables['AWS_ACCESS_KEY_ID']}",
            f"--secret_key={variables['AWS_SECRET_ACCESS_KEY']}",
        ]
        options += [f"--host={host}", f"--host-bucket={host}", "--no-ssl", "--config=/dev/null"]
        command = [
            str(Path(sys.executable).with_name("s3cmd")),
            *options,
            "sync",
            f"{batch.uri}/",
            f"{tmp_path}/got/",
        ]
        (tmp_path / "got").mkdir()
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    got = list((tmp_path / "got/images").rglob("*.png"))
    assert len(got) == 6
    for path in got:
        verdict = verify_file(path.read_bytes(), certificates(root), None)
        assert verdict.ours and not verdict.altered and verdict.claim and path.name.startswith(verdict.claim.item)
    commit = json.loads((tmp_path / "got" / COMMIT).read_text())
    assert hashlib.sha256((tmp_path / "got/record.json").read_bytes()).hexdigest() == commit["record"]


def test_an_item_is_made_again_from_its_row_alone(root: Path, store: FolderStore) -> None:
    _, batch = delivered(root, lambda bucket: store, truncation=0.7, image={"size": 40})
    order, bundle = read_order(read_manifest(store, batch)), load_bundle(root / "bundle")
    known = {row["item"]: row for row in rows_of(store, batch)}
    parts = [pq.read_table(store.folder / key) for key in store.keys(f"{home(batch)}/data/")]
    for delivered_row in [row for part in parts for row in part.slice(0, 2).to_pylist()]:
        again = regenerate(order, known[delivered_row["item"]], bundle, root, "")
        assert np.array_equal(again[:, :, 0], pixels_of(delivered_row["image"]["bytes"]))
    wrong = dict(known[f"{batch.id}-00000003"], seed=5)
    with pytest.raises(BatchError, match="not those that were delivered"):
        regenerate(order, wrong, bundle, root, "")


def test_what_is_there_is_not_made_again_and_the_pixels_are_the_same(
    root: Path, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = delivered(root, lambda bucket: store)
    other = FolderStore(tmp_path / "other")
    order = order_of(make_bundle(root / "bundle"))
    at = Workplace(root, root / "bundle", None, other, SignerSettings(), publish._begun(other, order))
    first = make_part(Task(order, 1, at))
    assert not list(batches(lambda bucket: other))
    written = {name: (other.folder / order.home / name).stat().st_mtime_ns for name in (w.name for w in first.objects)}
    _, batch = delivered(root, lambda bucket: other)
    for name, when in written.items():
        assert (other.folder / order.home / name).stat().st_mtime_ns == when
    assert batch.id == whole.id
    pixels = [[row["pixels"] for row in rows_of(one, batch)] for one in (store, other)]
    assert pixels[0] == pixels[1] and len(set(pixels[0])) == 30
    assert delivered(root, lambda bucket: other)[1] == batch
    assert verify_batch(other, batch, certificates(root)).good


def test_two_at_once_end_in_one_batch(root: Path, store: FolderStore) -> None:
    """Both made the same part; the first one's counts, the other's objects are gone."""
    order = order_of(make_bundle(root / "bundle"))
    at = Workplace(root, root / "bundle", None, store, SignerSettings(), publish._begun(store, order))
    one, two = make_part(Task(order, 0, at)), make_part(Task(order, 0, at))
    assert one == two
    assert len(list(store.keys(f"{order.home}/data/"))) == 1
    _, batch = delivered(root, lambda bucket: store)
    assert verify_batch(store, batch, certificates(root)).good


def test_whatever_is_altered_is_told(root: Path, store: FolderStore) -> None:
    _, batch = delivered(root, lambda bucket: store, layout="files", count=5)
    trusted, base = certificates(root), home(batch)
    assert verify_batch(store, batch, trusted).good
    kept = {key: store.get(key) for key in store.keys(f"{base}/")}
    for key, data in kept.items():
        name = key.removeprefix(f"{base}/")
        if name.startswith("receipts/") or name in ("started.json", "excluded.json"):
            continue
        assert data is not None
        damaged = bytearray(data)
        damaged[len(damaged) // 2] ^= 0x20
        store.put(key, bytes(damaged), "")
        verdict = verify_batch(store, batch, trusted)
        assert any(name.split("/")[-1] in problem for problem in verdict.problems), (name, verdict)
        store.put(key, data, "")
    store.put(f"{base}/images/more.png", b"?", "")
    assert verify_batch(store, batch, trusted).problems == ("images/more.png: not of this batch",)
    store.delete([f"{base}/images/more.png", next(store.keys(f"{base}/items/"))])
    assert "is lost" in verify_batch(store, batch, trusted).problems[0]
    stranger = make_signer(SignerSettings(), root / "stranger").certificates
    assert not verify_batch(store, batch, stranger).good


def test_of_a_file_it_is_told_whose_and_from_what_it_is(root: Path, store: FolderStore) -> None:
    _, batch = delivered(root, lambda bucket: store, layout="files", count=5)
    key = next(key for key in store.keys(f"{home(batch)}/images/") if key.endswith(".png"))
    data, trusted = store.get(key) or b"", certificates(root)
    verdict = verify_file(data, trusted, lambda bucket: store)
    assert (verdict.good, verdict.status, verdict.same) == (True, "committed", True)
    assert verdict.claim and (verdict.claim.batch, verdict.claim.snapshot) == (batch.id, "snap")
    assert verdict.source_type.endswith("trainedAlgorithmicMedia")
    image = Image.open(io.BytesIO(data))
    bare = io.BytesIO()
    image.save(bare, "PNG")
    assert verify_file(bare.getvalue(), trusted, None).state == "none"
    assert not verify_file(b"no image", trusted, None).ours


@pytest.mark.parametrize("layout", ["parquet", "files", "webdataset"])
def test_an_item_is_withdrawn(root: Path, store: FolderStore, layout: str) -> None:
    _, batch = delivered(root, lambda bucket: store, layout=layout)
    trusted, signer = certificates(root), make_signer(SignerSettings(), root / SIGNING)
    item, base = f"{batch.id}-00000012", home(batch)
    withdraw_item(store, batch, item, WHY, signer, trusted)
    assert row_of(store, batch, item) is None
    assert len(rows_of(store, batch)) == 29
    verdict = verify_batch(store, batch, trusted)
    assert verdict.good and verdict.items == 29
    told = [(key, data.decode(errors="replace")) for key in store.keys(base) if (data := store.get(key))]
    naming = [key for key, text in told if item in text and "gallery" in key]
    assert naming == []
    assert "looks like &lt;someone&gt;" in dict(told)[f"{base}/index.html"]
    with pytest.raises(GenloopError, match="no such item"):
        withdraw_item(store, batch, item, WHY, signer, trusted)
    withdraw_item(store, batch, f"{batch.id}-00000013", WHY, signer, trusted)
    assert verify_batch(store, batch, trusted).items == 28


@pytest.mark.parametrize("layout", ["parquet", "files"])
def test_a_withdrawal_that_is_killed_at_any_step_is_ended_by_the_next(root: Path, tmp_path: Path, layout: str) -> None:
    trusted, signer, steps = certificates(root), make_signer(SignerSettings(), root / SIGNING), 0
    whole = FolderStore(tmp_path / "whole")
    _, batch = delivered(root, lambda bucket: whole, layout=layout, count=6, part_items=3)
    item = f"{batch.id}-00000001"
    while True:
        shutil.copytree(whole.folder, tmp_path / str(steps))
        dying = Dies(tmp_path / str(steps))
        dying.left = steps
        try:
            withdraw_item(dying, batch, item, WHY, signer, trusted)
        except Cut:
            withdraw_item(FolderStore(dying.folder), batch, item, WHY, signer, trusted)
        else:
            break
        finally:
            verdict = verify_batch(dying, batch, trusted)
            assert verdict.good and verdict.items == 5, (steps, verdict)
            assert row_of(dying, batch, item) is None
        steps += 1
    assert steps >= 8


def test_a_batch_is_withdrawn_and_does_not_come_back(root: Path, store: FolderStore) -> None:
    _, batch = delivered(root, lambda bucket: store, layout="files")
    trusted, signer = certificates(root), make_signer(SignerSettings(), root / SIGNING)
    for _ in range(2):
        withdraw_batch(store, batch, WHY, signer, trusted)
        assert not list(batches(lambda bucket: store))
        assert not [key for key in store.keys(home(batch)) if key.endswith((".png", ".html")) and "index" not in key]
    page = (store.get(f"{home(batch)}/index.html") or b"").decode()
    assert "Withdrawn" in page and "looks like &lt;someone&gt;" in page and "gallery/" not in page
    assert verify_batch(store, batch, trusted).status == "not committed"
    assert verify_batch(store, batch, trusted).problems == ()
    with pytest.raises(WithdrawnError):
        delivered(root, lambda bucket: store, layout="files")
    assert find_batch(lambda bucket: store, batch.id[:8]) == batch


def test_filters_that_leave_too_few_fail_the_batch_and_nothing_is_seen(root: Path, store: FolderStore) -> None:
    (root / "strict_rules.py").write_text("def rule(items):\n    return ['not today'] * len(items)\n")
    filters = {"copies": 0, "odd": 1, "confidence": 0, "alike": False, "policies": ["strict_rules:rule"]}
    with pytest.raises(BatchError, match=r"0 of 10 in class cat.*38 strict_rules:rule: not today|not today"):
        delivered(root, lambda bucket: store, filters=filters)
    assert not list(batches(lambda bucket: store))
    assert not [key for key in store.keys("batches/") if key.endswith(COMMIT)]


def test_near_copies_in_other_parts_are_left_out(root: Path, store: FolderStore) -> None:
    """Latents of nearly nothing make all images of a class alike: one of each is left."""
    filters = {"copies": 0, "odd": 1, "confidence": 0, "alike": False}
    _, loose = delivered(root, lambda bucket: store, truncation=0.01, filters=filters, floor=0)
    assert loose.items == 30
    order = order_of(make_bundle(root / "bundle"), truncation=0.01, filters={**filters, "alike": True}, floor=0)
    at = Workplace(root, root / "bundle", None, store, SignerSettings(), "")
    batch = publish.deliver(lambda bucket: store, order, at, PROVENANCE, Costs())
    assert batch.items == 3
    assert verify_batch(store, batch, certificates(root)).good
    assert sum(read_manifest(store, batch)["dropped"].values()) >= 30
    again = publish.deliver(lambda bucket: store, order, at, PROVENANCE, Costs())
    assert again == batch


def test_own_images_are_noted_from_the_tables(root: Path, store: FolderStore, tmp_path: Path) -> None:
    _, batch = delivered(root, lambda bucket: store)
    new = unnoted(lambda bucket: store, tmp_path / "noted")
    assert new == [batch]
    note_batches(lambda bucket: store, tmp_path / "noted", new, lambda done: None)
    known = read_generated(tmp_path / "noted")
    assert {known.batch_of(str(row["sha256"])) for row in rows_of(store, batch)} == {batch.id}
    assert unnoted(lambda bucket: store, tmp_path / "noted") == []


def test_a_batch_elsewhere_is_listed_too(root: Path, tmp_path: Path) -> None:
    def stores(bucket: str) -> FolderStore:
        return FolderStore(tmp_path / (bucket or "own"))

    order = order_of(make_bundle(root / "bundle"), bucket="shop", prefix="ads/summer", count=5)
    at = Workplace(root, root / "bundle", None, stores("shop"), SignerSettings(), "")
    batch = publish.deliver(stores, order, at, PROVENANCE, Costs())
    assert list(batches(stores)) == [batch] and batch.bucket == "shop"
    assert (tmp_path / "shop/ads/summer" / batch.id / COMMIT).exists()


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
