"""Sources that fail, break off, fall silent or change while they are read."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pipeline.collect import chunks, web, writer
from pipeline.collect.snapshot import collect
from pipeline.errors import SourceError
from pipeline.files import sha256_file
from pipeline.manifest import read_manifest
from pipeline.settings import Collect
from tests.contract.faulty import RESET, Cut, Reply, Server, Shelf, proxy
from tests.unit.test_collect import png, tar
from tests.unit.test_update import here

LARGE = {
    f"{'ab'[i % 2]}/large-{i}.png": png(i, 400) for i in range(12)
}  # about 2 MB, more than what is on its way at once
PACKED = tar(LARGE)
SMALL = {f"/set/{'ab'[i % 2]}/{i}.png": png(i) for i in range(8)}
ASKED = [lambda: None] * 3  # whether a file is there, its size and tag, and whether it still is
BUSY = Reply(503, {}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
BROKEN = Reply(
    500, {}, b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds in place of minutes."""
    monkeypatch.setattr(web, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(web, "STALL_S", 1.0)
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 1)
    monkeypatch.setattr("pipeline.collect.decoding.each", here)  # else reading is far ahead of writing


def update(root: Path, uri: str, progress: Callable[[int], None] = lambda done: None) -> int:
    """How many items were read; asserts nothing."""
    seen = [0]

    def count(done: int) -> None:
        seen.append(done)
        progress(done)

    root.mkdir(exist_ok=True)
    collect(Collect(source=uri), root, root / "snapshot", root / "pixels", root / "ledgers", count)
    return seen[-1]


def contents(root: Path) -> dict[str, str]:
    """Every file of the snapshot, by its hash."""
    return {path.name: sha256_file(path) for path in sorted((root / "snapshot").rglob("*.*"))}


def rows(root: Path) -> dict[str, str | None]:
    table = read_manifest(root / "snapshot")
    return dict(zip(table["path"].to_pylist(), table["problem"].to_pylist(), strict=True))


def hashes(root: Path) -> set[str]:
    return set(read_manifest(root / "snapshot")["sha256"].to_pylist())


