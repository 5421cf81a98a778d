"""An S3 that fails, is down, is none, or sends our own headers back."""

from __future__ import annotations

import logging
import pickle
import random
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from pipeline.adapters.store import ObjectSettings, S3Store
from pipeline.adapters.store.failures import plain, without_secrets
from pipeline.errors import ServiceError
from tests.contract.faulty_s3 import FaultyS3
from tests.contract.test_store import BUCKET, embedded, moto, s3

__all__ = ["embedded", "moto"]  # fixtures
MIB = 2**20
KEY, SECRET, TOKEN = "AKIAQ7XWVT2ZK5LM3NRB", "wJalr/XUtnFEMI+K7MDENGbPxRfiCYzzSECRETKEY", "FwoGZXIvYXdzEJr//token=="
QUICK = ObjectSettings(attempts=1, timeouts_s=(1.0, 1.0))
HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome<br></body></html>"


def through(proxy: FaultyS3, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, **settings: int) -> S3Store:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return S3Store(BUCKET, proxy.url, settings=ObjectSettings.model_validate(settings))


@pytest.mark.slow
def test_with_a_tenth_of_requests_failing_all_is_right_to_the_byte(
    embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    wanted = {f"faulty/{i:03}": chance.randbytes(chance.choice([0, 1, 1000, 60_000])) for i in range(199)}
    wanted["faulty/large"] = chance.randbytes(19 * MIB + 7)
    began = time.monotonic()
    with FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0.1, seed=3).running() as proxy, ThreadPoolExecutor(8) as pool:
        store = through(proxy, embedded, monkeypatch, multipart_bytes=8 * MIB)
        list(pool.map(lambda pair: store.put(*pair, "application/octet-stream"), wanted.items()))
        assert dict(store.files("faulty/")) == {key: len(data) for key, data in wanted.items()}
        assert dict(zip(wanted, pool.map(store.get, wanted), strict=True)) == wanted
        direct = s3(embedded, monkeypatch)
        assert {key: direct.get(key) for key in direct.keys("faulty/")} == wanted
        store.delete(wanted)
        assert list(direct.keys("faulty/")) == []
    assert len(proxy.failed) == 6 and proxy.failed.total() > 20, proxy.failed
    assert any("partNumber" in path for _, path in proxy.seen)
    assert len(proxy.seen) < 3 * len(wanted)
    assert time.monotonic() - began < 90


@pytest.mark.parametrize("kind", ["500", "503", "reset before", "reset after", "cut short", "delay"])
def test_each_fault_alone_is_passed_over(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0).running() as proxy:
        store = through(proxy, embedded, monkeypatch)
        acts: list[Callable[[], object]] = [
            lambda: store.put("one/a", b"content", "text/plain"),
            lambda: store.get("one/a"),
            lambda: store.get_range("one/a", 1, 3),
            lambda: store.head("one/a"),
            lambda: store.get("one/none"),
            lambda: list(store.keys("one/")),
            lambda: store.delete(["one/a"]),
        ]
        found = []
        for act in acts:
            proxy.planned[:] = [kind]
            found.append(act())
            assert not proxy.planned
        told = found[3]
        assert found == [None, b"content", b"on", told, None, ["one/a"], None]
        assert told is not None and told.size == 7  # type: ignore[attr-defined]
        assert proxy.failed[kind] == len(acts)


def test_five_seconds_of_silence_are_waited_for(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0, delay_s=5, planned=["delay"]).running() as proxy:
        store = through(proxy, embedded, monkeypatch)
        began = time.monotonic()
        store.put("slow", b"1", "text/plain")
        assert 5 <= time.monotonic() - began < 10 and len(proxy.seen) == 1  # given up, it would be asked again


def test_an_upload_whose_end_was_confirmed_to_nobody(embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(1).randbytes(17 * MIB)
    with FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0).running() as proxy:
        store = through(proxy, embedded, monkeypatch, multipart_bytes=8 * MIB)
        proxy.planned[:] = [None] * 4 + ["reset after"]  # create, three parts, complete
        store.put("parts", data, "application/octet-stream")
        assert proxy.failed["reset after"] == 1 and store.get("parts") == data


