"""Sources over the wire are what they are on disk: s3:// on the embedded S3, http:// on a real server."""

from __future__ import annotations

import functools
import gzip
import io
import os
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import services
from pipeline.adapters.store import S3Store
from pipeline.collect.snapshot import collect
from pipeline.collect.sources import fingerprint
from pipeline.errors import SourceError
from pipeline.manifest import read_manifest
from pipeline.media.image import encode_png
from pipeline.settings import Collect

SOURCES = ["classes", "a.tar", "a.tar.gz", "a.zip", "a.parquet", "table", "train-images-idx3-ubyte.gz"]


def png(seed: int) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (1, 8, 8), dtype=np.uint8))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kinds of sources that the servers serve, on disk."""
    root = tmp_path_factory.mktemp("sources")
    files = {f"{label}/{i} %20é.png": png(i + 10 * (label == "b")) for label in ("a", "b") for i in range(4)}
    packed = io.BytesIO()
    with zipfile.ZipFile(root / "a.zip", "w") as zipped, tarfile.open(fileobj=packed, mode="w") as tarred:
        for name, data in files.items():
            (root / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "classes" / name).write_bytes(data)
            zipped.writestr(f"w/{name}", data)
            member = tarfile.TarInfo(f"w/{name}")
            member.size = len(data)
            tarred.addfile(member, io.BytesIO(data))
    (root / "a.tar").write_bytes(packed.getvalue())
    (root / "a.tar.gz").write_bytes(gzip.compress(packed.getvalue()))
    images = pa.array([{"bytes": data, "path": name} for name, data in files.items()])
    pq.write_table(pa.table({"image": images, "label": [name[0] for name in files]}), root / "a.parquet")
    (root / "table/data").mkdir(parents=True)
    (root / "table/data/train-00000-of-00001.parquet").write_bytes((root / "a.parquet").read_bytes())
    pixels = np.arange(3 * 64, dtype=np.uint8).tobytes()
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(struct.pack(">4I", 0x803, 3, 8, 8) + pixels))
    (root / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">2I", 0x801, 3) + bytes([7, 8, 9])))
    return root


@pytest.fixture(scope="module")
def s3(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded S3 with the sources in its bucket and its credentials in the environment."""
    workspace = tmp_path_factory.mktemp("s3")
    with services.for_run(workspace, ["s3"]) as run, pytest.MonkeyPatch.context() as patch:
        run.wait()
        for name, value in services.s3_environment(workspace, run["s3"]).items():
            patch.setenv(name, value)
        store = S3Store("genloop", run["s3"].url)
        for path in sources.rglob("*"):
            if path.is_file():
                store.put(f"in/{path.relative_to(sources).as_posix()}", path.read_bytes(), "")
        yield "s3://genloop/in"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def http(sources: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=sources))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def collected(uri: str, workspace: Path) -> tuple[str, set[tuple[str | None, str]]]:
    """The snapshot's id, and every label and split of it. Asserts that nothing was lost on the way."""
    snapshot = collect(
        Collect(source=uri), workspace, workspace / "snapshot", workspace / "pixels", workspace / "ledgers"
    )
    table = read_manifest(workspace / "snapshot")
    assert table["problem"].null_count == snapshot.items > 0
    return snapshot.id, set(zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_on_s3_is_the_same_snapshot(name: str, s3: str, sources: Path, tmp_path: Path) -> None:
    assert collected(f"{s3}/{name}", tmp_path) == collected(str(sources / name), tmp_path)
    assert fingerprint(f"{s3}/{name}", tmp_path) == fingerprint(f"{s3}/{name}", tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_on_the_web_is_the_same_snapshot(name: str, http: str, sources: Path, tmp_path: Path) -> None:
    assert collected(f"{http}/{name}", tmp_path) == collected(str(sources / name), tmp_path)
    assert fingerprint(f"{http}/{name}", tmp_path) == fingerprint(f"{http}/{name}", tmp_path)


def test_what_is_changed_on_s3_is_seen(s3: str, tmp_path: Path) -> None:
    store = S3Store("genloop", os.environ["GENLOOP_S3_ENDPOINT"])
    store.put("grows/a/1.png", png(1), "")
    store.put("grows/b/1.png", png(2), "")
    uri = s3.replace("/in", "/grows")
    before = collected(uri, tmp_path)[0], fingerprint(uri, tmp_path)
    store.put("grows/b/2.png", png(3), "")
    after = collected(uri, tmp_path)[0], fingerprint(uri, tmp_path)
    assert before[0] != after[0] and before[1] != after[1]


@pytest.mark.parametrize("name", ["absent.tar.gz", "absent", "absent.parquet"])
def test_what_is_not_there_is_told(name: str, s3: str, http: str, tmp_path: Path) -> None:
    for base in (s3, http):
        with pytest.raises(SourceError, match="not there") as caught:
            collected(f"{base}/{name}", tmp_path)
        assert caught.value.where == f"{base}/{name}"


def test_a_wrong_key_is_told_without_the_secret(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-wrong")
    with pytest.raises(SourceError) as caught:
        collected(f"{s3}/a.tar", tmp_path)
    assert "a-secret-that-is-wrong" not in str(caught.value) and "\n" not in str(caught.value)
    assert "credentials" in str(caught.value)


def test_an_s3_that_is_not_up_is_told(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.collect.web.ATTEMPTS", 2)
    for name in ("GENLOOP_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="no network, or no answer"):
        collected("s3://genloop/in/a.tar", tmp_path)


def test_with_the_embedded_s3_a_source_is_still_read_from_the_environments(
    tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOP_S3_ENDPOINT", "http://127.0.0.1:9")  # where the batches go
    monkeypatch.setenv("GENLOOP_S3_CREDENTIALS", str(tmp_path / "aws-credentials"))
    assert collected(f"{s3}/a.tar", tmp_path)[0]
