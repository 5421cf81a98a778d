"""What every store does: a folder, the embedded S3 (rclone) and an S3 with conditional writes (moto), over HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from flows import services, wiring
from pipeline.adapters.store import FolderStore, ObjectSettings, S3Store, Store
from pipeline.adapters.store.lifecycle import merged
from pipeline.errors import GenloopError, ServiceError

BUCKET = "genloop"
MIB = 2**20


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
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    login["GENLOOP_S3_ENDPOINT"] = endpoint
    boto(login).create_bucket(Bucket=BUCKET)
    try:
        yield login
    finally:
        server.stop()


def s3(
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    bucket: str = BUCKET,
    settings: ObjectSettings | None = None,
) -> S3Store:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return S3Store(bucket, variables["GENLOOP_S3_ENDPOINT"], settings=settings)


def boto(variables: dict[str, str]) -> Any:
    """A client of boto3's own, to look with at what a store did."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=variables["GENLOOP_S3_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


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
    assert store.is_conditional() is False
    store.put("taken.json", b"first", "application/json")
    assert store.put_new("taken.json", b"second", "application/json") is True
    assert store.get("taken.json") == b"second"


def test_a_store_that_refuses_knows_it_and_leaves_no_trace(conditional: Store) -> None:
    assert conditional.is_conditional() is True
    assert conditional.is_conditional() is True
    assert list(conditional.keys("probes/")) == []


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_a_part_of_an_object_is_as_a_slice(store: Store, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    store.put("ranged", data, "application/octet-stream")
    for start, end in (
        (0, 1),
        (0, size + 5),
        (max(size - 3, 0), size + 3),
        (size, size + 1),
        (size + 9, size + 99),
        (5, 9),
    ):
        if start < end:
            assert store.get_range("ranged", start, end) == data[start:end], (start, end)
    assert store.get_range("not there", 0, 1) is None
    for start, end in ((-1, 1), (3, 3), (4, 2)):
        with pytest.raises(ValueError, match="no range"):
            store.get_range("ranged", start, end)


def test_a_head_tells_size_and_whether_the_content_is_another(store: Store) -> None:
    assert store.head("headed") is None
    store.put("headed", b"first", "text/plain")
    first = store.head("headed")
    assert first is not None and first.size == 5 and first == store.head("headed")
    store.put("headed", b"other", "text/plain")
    other = store.head("headed")
    assert other is not None and other.size == 5 and other.etag != first.etag


def test_what_is_listed_is_what_begins_so_with_its_size(store: Store) -> None:
    wanted = {f"listed/{name}": size for name, size in {"a": 0, "a/b": 3, "b é+%2e&": 70_000, "z/z/z": 1}.items()}
    if not isinstance(store, S3Store) or not store.is_conditional():
        wanted.pop("listed/a")  # files, where a name can't be a folder's too
    for key, size in (wanted | {"listed-not": 1, "other": 1}).items():
        store.put(key, bytes(size), "text/plain")
    assert list(store.files("listed/")) == sorted(wanted.items())
    ages = [datetime.now(UTC) - listed.at for listed in store.listed("listed/")]
    assert len(ages) == len(wanted) and all(abs(age) < timedelta(minutes=1) for age in ages)
    assert list(store.keys("listed/")) == sorted(wanted)
    assert list(store.keys("listed/z")) == ["listed/z/z/z"]
    assert list(store.keys("nowhere/")) == []


def test_more_than_a_page_is_listed_and_deleted(store: Store) -> None:
    wanted = {f"many/{i:04}" for i in range(1100)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"", "text/plain"), wanted))
    assert list(store.keys("many/")) == sorted(wanted)
    store.delete(key for key in sorted(wanted) if key != "many/0700")
    assert list(store.keys("many/")) == ["many/0700"]


def test_what_is_deleted_is_gone_and_what_was_not_there_is_no_fault(store: Store) -> None:
    for key in ("gone/a", "gone/é ü+%2e&=#?<>", "gone/kept"):
        store.put(key, b"1", "text/plain")
    store.delete(["gone/a", "gone/é ü+%2e&=#?<>", "gone/never", "gone/a"])
    assert list(store.keys("gone/")) == ["gone/kept"] and store.get("gone/a") is None
    store.delete([])


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "./a", "a/../../b", "..", "a/.hidden", "a\nb", "a\0", "é" * 513, "\ud800"]
)
def test_keys_that_not_all_stores_hold_are_refused_by_all(store: Store, key: str) -> None:
    for write in (store.put, store.put_new):
        with pytest.raises(ValueError):
            write(key, b"x", "text/plain")


