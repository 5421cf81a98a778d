"""Images of items for the review page: out of every layout, as they were delivered, gone once withdrawn."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.store import FolderStore
from pipeline.environment import SIGNING
from pipeline.errors import GenloopError
from pipeline.generate.find import row_of
from pipeline.generate.release import Withdrawal
from pipeline.generate.withdraw import withdraw_batch, withdraw_item
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.review.addresses import Addresses
from pipeline.review.faults import Refusal
from pipeline.review.shelf import Shelf
from tests.contract.delivering import delivered

WHY = Withdrawal(at="2026-11-25T00:00:00+00:00", by="me", why="too loud")
MANY = 2**30


@pytest.mark.parametrize("layout", ["parquet", "files", "webdataset"])
def test_an_image_is_the_very_file_that_was_delivered(tmp_path: Path, layout: str) -> None:
    store = FolderStore(tmp_path / "store")
    order, batch = delivered(tmp_path, lambda bucket: store, layout=layout)
    shelf = Shelf(lambda bucket: store, MANY)
    for index in (0, 9, 10, 29):
        item = f"{order.id}-{index:08d}"
        picture, row = shelf.picture(item), row_of(store, batch, item)
        assert picture is not None and row is not None
        assert hashlib.sha256(picture.data).hexdigest() == row["sha256"]
        assert picture.content_type == "image/png"
        address = shelf.address(item)
        assert (address is not None) == (layout == "files")
    assert shelf.picture(f"{order.id}-00000030") is None
    with pytest.raises(GenloopError, match="no such batch"):
        shelf.picture("0" * 16 + "-00000000")


@pytest.mark.parametrize("layout", ["parquet", "files"])
def test_what_is_withdrawn_is_gone_whoever_withdrew_it(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "store")
    order, batch = delivered(tmp_path, lambda bucket: store, layout=layout)
    shelf, signer = Shelf(lambda bucket: store, MANY), make_signer(SignerSettings(), tmp_path / SIGNING)
    first, second, third = (f"{order.id}-{index:08d}" for index in range(3))
    assert shelf.picture(first) and shelf.picture(second, small=True)
    withdraw_item(store, batch, first, WHY, signer, signer.certificates)
    shelf.forget(batch.id)
    assert shelf.picture(first) is None and shelf.picture(third)

    monkeypatch.setattr("pipeline.review.shelf.FRESH_S", 0.0)  # another process's withdrawal, once it is looked again
    withdraw_item(store, batch, second, WHY, signer, signer.certificates)
    assert shelf.picture(second) is None and shelf.picture(second, small=True) is None and shelf.picture(third)
    withdraw_batch(store, batch, WHY, signer, signer.certificates)
    assert shelf.picture(third) is None


def test_no_more_than_asked_is_kept_of_parts(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    order, _ = delivered(tmp_path, lambda bucket: store)
    shelf = Shelf(lambda bucket: store, 1)
    for index in (0, 15, 25, 0):
        assert shelf.picture(f"{order.id}-{index:08d}")
        assert [part for _, part in shelf._parts] == [index // 10]


def test_a_large_image_has_a_small_one_and_a_light_one_is_its_own(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    order, _ = delivered(tmp_path, lambda bucket: store, count=2, image={"size": 640})
    shelf, item = Shelf(lambda bucket: store, MANY), f"{order.id}-00000000"
    whole, small = shelf.picture(item), shelf.picture(item, small=True)
    assert whole and small and len(small.data) < len(whole.data)
    with Image.open(io.BytesIO(whole.data)) as large, Image.open(io.BytesIO(small.data)) as shown:
        assert large.size == (640, 640) and shown.size == (160, 160)
        difference = np.asarray(large.convert("L").resize((160, 160), Image.Resampling.BOX), float) - np.asarray(
            shown.convert("L"), float
        )
    assert np.abs(difference).mean() < 2


def test_addresses_are_ours_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("pipeline.review.addresses.time.time", lambda: now)
    addresses, item = Addresses(b"s" * 32, 600), "0" * 16 + "-00000001"
    query = {name: values[0] for name, values in parse_qs(urlsplit(addresses.of(item)).query).items()}
    until, sig = int(query["until"]), query["sig"]
    assert 300 < addresses.check(item, "full", until, sig) <= 600
    for name, size, end, signature in (
        ("0" * 16 + "-00000002", "full", until, sig),
        (item, "small", until, sig),
        (item, "full", until + 1, sig),
        (item, "full", until, sig[:-1]),
        (item, "full", until, "é"),
    ):
        with pytest.raises(Refusal):
            addresses.check(name, size, end, signature)  # type: ignore[arg-type]
    with pytest.raises(Refusal):
        Addresses(b"t" * 32, 600).check(item, "full", until, sig)
    now = float(until)
    with pytest.raises(Refusal):
        addresses.check(item, "full", until, sig)
