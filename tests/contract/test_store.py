"""What every store does: a folder, the embedded S3 (rclone) and an S3 with conditional writes (moto), over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows import services
from pipeline.adapters.store import FolderStore, S3Store, Store
from pipeline.errors import ServiceError

BUCKET = "genloop"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of a running embedded S3."""
    workspace = tmp_path_factory.mktemp("s3")
    with services.for_run(workspace, ["s3"]) as run:
        run.wait()
        yield services.s3_environment(workspace, run["s3"])


@pytest.fixture(scope="module")
def moto() -> Iterator[dict[str, str]]:
    """Variables of a running moto with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    boto3.client("s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id="any", aws_secret_access_key="any"
                 ).create_bucket(Bucket=BUCKET)  # fmt: skip
    try:
        yield login | {"GENLOOP_S3_ENDPOINT": endpoint}
    finally:
        server.stop()


def s3(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, bucket: str = BUCKET) -> S3Store:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return S3Store(bucket, variables["GENLOOP_S3_ENDPOINT"])


@pytest.fixture(params=["folder", "embedded", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    return s3(request.getfixturevalue(request.param), monkeypatch)


@pytest.fixture(params=["folder", "moto"])
def conditional(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that can refuse: the embedded S3 can't."""
    return FolderStore(tmp_path) if request.param == "folder" else s3(request.getfixturevalue("moto"), monkeypatch)


@pytest.mark.parametrize("key", ["a", "batches/x/data/part-00000-of-00001.parquet", "b/é ü+%2e&=#?.json"])
@pytest.mark.parametrize("data", [b"", b"\0content\r\n", bytes(range(256)) * 40_000])
def test_what_is_put_is_got(store: Store, key: str, data: bytes) -> None:
    store.put(key, b"older", "text/plain")
    store.put(key, data, "application/octet-stream")
    assert store.get(key) == data


def test_what_is_not_there_is_none(store: Store) -> None:
    store.put("dir/there", b"1", "text/plain")
    assert store.get("nothing") is None
    assert store.get("dir/nothing") is None
    assert store.get("dir") is None


def test_put_new_writes_what_is_not_there(store: Store) -> None:
    assert store.put_new("new/commit.json", b"{}", "application/json") is True
    assert store.get("new/commit.json") == b"{}"


def test_put_new_is_refused_where_the_key_is_there(conditional: Store) -> None:
    conditional.put("taken.json", b"first", "application/json")
    assert conditional.put_new("taken.json", b"second", "application/json") is False
    assert conditional.get("taken.json") == b"first"


def test_the_embedded_s3_ignores_conditions(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Known of rclone: should it learn to refuse, this fails, and the note at `Store.put_new` can go."""
    store = s3(embedded, monkeypatch)
    store.put("taken.json", b"first", "application/json")
    assert store.put_new("taken.json", b"second", "application/json") is True
    assert store.get("taken.json") == b"second"


def test_of_many_at_once_one_writes(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for turn in range(20):
            key, contents = f"{turn}/commit.json", [str(i).encode() * 10_000 for i in range(8)]
            wrote = list(pool.map(lambda data, key=key: store.put_new(key, data, ""), contents))  # type: ignore[misc]
            assert sum(wrote) == 1
            assert store.get(key) == contents[wrote.index(True)]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 20


def test_uris_and_checks(store: Store) -> None:
    store.check()
    assert store.uri("a/b").startswith(("s3://genloop/a/b", "file:///"))


def test_a_key_never_leaves_the_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for key in ("../x", "a/../../x", str(tmp_path / "x")):
        with pytest.raises(ValueError, match="leaves the store"):
            store.put(key, b"x", "")
    assert list(tmp_path.iterdir()) == []


def test_an_s3_that_is_not_up_is_one_line_soon(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3(embedded | {"GENLOOP_S3_ENDPOINT": "http://127.0.0.1:9"}, monkeypatch)
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        store.check()
    assert time.monotonic() - began < 12
    text = str(caught.value)
    assert text.startswith("s3://genloop at http://127.0.0.1:9: ") and "\n" not in text
    assert "Could not connect" in text and "GENLOOP_S3_ENDPOINT" in text


def test_a_wrong_key_is_told_without_the_secret(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-secret-that-is-wrong"
    store = s3(embedded | {"AWS_SECRET_ACCESS_KEY": secret}, monkeypatch)
    for act in (store.check, lambda: store.put("x", b"x", ""), lambda: store.put_new("x", b"x", "")):
        with pytest.raises(ServiceError, match="ignature") as caught:
            act()
        text = f"{caught.value}{caught.value.__cause__}"
        assert secret not in text and embedded["AWS_SECRET_ACCESS_KEY"] not in text
        assert "credentials" in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match=r"s3://nowhere at .*NoSuchBucket"):
        s3(moto, monkeypatch, "nowhere").check()


@pytest.mark.parametrize("endpoint", ["localhost:9000", "http://", "nonsense"])
def test_an_endpoint_that_is_no_address(endpoint: str) -> None:
    with pytest.raises(ServiceError, match="GENLOOP_S3_ENDPOINT: Invalid endpoint"):
        S3Store(BUCKET, endpoint)


def test_a_file_of_credentials_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the embedded S3 and a company's own can be used in one run."""
    with services.for_run(tmp_path, ["s3"]) as run:
        run.wait()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-company's")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-company's")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        store = S3Store(BUCKET, run["s3"].url, services.credentials_file(tmp_path))
        store.put("a", b"1", "")
        assert store.get("a") == b"1"
        with pytest.raises(ServiceError, match=r"AccessDenied|403|Forbidden|InvalidAccessKey"):
            S3Store(BUCKET, run["s3"].url).get("a")