@pytest.mark.parametrize("name", ["embedded", "moto"])
def test_what_is_large_goes_in_parts(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variables = request.getfixturevalue(name)
    store = s3(variables, monkeypatch, settings=ObjectSettings(multipart_bytes=8 * MIB))
    for size in (8 * MIB, 8 * MIB + 1, 24 * MIB + 5):
        data = random.Random(size).randbytes(size)
        store.put("large", data, "application/x-large")
        assert store.get("large") == data
        head = store.head("large")
        assert head is not None and head.size == size
        assert ("-" in head.etag) == (name == "moto" and size > 8 * MIB)  # rclone gives the MD5 of the whole
        assert boto(variables).head_object(Bucket=BUCKET, Key="large")["ContentType"] == "application/x-large"
        assert store.get_range("large", size - 4, size + 4) == data[-4:]
    assert "Uploads" not in boto(variables).list_multipart_uploads(Bucket=BUCKET)


def test_an_address_can_be_given_to_whom_has_no_key(store: Store) -> None:
    store.put("signed/é +.txt", b"content", "text/plain")
    address = store.presigned("signed/é +.txt", 60)
    if isinstance(store, FolderStore):
        assert address == store.uri("signed/é +.txt")
    else:
        assert httpx.get(address).content == b"content"
    for expires_s in (0, -1, 8 * 24 * 3600):
        with pytest.raises(ValueError, match="a week"):
            store.presigned("a", expires_s)


def test_an_address_expires(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3(embedded, monkeypatch)
    store.put("soon", b"content", "text/plain")
    address = store.presigned("soon", 1)
    time.sleep(2.1)
    answer = httpx.get(address)
    assert answer.status_code in (400, 403) and b"request time" in answer.content


def test_settings_are_asked_of_every_write(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ObjectSettings(
        sse="aws:kms",
        kms_key="key-1",
        acl="bucket-owner-full-control",
        storage_class="STANDARD_IA",
        tags={"made by": "genloop", "ai": "yes = ü+"},
        multipart_bytes=8 * MIB,
    )
    store, client = s3(moto, monkeypatch, settings=settings), boto(moto)
    store.put("asked/a", b"1", "text/x-a")
    store.put("asked/b", bytes(8 * MIB + 1), "text/x-a")
    assert store.put_new("asked/c", b"1", "text/x-a")
    for key in ("asked/a", "asked/b", "asked/c"):
        head = client.head_object(Bucket=BUCKET, Key=key)
        told = [head[name] for name in ("ServerSideEncryption", "SSEKMSKeyId", "StorageClass", "ContentType")]
        assert told == ["aws:kms", "key-1", "STANDARD_IA", "text/x-a"]
        tags = client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == settings.tags
        assert client.get_object_acl(Bucket=BUCKET, Key=key)["Grants"]


def test_the_embedded_s3_takes_settings_that_it_does_not_know(
    embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ObjectSettings(sse="AES256", acl="private", storage_class="STANDARD", tags={"a": "b"})
    store = s3(embedded, monkeypatch, settings=settings)
    store.put("asked", b"1", "text/plain")
    assert store.get("asked") == b"1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sse": "none"},
        {"kms_key": "key"},
        {"sse": "AES256", "kms_key": "key"},
        {"acl": "everyone"},
        {"storage_class": "cold\r\nx-amz-acl: public-read"},
        {"tags": {str(i): "" for i in range(11)}},
        {"tags": {"": "x"}},
        {"tags": {"a": "b&c"}},
        {"multipart_bytes": 100},
        {"timeouts_s": (0, 1)},
        {"attempts": 0},
        {"unknown": 1},
    ],
)
def test_settings_that_can_not_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ObjectSettings.model_validate(wrong)


def test_the_environment_names_what_is_asked_of_objects(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (moto | {"GENLOOP_S3_SSE": "AES256", "GENLOOP_S3_TAGS": '{"team": "é"}'}).items():
        monkeypatch.setenv(name, value)
    assert wiring.store().settings.arguments() == {"ServerSideEncryption": "AES256", "Tagging": "team=%C3%A9"}
    monkeypatch.setenv("GENLOOP_S3_SSE", "rot13")
    with pytest.raises(GenloopError, match=r"GENLOOP_S3_\*: sse: .*AES256"):
        wiring.store()
    for tags in ('"a"', '{"a": 1}', "{", "a=b"):
        monkeypatch.setenv("GENLOOP_S3_SSE", "")
        monkeypatch.setenv("GENLOOP_S3_TAGS", tags)
        with pytest.raises(GenloopError, match=r"GENLOOP_S3_(\*: tags|TAGS: not JSON)"):
            wiring.store()


THEIRS = {"ID": "theirs", "Status": "Disabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 1}}


def test_lifecycle_rules_stand_beside_those_of_others(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = s3(moto, monkeypatch), boto(moto)
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [THEIRS]})

    def rules() -> dict[str, tuple[str, int, str]]:
        found = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
        return {rule["ID"]: (rule["Filter"]["Prefix"], rule["Expiration"]["Days"], rule["Status"]) for rule in found}

    theirs = {"theirs": ("x/", 1, "Disabled")}
    for _ in range(2):
        store.lifecycle_rules({"batches/": 30, "tests/": 1})
        ours = {"genloop-batches/": ("batches/", 30, "Enabled"), "genloop-tests/": ("tests/", 1, "Enabled")}
        assert rules() == theirs | ours
    store.lifecycle_rules({"batches/": 31})
    assert rules() == theirs | {"genloop-batches/": ("batches/", 31, "Enabled")}
    store.lifecycle_rules({})
    assert rules() == theirs
    client.delete_bucket_lifecycle(Bucket=BUCKET)
    store.lifecycle_rules({})
    store.lifecycle_rules({"a/": 1})
    store.lifecycle_rules({})
    with pytest.raises(client.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        client.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    with pytest.raises(ValueError, match="less than one"):
        store.lifecycle_rules({"a/": 0})


def test_rules_of_others_stay_as_they_are_in_every_shape() -> None:
    old = {"ID": "old", "Status": "Enabled", "Prefix": "", "Transitions": [{"Days": 3, "StorageClass": "GLACIER"}]}
    nameless = {"Status": "Enabled", "Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}}}
    assert merged([old, nameless, THEIRS], {"b/": 2})[:3] == [old, nameless, THEIRS]


def test_who_has_no_lifecycle_says_so(
    tmp_path: Path, embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (FolderStore(tmp_path), s3(embedded, monkeypatch)):
        with pytest.raises(ServiceError, match=r"no lifecycle rules \(delete what is old"):
            store.lifecycle_rules({"a/": 1})


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
    store = s3(moto, monkeypatch, "nowhere")
    for act in (store.check, lambda: store.get("a"), lambda: store.head("a"), lambda: store.put("a", b"", "")):
        with pytest.raises(ServiceError, match=r"s3://nowhere at .*(NoSuchBucket|404)"):
            act()


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