@pytest.fixture
def shelf() -> Iterator[tuple[Shelf, Server]]:
    shelf = Shelf({"/a.tar": PACKED} | SMALL)
    with Server(shelf).running() as server:
        yield shelf, server


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    url = "http://{}:{}".format(*moto.get_host_and_port())
    s3 = boto3.client("s3", "us-east-1", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any")
    s3.create_bucket(Bucket="bucket")
    for path, data in ({"/a.tar": PACKED} | SMALL).items():
        s3.put_object(Bucket="bucket", Key=path[1:], Body=data)
    try:
        yield url
    finally:
        moto.stop()


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    with Server(proxy(moto)).running() as server:
        for name, value in (login | {"GENLOOP_S3_ENDPOINT": server.url}).items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_server_that_fails_a_few_times_is_asked_again(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    _, server = shelf
    update(tmp_path / "undisturbed", f"{server.url}/set")
    faults = [BROKEN, Reply(429, {"Retry-After": "0"}), RESET, Cut(-1, pause_s=0)]
    for path in ("/set", "/set/a", "/set/a/", "/set/b/", *SMALL):
        server.faults[path] = list(faults)
    update(tmp_path / "disturbed", f"{server.url}/set")
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "undisturbed")
    assert not any(server.faults[path] for path in SMALL)


def test_a_server_that_asks_for_time_gets_it(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    _, server = shelf
    server.faults["/a.tar"] = [Reply(429, {"Retry-After": "1"}), Reply(503, {"Retry-After": "1"})]
    begun = time.monotonic()
    assert update(tmp_path / "w", f"{server.url}/a.tar") == len(LARGE)
    assert time.monotonic() - begun > 2


def test_a_server_that_fails_for_good_is_told_in_one_line(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    _, server = shelf
    server.always["/a.tar"] = BROKEN
    with pytest.raises(SourceError) as caught:
        update(tmp_path / "w", f"{server.url}/a.tar")
    assert "500" in caught.value.what and caught.value.where == f"{server.url}/a.tar" and caught.value.remedy
    assert "\n" not in str(caught.value)
    assert len(server.seen) == web.ATTEMPTS


@pytest.mark.parametrize(("status", "words"), [(404, "not there"), (403, "may not be read"), (400, "400")])
def test_what_can_not_pass_is_not_tried_again(
    shelf: tuple[Shelf, Server], tmp_path: Path, status: int, words: str
) -> None:
    _, server = shelf
    server.always["/a.tar"] = Reply(status, {})
    with pytest.raises(SourceError, match=words):
        update(tmp_path / "w", f"{server.url}/a.tar")
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["ranges", "no ranges", "no tags"])
def test_a_download_that_breaks_off_goes_on(shelf: tuple[Shelf, Server], tmp_path: Path, kind: str) -> None:
    found, server = shelf
    found.ranges, found.tags = kind == "ranges", kind != "no tags"
    server.faults["/a.tar"] = [*ASKED, Cut(1_500_000), Cut(200_000 if kind == "ranges" else 1_700_000)]
    update(tmp_path / "w", f"{server.url}/a.tar")
    assert set(rows(tmp_path / "w").values()) == {None} and len(rows(tmp_path / "w")) == len(LARGE)
    resumed = [request for request in server.seen if "Range" in request.headers]
    assert len(resumed) == (0 if kind == "no tags" else 2)
    assert all(request.headers["If-Range"].startswith('"') for request in resumed)


def test_of_a_file_that_changes_while_it_is_downloaded_two_versions_are_never_mixed(
    shelf: tuple[Shelf, Server], tmp_path: Path
) -> None:
    found, server = shelf
    newer = {name: png(100 + i, 400) for i, name in enumerate(LARGE)}

    def changes() -> None:
        found.files["/a.tar"] = tar(newer)

    server.faults["/a.tar"] = [*ASKED, Cut(1_500_000), changes]
    update(tmp_path / "w", f"{server.url}/a.tar")
    found.files["/b.tar"] = tar(newer)
    update(tmp_path / "anew", f"{server.url}/b.tar")
    assert hashes(tmp_path / "w") == hashes(tmp_path / "anew")
    assert update(tmp_path / "w", f"{server.url}/a.tar") == 0  # it stands under the stamp of what was read


def test_a_silent_server_is_not_waited_for_eternally(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    _, server = shelf
    server.faults["/a.tar"] = [*ASKED, Cut(1_000_000, pause_s=20)]
    begun = time.monotonic()
    assert update(tmp_path / "w", f"{server.url}/a.tar") == len(LARGE)
    assert time.monotonic() - begun < 15
    server.always["/set/a/2.png"] = Cut(0, pause_s=20)
    with pytest.raises(SourceError, match="no network, or no answer in 5 attempts") as caught:
        update(tmp_path / "x", f"{server.url}/set")
    assert caught.value.where == f"{server.url}/set/a/2.png"


def test_after_a_failure_the_next_update_goes_on_without_reading_again(
    shelf: tuple[Shelf, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PART_ITEMS", 2)
    _, server = shelf
    update(tmp_path / "undisturbed", f"{server.url}/set")
    paths = list(dict(sorted(SMALL.items())))
    server.faults[paths[5]] = [lambda: None]  # its size and tag
    server.always[paths[5]] = RESET
    with pytest.raises(SourceError, match="no network, or no answer"):
        update(tmp_path / "w", f"{server.url}/set")
    assert not (tmp_path / "w/snapshot").exists()
    server.always.clear()
    server.seen.clear()
    update(tmp_path / "w", f"{server.url}/set")
    assert contents(tmp_path / "w") == contents(tmp_path / "undisturbed")
    assert [len(server.asked("GET", path)) for path in paths] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_change_between_listing_and_reading_is_seen(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    found, server = shelf
    path = "/set/a/2.png"
    server.faults[path] = [lambda: None, lambda: found.files.update({path: png(50)})]
    update(tmp_path / "w", f"{server.url}/set")
    update(tmp_path / "anew", f"{server.url}/set")
    assert hashes(tmp_path / "w") == hashes(tmp_path / "anew")
    assert update(tmp_path / "w", f"{server.url}/set") == 0
    found.files[path] = png(51)
    assert update(tmp_path / "w", f"{server.url}/set") == 1


def test_a_file_that_is_gone_when_its_turn_comes_was_removed(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    _, server = shelf
    server.faults["/set/a/2.png"] = [lambda: None, Reply(404, {})]
    update(tmp_path / "w", f"{server.url}/set")
    assert set(rows(tmp_path / "w").values()) == {None} and len(rows(tmp_path / "w")) == len(SMALL) - 1
    assert update(tmp_path / "w", f"{server.url}/set") == 1  # it is there after all


def test_a_file_of_a_web_folder_that_may_not_be_read_is_told_and_tried_again(
    shelf: tuple[Shelf, Server], tmp_path: Path
) -> None:
    _, server = shelf
    server.always["/set/a/2.png"] = Reply(403, {})
    update(tmp_path / "w", f"{server.url}/set")
    assert {path: why for path, why in rows(tmp_path / "w").items() if why} == {"a/2.png": "no permission to read"}
    server.always.clear()
    assert update(tmp_path / "w", f"{server.url}/set") == 1
    assert set(rows(tmp_path / "w").values()) == {None}


def test_an_image_larger_than_one_packet_comes_whole(shelf: tuple[Shelf, Server], tmp_path: Path) -> None:
    found, server = shelf
    found.files = {f"/large/{name}": data for name, data in LARGE.items()}
    update(tmp_path / "w", f"{server.url}/large")
    assert set(rows(tmp_path / "w").values()) == {None}


def test_an_s3_that_fails_is_asked_again(s3: Server, tmp_path: Path) -> None:
    update(tmp_path / "undisturbed", "s3://bucket/set")
    for path in ("/bucket", *(f"/bucket{path}" for path in list(SMALL)[:3])):
        s3.faults[path] = [BUSY, BROKEN, RESET]
    update(tmp_path / "disturbed", "s3://bucket/set")
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "undisturbed")
    assert not any(s3.faults.values())


def test_an_s3_that_fails_for_good_is_told_and_gone_on_with(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PART_ITEMS", 2)
    monkeypatch.setattr(web, "ATTEMPTS", 2)
    update(tmp_path / "undisturbed", "s3://bucket/set")
    paths = [f"/bucket{path}" for path in sorted(SMALL)]
    s3.always[paths[5]] = BROKEN
    with pytest.raises(SourceError, match="no network, or no answer") as caught:
        update(tmp_path / "w", "s3://bucket/set")
    assert "\n" not in str(caught.value) and caught.value.remedy
    s3.always.clear()
    s3.seen.clear()
    update(tmp_path / "w", "s3://bucket/set")
    assert contents(tmp_path / "w") == contents(tmp_path / "undisturbed")
    assert [len(s3.asked("GET", path)) for path in paths] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_an_s3_object_that_breaks_off_or_falls_silent_is_read_to_its_end(s3: Server, tmp_path: Path) -> None:
    s3.faults["/bucket/a.tar"] = [lambda: None] * 3 + [Cut(1_000_000), Cut(1_000_000, pause_s=20)]
    update(tmp_path / "w", "s3://bucket/a.tar")
    assert set(rows(tmp_path / "w").values()) == {None} and len(rows(tmp_path / "w")) == len(LARGE)


@pytest.mark.parametrize("name", ["a.tar", "set"])
def test_an_s3_object_that_changes_between_its_head_and_its_bytes_is_read_again(
    s3: Server, moto: str, tmp_path: Path, name: str
) -> None:
    client = boto3.client("s3", endpoint_url=moto)
    key = "a.tar" if name == "a.tar" else "set/a/2.png"
    new = tar({"a/1.png": png(70), "b/1.png": png(71)}) if name == "a.tar" else png(72)

    def changes() -> None:
        client.put_object(Bucket="bucket", Key=key, Body=new)

    s3.faults[f"/bucket/{key}"] = [lambda: None] * (4 if name == "a.tar" else 1) + [changes]
    try:
        update(tmp_path / "w", f"s3://bucket/{name}")
        update(tmp_path / "anew", f"s3://bucket/{name}")
        assert hashes(tmp_path / "w") == hashes(tmp_path / "anew")
        assert len(s3.asked("GET", f"/bucket/{key}")) == 3  # in vain, again, and anew
        assert update(tmp_path / "w", f"s3://bucket/{name}") == 0
    finally:
        client.put_object(Bucket="bucket", Key=key, Body=PACKED if name == "a.tar" else SMALL[f"/{key}"])


def test_an_s3_object_that_is_gone_when_its_turn_comes_was_removed(s3: Server, tmp_path: Path) -> None:
    s3.faults["/bucket/set/a/2.png"] = [Reply(404, {})]
    update(tmp_path / "w", "s3://bucket/set")
    assert len(rows(tmp_path / "w")) == len(SMALL) - 1


def tree(root: Path) -> Path:
    for name, data in SMALL.items():
        path = root / name.removeprefix("/set/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def once(action: Callable[[], object]) -> Callable[[int], None]:
    left = [action]

    def progress(done: int) -> None:
        if left:
            left.pop()()

    return progress


def test_a_local_file_that_is_gone_when_its_turn_comes_was_removed(tmp_path: Path) -> None:
    source = tree(tmp_path / "s")
    update(tmp_path / "w", str(source), once((source / "b/7.png").unlink))
    assert len(rows(tmp_path / "w")) == len(SMALL) - 1
    update(tmp_path / "anew", str(source))
    assert hashes(tmp_path / "anew") == hashes(tmp_path / "w")


def test_a_folder_that_vanishes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    source = tree(tmp_path / "s")
    update(tmp_path / "w", str(source))
    before = contents(tmp_path / "w")
    for path in source.rglob("*.png"):
        os.utime(path)
    with pytest.raises(SourceError, match="not there"):
        update(tmp_path / "w", str(source), once(lambda: shutil.rmtree(source)))
    tree(source)
    with pytest.raises(SourceError, match="empty"):  # an unmounted disk looks like this
        update(tmp_path / "w", str(source), once(lambda: [shutil.rmtree(source), source.mkdir()]))
    assert contents(tmp_path / "w") == before


def packed(path: Path, name: str, data: bytes) -> None:
    """Added to the archive that is there."""
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def test_an_archive_that_is_added_to_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    source = tree(tmp_path / "s")
    (source / "m.tar").write_bytes(PACKED)
    add = once(lambda: packed(source / "m.tar", "a/more.png", png(60)))
    update(tmp_path / "w", str(source), lambda done: add(done) if done > len(SMALL) + 3 else None)
    update(tmp_path / "anew", str(source))
    assert contents(tmp_path / "w") == contents(tmp_path / "anew")
    assert "a/more.png" in rows(tmp_path / "w")
    assert update(tmp_path / "w", str(source)) == 0


def test_an_archive_that_is_cut_while_it_is_read_is_not_called_damaged(tmp_path: Path) -> None:
    source = tree(tmp_path / "s")
    (source / "m.tar").write_bytes(PACKED)
    half = tar(dict(list(LARGE.items())[:5]))
    cut = once(lambda: (source / "m.tar").write_bytes(half))
    update(tmp_path / "w", str(source), lambda done: cut(done) if done > len(SMALL) + 1 else None)
    assert len(rows(tmp_path / "w")) == len(SMALL) + 5


def test_an_archive_that_never_rests_is_told_and_read_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PART_ITEMS", 2)
    source = tree(tmp_path / "s")
    (source / "m.tar").write_bytes(PACKED)
    added = set[int]()

    def touch(done: int) -> None:
        if done > len(SMALL):
            added.add(done)
            packed(source / "m.tar", f"a/more-{done}.png", png(1000 + done))

    with pytest.raises(SourceError, match=r"m\.tar was read 3 times, and each time it changed meanwhile") as caught:
        update(tmp_path / "w", str(source), touch)
    assert caught.value.remedy and not (tmp_path / "w/snapshot").exists()
    for name in SMALL:  # what nobody reads, nobody sees
        path = source / name.removeprefix("/set/")
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    update(tmp_path / "w", str(source))
    assert set(rows(tmp_path / "w").values()) == {None}
    assert len(rows(tmp_path / "w")) == len(SMALL) + len(LARGE) + len(added)


def test_an_image_that_never_rests_is_told_and_tried_again(tmp_path: Path) -> None:
    source, ended = tree(tmp_path / "s"), threading.Event()
    (source / "b/9.png").write_bytes(png(9) + b"x" * 30_000_000)

    def grows() -> None:
        with (source / "b/9.png").open("ab", buffering=0) as file:
            while not ended.wait(0.0005):
                file.write(b"x")

    thread = threading.Thread(target=grows)
    thread.start()
    try:
        update(tmp_path / "w", str(source))
    finally:
        ended.set()
        thread.join()
    assert {path: why for path, why in rows(tmp_path / "w").items() if why} == {
        "b/9.png": "changed each time it was read"
    }
    assert update(tmp_path / "w", str(source)) == 1
    assert set(rows(tmp_path / "w").values()) == {None}
