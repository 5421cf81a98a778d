"""A batch's pages in a real browser, from the bucket, over HTTP."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from pipeline.adapters.store import ObjectSettings, S3Store
from pipeline.environment import SIGNING
from pipeline.generate.release import Withdrawal
from pipeline.generate.withdraw import withdraw_batch, withdraw_item
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.values import Batch
from tests.contract.delivering import delivered

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ALONE = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of an S3 that anybody may read, with an empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    import boto3

    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="genloop")
    try:
        yield url
    finally:
        server.stop()


def browsed(tmp_path: Path, *options: str) -> str:
    profile = tmp_path / "profile"
    command = [str(BROWSER), *ALONE, f"--user-data-dir={profile}", "--window-size=1200,900", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    shutil.rmtree(profile, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def screenshot(tmp_path: Path, url: str) -> np.ndarray:  # type: ignore[type-arg]
    browsed(tmp_path, f"--screenshot={tmp_path}/page.png", url)
    with Image.open(tmp_path / "page.png") as picture:
        return np.asarray(picture.convert("L"))


def page(address: str, batch: Batch, name: str) -> str:
    return f"{address}/genloop/{batch.prefix}/{batch.id}/{name}"


def test_the_gallery_is_shown_from_the_bucket_and_changes_when_items_are_withdrawn(
    tmp_path: Path, address: str
) -> None:
    login = tmp_path / "login"
    login.write_text("[default]\naws_access_key_id = any\naws_secret_access_key = any\n")
    store = S3Store("genloop", address, login, ObjectSettings(acl="public-read"))
    _, batch = delivered(tmp_path, lambda bucket: store)
    index = browsed(tmp_path, "--dump-dom", page(address, batch, "index.html"))
    assert "30 images" in index and "test certificate" in index and "*bird*&lt;b&gt;" in index
    links = re.findall(r'href="(gallery/[^"]+\.html)"', index)
    assert len(links) == 3
    assert screenshot(tmp_path, page(address, batch, "index.html"))[150:300, 20:400].std() > 20

    shown = browsed(tmp_path, "--dump-dom", page(address, batch, links[0]))
    named = re.findall(rf'id="({batch.id}-\d{{8}})"', shown)
    assert len(named) == 10
    tiles = screenshot(tmp_path, page(address, batch, links[0]))[120:180, 20:500]
    assert tiles.std() > 20

    signer = make_signer(SignerSettings(), tmp_path / SIGNING)
    why = Withdrawal(at="2026-11-25T00:00:00+00:00", by="me", why="too loud")
    withdraw_item(store, batch, named[0], why, signer, signer.certificates)
    index = browsed(tmp_path, "--dump-dom", page(address, batch, "index.html"))
    (link,) = {*re.findall(r'href="(gallery/00000[^"]+\.html)"', index)}
    assert link != links[0] and named[0] not in browsed(tmp_path, "--dump-dom", page(address, batch, link))
    assert "NoSuchKey" in browsed(tmp_path, "--dump-dom", page(address, batch, links[0]))

    withdraw_batch(store, batch, why, signer, signer.certificates)
    index = browsed(tmp_path, "--dump-dom", page(address, batch, "index.html"))
    assert "Withdrawn" in index and "too loud" in index and "gallery/" not in index