def test_data_that_was_damaged_on_its_way_is_sent_again(
    embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0).running() as proxy:
        store = through(proxy, embedded, monkeypatch, multipart_bytes=8 * MIB)
        for data in (b"content", bytes(9 * MIB)):
            proxy.damage = 1
            store.put("whole", data, "text/plain")
            assert proxy.damage == 0 and store.get("whole") == data
        proxy.damage = 100
        with pytest.raises(ServiceError, match=r"damaged on its way \(BadDigest\)"):
            store.put("whole", b"other", "text/plain")
        assert store.get("whole") is None  # rclone, having written over it; others keep what was there


def test_a_new_object_whose_answer_was_lost_is_known_as_ours(
    moto: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyS3(moto["GENLOOP_S3_ENDPOINT"], share=0).running() as proxy:
        store = through(proxy, moto, monkeypatch)
        for kind in ("reset after", "cut short"):
            proxy.planned[:] = [kind]
            assert store.put_new(f"lost/{kind}", b"{}", "application/json") is True
            assert store.get(f"lost/{kind}") == b"{}"
            assert store.put_new(f"lost/{kind}", b"{}", "application/json") is False  # another call, though equal


def test_an_object_of_another_is_not_taken_for_ours_because_we_asked_twice(
    moto: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its content is the same: of two writers, one has the lock."""
    with FaultyS3(moto["GENLOOP_S3_ENDPOINT"], share=0).running() as proxy:
        store = through(proxy, moto, monkeypatch)
        assert store.put_new("theirs", b"{}", "application/json") is True
        for kind in ("500", "reset before", "reset after"):
            proxy.planned[:] = [kind]
            assert store.put_new("theirs", b"{}", "application/json") is False


def test_of_many_at_once_through_faults_one_writes(moto: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    faults = ("reset before", "reset after", "cut short")
    with FaultyS3(moto["GENLOOP_S3_ENDPOINT"], share=0.2, seed=1, kinds=faults).running() as proxy:
        store = through(proxy, moto, monkeypatch)
        with ThreadPoolExecutor(8) as pool:
            for turn in range(5):
                wrote = list(pool.map(lambda _, turn=turn: store.put_new(f"lock/{turn}", b"same", ""), range(8)))  # type: ignore[misc]
                assert sum(wrote) == 1, wrote
    assert proxy.failed.total() > 3


def test_an_s3_that_goes_down_is_one_line_soon_and_then_goes_on(
    embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FaultyS3(embedded["GENLOOP_S3_ENDPOINT"], share=0)
    with proxy.running():
        store = through(proxy, embedded, monkeypatch, multipart_bytes=8 * MIB)
        store.put("up", b"before", "text/plain")
    large = bytes(9 * MIB)
    acts: list[Callable[[], object]] = [
        lambda: store.get("up"),
        lambda: store.put("up", b"after", "text/plain"),
        lambda: store.put("large", large, "text/plain"),
    ]
    for act in acts:
        began = time.monotonic()
        with pytest.raises(ServiceError) as caught:
            act()
        assert time.monotonic() - began < 11
        text = str(caught.value)
        assert text.startswith(f"s3://{BUCKET} at {proxy.url}: S3 did not do ") and "\n" not in text
        assert "Could not connect" in text and "GENLOOP_S3_ENDPOINT" in text
    with proxy.running():
        assert store.get("up") == b"before"
        for act in acts[1:]:
            act()
        assert (store.get("up"), store.get("large")) == (b"after", large)


def test_an_s3_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, moto: dict[str, str]) -> None:
    with FaultyS3(moto["GENLOOP_S3_ENDPOINT"], share=1, kinds=("delay",), delay_s=3).running() as proxy:
        store = through(proxy, moto, monkeypatch, attempts=2)
        quick = S3Store(BUCKET, proxy.url, settings=QUICK)
        with pytest.raises(ServiceError, match="took the request and then was silent"):
            quick.put("a", b"1", "text/plain")
        store.put("a", b"1", "text/plain")


@contextmanager
def saying(status: int, body: str, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server that says this, whatever is asked. `{request}`: all that was asked; `{signed}`: one header of it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = "\n".join([self.path, *(f"{name}: {value}" for name, value in self.headers.items())])
            signed = "Authorization: " + self.headers.get("Authorization", "")
            text = body.replace("{request}", escape(asked)).replace("{signed}", signed).replace("{secret}", SECRET)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(text.encode()))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else text.encode())

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def error(code: str, more: str = "") -> str:
    return f"<Error><Code>{code}</Code><Message>Words of the server.</Message>{more}</Error>"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


SAID = [
    (404, error("NoSuchBucket"), "there is no such bucket", "GENLOOP_BUCKET"),
    (403, error("AccessDenied"), "access denied", "right"),
    (403, error("InvalidAccessKeyId"), "access key is not known", "AWS_ACCESS_KEY_ID"),
    (403, error("SignatureDoesNotMatch"), "signature is wrong", "AWS_SECRET_ACCESS_KEY"),
    (400, error("ExpiredToken"), "session token has expired", "new credentials"),
    (403, error("RequestTimeTooSkewed"), "clock", "NTP"),
    (
        400,
        "<Error><Code>AccessDenied</Code><Message>The difference between the request time and the server&#39;s time "
        "exceeds the maximum allowed.</Message></Error>",  # as rclone says it
        "clock",
        "NTP",
    ),
    (301, error("PermanentRedirect"), "another region", "AWS_DEFAULT_REGION"),
    (
        400,
        error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
        "wrong region, the right one is eu-west-1",
        "AWS_DEFAULT_REGION",
    ),
    (503, error("SlowDown"), "fewer requests", "run again later"),
    (500, error("InternalError"), "the server failed", "run again later"),
    (507, error("XMinioStorageFull"), "disk is full", "make room"),
    (400, error("AccessControlListNotSupported"), "takes no ACLs", "GENLOOP_S3_ACL"),
    (400, error("KMS.NotFoundException"), "no such key for encryption", "GENLOOP_S3_KMS_KEY"),
    (501, error("NotImplemented"), "can't do that", "an S3 that can"),
    (400, error("Newfangled"), "Newfangled (HTTP status 400): Words of the server.", "GENLOOP_S3_ENDPOINT"),
    (418, "", "418", "GENLOOP_S3_ENDPOINT"),
    (400, "not XML at all", "400", "GENLOOP_S3_ENDPOINT"),
]


@pytest.mark.parametrize(("status", "body", "what", "remedy"), SAID, ids=lambda value: str(value)[:24])
def test_each_refusal_is_told_for_what_it_is(secrets: None, status: int, body: str, what: str, remedy: str) -> None:
    with saying(status, body, {"Content-Type": "application/xml"}) as url:
        store = S3Store(BUCKET, url, settings=QUICK)
        for act in (store.check, lambda: store.put("a", b"1", "text/plain"), lambda: store.get("a")):
            with pytest.raises(ServiceError) as caught:
                act()
            assert what in caught.value.what and remedy in caught.value.remedy
            assert str(caught.value).startswith(f"s3://{BUCKET} at {url}: S3 did not do ")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 403, 404, 502])
@pytest.mark.parametrize("page", [HTML, "<html><body>well-formed</body></html>"])
def test_a_web_page_is_no_s3(secrets: None, status: int, page: str) -> None:
    """Nothing is taken for written, read, absent or empty because a page answered 200 or 404."""
    with saying(status, page, {"Content-Type": "text/html; charset=utf-8"}) as url:
        store = S3Store(BUCKET, url, settings=QUICK)
        acts: list[Callable[[], object]] = [
            store.check,
            lambda: store.put("a", b"1", ""),
            lambda: store.put_new("a", b"1", ""),
            lambda: store.get("a"),
            lambda: store.head("a"),
            lambda: store.delete(["a"]),
            lambda: list(store.keys("")),
            lambda: store.put("a", bytes(33 * MIB), ""),
        ]
        for act in acts:
            with pytest.raises(ServiceError) as caught:
                act()
            assert "<" not in str(caught.value) and "Welcome" not in str(caught.value)


def test_an_endpoint_that_answers_a_page_is_told(secrets: None) -> None:
    with (
        saying(502, HTML, {"Content-Type": "text/html"}) as url,
        pytest.raises(ServiceError, match=r"web page \(HTTP status 502\), not an S3 .*address of the S3 itself"),
    ):
        S3Store(BUCKET, url, settings=QUICK).check()
    with (
        saying(200, HTML, {"Content-Type": "text/html"}) as url,
        pytest.raises(ServiceError, match="is a web page, not an S3"),
    ):
        S3Store(BUCKET, url, settings=QUICK).check()
    with saying(200, "") as url, pytest.raises(ServiceError, match="does not speak S3"):
        S3Store(BUCKET, url, settings=QUICK).put("a", b"1", "")


ECHOES = [
    error("Newfangled").replace("Words of the server.", "{signed}"),
    error("Newfangled").replace("Words of the server.", "".join(f"{n}{{signed}}" for n in (", ", "'"))),
    error("Newfangled").replace("Words of the server.", "{request}"),
    error("Newfangled").replace("Words of the server.", "key {secret} was wrong"),
    error("SignatureDoesNotMatch", "<StringToSign>{request}</StringToSign>"),
    "<Error><Code>{request}</Code><Message>{secret}</Message></Error>",
    "{request}{secret}",
    "<html><pre>{request}</pre>",
    "<a><b>{request}</b></a>",
]


@pytest.mark.parametrize("body", ECHOES)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
def test_what_signs_a_request_is_never_told(
    secrets: None, status: int, body: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with saying(status, body) as url:
        store = S3Store(BUCKET, url, settings=QUICK)
        acts: list[Callable[[], object]] = [
            store.check,
            lambda: store.put("a", b"1", "text/plain"),
            lambda: store.head("a"),
            lambda: store.delete(["a"]),
            lambda: store.lifecycle_rules({"a/": 1}),
        ]
        told = [caplog.text]
        for act in acts:
            with pytest.raises(ServiceError) as caught:
                act()
            failure = caught.value
            assert failure.__cause__ is None and failure.__context__ is None
            told += ["".join(traceback.format_exception(failure)), repr(failure), repr(pickle.dumps(failure))]
    told += [caplog.text, *capfd.readouterr()]
    for secret in (KEY, SECRET, TOKEN, "AWS4-HMAC", "Signature=", "uthorization:", "X-Amz-Credential"):
        assert not [text for text in told if secret.lower() in text.lower()], secret
    assert not re.search(r"[0-9a-f]{64}", "".join(told))


def test_a_listing_without_an_end_ends(secrets: None) -> None:
    page = (
        "<ListBucketResult><Name>genloop</Name><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>x</NextContinuationToken>"
        "<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    with (
        saying(200, page, {"Content-Type": "application/xml"}) as url,
        pytest.raises(ServiceError, match="listing never ends"),
    ):
        list(S3Store(BUCKET, url, settings=QUICK).keys(""))


def test_objects_that_may_not_be_deleted_are_told(secrets: None) -> None:
    answer = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    with (
        saying(200, answer, {"Content-Type": "application/xml"}) as url,
        pytest.raises(ServiceError, match="2 objects are not deleted: AccessDenied"),
    ):
        S3Store(BUCKET, url, settings=QUICK).delete(["a", "b"])


def test_no_credentials_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = S3Store(BUCKET, "http://127.0.0.1:9")
    for act in (store.check, lambda: store.presigned("a", 1)):
        with pytest.raises(ServiceError, match=r"there are no credentials .*AWS_ACCESS_KEY_ID"):
            act()
    with pytest.raises(ServiceError, match="GENLOOP_S3_CREDENTIALS"):
        S3Store(BUCKET, "http://127.0.0.1:9", tmp_path / "none").check()


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("https://me:hidden@host:9000/base?key=hidden#hidden", "https://host:9000/base"),
        ("me:hidden@host", "host"),
        ("nonsense?hidden", "nonsense"),
        ("http://[hidden", "(no address)"),
        ("https://host/\x1b]0;", "https://host/ ]0;"),
    ],
)
def test_an_address_is_told_without_what_is_secret(endpoint: str, shown: str) -> None:
    assert plain(endpoint) == shown


def test_a_password_in_the_endpoint_is_not_told(secrets: None) -> None:
    password = "".join(reversed("neddih"))  # not as it stands in this line, which a traceback shows
    with pytest.raises(ServiceError) as caught:
        S3Store(BUCKET, f"http://me:{password}@127.0.0.1:9", settings=QUICK).check()
    assert password not in "".join(traceback.format_exception(caught.value))


def test_a_message_is_one_short_line_that_commands_no_terminal() -> None:
    said = without_secrets("a\x1b]0;title\x07\r\nb\u202ec " + "word " * 100, [])
    assert said.startswith("a ]0;title b c word") and len(said) <= 200
    assert said.isprintable()
