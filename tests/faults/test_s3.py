"""The embedded S3 with a full disk, with another login, and slow: a batch is whole or is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import services
from pipeline.adapters.store import S3Store
from pipeline.environment import SIGNING
from pipeline.errors import ServiceError
from pipeline.generate.batches import batches
from pipeline.generate.verify import verify_batch
from pipeline.marks.signer import SignerSettings, make_signer
from tests.contract.delivering import delivered
from tests.contract.faulty_s3 import FaultyS3

MIB = 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """What the S3 keeps its objects on: a small file system of its own, where one may be mounted."""
    folder = tmp_path / "w/var/s3"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def whole(tmp_path: Path, store: S3Store, count: int) -> None:
    """Once nothing is in its way, the same order is one batch, unaltered."""
    _, batch = delivered(tmp_path, lambda bucket: store, count=count)
    assert batch.items == count and list(batches(lambda bucket: store)) == [batch]
    assert verify_batch(store, batch, make_signer(SignerSettings(), tmp_path / SIGNING).certificates).problems == ()


@pytest.mark.slow
def test_full_it_is_told_and_with_space_the_batch_is_made(tmp_path: Path, disk: Path) -> None:
    with services.for_run(tmp_path / "w", ["s3"]) as run:
        run.wait()
        store = S3Store("genloop", run["s3"].url, services.credentials_file(tmp_path / "w"))
        filler = disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - MIB // 8)
        with pytest.raises(ServiceError) as told:
            delivered(tmp_path, lambda bucket: store, count=60)
        print(told.value)
        assert "\n" not in str(told.value) and "s3://genloop" in str(told.value)
        assert list(batches(lambda bucket: store)) == []
        filler.unlink()
        whole(tmp_path, store, 60)


def test_with_another_login_it_is_told_and_nothing_is_there(tmp_path: Path) -> None:
    with services.for_run(tmp_path / "w", ["s3"]) as run:
        run.wait()
        right = services.credentials_file(tmp_path / "w")
        wrong = tmp_path / "wrong"
        wrong.write_text(right.read_text().replace("secret_access_key = ", "secret_access_key = x"))
        store = S3Store("genloop", run["s3"].url, wrong)
        for act in (store.check, lambda: delivered(tmp_path, lambda bucket: store, count=10)):
            with pytest.raises(ServiceError) as told:
                act()
            assert "\n" not in str(told.value) and right.read_text().split()[-1] not in str(told.value)
        print(told.value)
        whole(tmp_path, S3Store("genloop", run["s3"].url, right), 10)


@pytest.mark.slow
def test_slow_it_is_waited_for(tmp_path: Path) -> None:
    """Each answer takes half a second."""
    with services.for_run(tmp_path / "w", ["s3"]) as run:
        run.wait()
        with FaultyS3(run["s3"].url, share=1.0, kinds=("delay",), delay_s=0.5).running() as proxy:
            whole(tmp_path, S3Store("genloop", proxy.url, services.credentials_file(tmp_path / "w")), 10)
            assert proxy.failed["delay"] > 20
