"""A batch through an S3 that fails, one that is down, and kills: it ends right, or says in a line why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows import services
from pipeline.adapters.store import FolderStore, ObjectSettings, S3Store
from pipeline.environment import SIGNING
from pipeline.errors import ServiceError
from pipeline.generate.batches import batches, home
from pipeline.generate.verify import verify_batch
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.values import Batch
from tests.contract.delivering import delivered
from tests.contract.faulty_s3 import FaultyS3

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
from pipeline.adapters.store import FolderStore
from tests.contract.delivering import delivered
delivered(Path(sys.argv[1]), lambda bucket: FolderStore(Path(sys.argv[2])), count=200, part_items=10)
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running embedded S3, and a file with its login."""
    (tmp_path / "w").mkdir()
    with services.for_run(tmp_path / "w", ["s3"]) as run:
        run.wait()
        yield run["s3"].url, services.credentials_file(tmp_path / "w")


def pixels(store: FolderStore, batch: Batch) -> list[str]:
    tables = [pq.read_table(store.folder / key) for key in store.keys(f"{home(batch)}/items/")]
    return [row for table in tables for row in table.column("pixels").to_pylist()]


def test_with_a_tenth_of_requests_failing_the_batch_is_right_to_the_byte(
    tmp_path: Path, embedded: tuple[str, Path]
) -> None:
    url, login = embedded
    with FaultyS3(url, share=0.1, seed=5).running() as proxy:
        through = S3Store("genloop", proxy.url, login, ObjectSettings(attempts=8))
        _, batch = delivered(tmp_path, lambda bucket: through, layout="files", count=60)
        assert sum(proxy.failed.values()) >= 5 and len(proxy.failed) >= 3
    straight = S3Store("genloop", url, login)
    assert list(batches(lambda bucket: straight)) == [batch]
    verdict = verify_batch(straight, batch, make_signer(SignerSettings(), tmp_path / SIGNING).certificates)
    assert verdict.good and verdict.items == 60
    other = FolderStore(tmp_path / "other")
    delivered(tmp_path, lambda bucket: other, layout="files", count=60)
    there = FolderStore(tmp_path / "w/var/s3/genloop")
    assert pixels(there, batch) == pixels(other, batch)


def test_an_s3_that_goes_down_is_told_in_a_line_and_the_batch_goes_on_later(
    tmp_path: Path, embedded: tuple[str, Path]
) -> None:
    url, login = embedded
    proxy = FaultyS3(url, share=0)
    with proxy.running():
        store = S3Store("genloop", proxy.url, login)
        delivered(tmp_path, lambda bucket: store, count=5)
    began = time.monotonic()
    with pytest.raises(ServiceError) as told:
        delivered(tmp_path, lambda bucket: store, count=40)
    assert time.monotonic() - began < 30
    assert "\n" not in str(told.value) and "s3://genloop" in str(told.value)
    with proxy.running():
        _, batch = delivered(tmp_path, lambda bucket: store, count=40)
    assert batch.items == 40


def test_what_a_killed_run_uploaded_and_did_not_count_is_not_in_the_batch(tmp_path: Path) -> None:
    """A part made again has other bytes, since it is signed again: both lay in data/, and readers saw items twice."""
    other, store = FolderStore(tmp_path / "other"), FolderStore(tmp_path / "bucket")
    order, _ = delivered(tmp_path, lambda bucket: other, count=20)
    left = {key: other.get(key) for key in other.keys(f"{order.home}/") if "part-" in key or "preview" in key}
    assert {key.split("/")[2] for key in left} == {"data", "dropped", "gallery", "items"}
    for key, data in left.items():
        store.put(key.replace("00000-", "00000-dead"), data or b"", "application/octet-stream")
    _, batch = delivered(tmp_path, lambda bucket: store, count=20)
    assert len(pq.read_table(store.folder / home(batch) / "data")) == 20
    assert verify_batch(store, batch, make_signer(SignerSettings(), tmp_path / SIGNING).certificates).problems == ()


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_in_the_same_pixels(tmp_path: Path) -> None:
    """With all its workers, as a machine goes down; twelve times."""
    other, store = FolderStore(tmp_path / "other"), FolderStore(tmp_path / "bucket")
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(store.folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    _, whole = delivered(tmp_path, lambda bucket: other, count=200, part_items=10)
    took, kills = time.perf_counter() - began, 0
    for attempt in range(12):
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
        )
        time.sleep(2 + took * attempt / 12)
        kills += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert all(batch == whole for batch in batches(lambda bucket: store))
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (batch,) = batches(lambda bucket: store)
    assert kills >= 3
    assert pixels(store, batch) == pixels(other, whole)
    assert verify_batch(store, batch, make_signer(SignerSettings(), tmp_path / SIGNING).certificates).good
